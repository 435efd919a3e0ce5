"""Which properties of persons are kept, whoever asks: the write side's plan and the read side say the same."""

from typing import Any

import pytest

from cohort_store.compiling import activate, assign
from cohort_store.definitions import parse_cohort
from cohort_store.deltas import Delta, RegisterWrite
from cohort_store.folding import Folded, Replayed, advance, fold
from cohort_store.kept_properties import FLAG_PROPERTIES_MAX, kept_for, kept_of, tested_by
from cohort_store.plans import compile_plan, compile_team
from cohort_store.records import EMPTY, Record
from cohort_store.registry import Registry
from cohort_store.subjects import PERSON, Subject

ANN = Subject(1, PERSON, "ann")
PRO: dict[str, Any] = {"kind": "person_property", "property": "plan", "value": "pro"}
IN_ROME: dict[str, Any] = {"kind": "person_property", "property": "city", "value": "Rome"}


def flag(*names: str, key: str = "f", **filters: Any) -> dict[str, Any]:
    tests = [{"key": name, "value": "x", "operator": "exact", "type": "person"} for name in names]
    return {"key": key, "filters": {"groups": [{"properties": tests}], **filters}}


def registry(*flags: Any, whens: tuple[Any, ...] = (), before: Registry | None = None) -> Registry:
    cohorts = [parse_cohort({"key": f"c{index}", "when": when}) for index, when in enumerate(whens)]
    return assign(before or Registry(), cohorts, {1: flags}, applied="", now=0)


def test_a_flag_tests_the_properties_of_persons_in_all_its_sets_and_no_others() -> None:
    early = [{"properties": [{"key": "$feature_enrollment/beta", "value": ["true"]}]}]
    raw = flag("plan", super_groups=early, holdout_groups=[{"properties": [], "variant": "h"}])
    raw["filters"]["groups"] += [
        {"properties": [{"key": "id", "type": "cohort", "value": 3}, {"key": "other", "type": "flag", "value": True}]},
        {"properties": [{"key": "size", "type": "group", "value": 3, "group_type_index": 0}]},
        {"properties": None},
        {"properties": [{"key": "city", "value": "Rome"}]},
    ]
    assert tested_by(raw) == {"plan", "city", "$feature_enrollment/beta"}


def test_a_flag_in_early_access_tests_whether_somebody_takes_part() -> None:
    assert tested_by(flag(key="new-ui", feature_enrollment=True)) == {"$feature_enrollment/new-ui"}


@pytest.mark.parametrize("raw", [None, 3, {}, {"filters": None}, {"filters": {"groups": {"a": 1}}}, {"filters": []}])
def test_a_flag_of_an_unknown_shape_tests_nothing(raw: Any) -> None:
    assert tested_by(raw) == frozenset()


def test_names_of_musters_own_are_not_kept_for_a_flag() -> None:
    assert kept_for([flag("$forgotten", "$list:abc", "plan")]) == {"plan"}


def test_beyond_the_bound_those_are_kept_that_most_flags_test() -> None:
    many = [f"p{number:03}" for number in range(FLAG_PROPERTIES_MAX + 1)]
    flags = [flag(*many), flag("zip", key="g"), flag("zip", key="h")]
    assert kept_for(flags) == {"zip", *many[: FLAG_PROPERTIES_MAX - 1]}
    assert kept_for(flags, frozenset(many)) == {"zip"}


def test_the_plan_and_the_registry_name_the_same_properties() -> None:
    tree = {"all": [PRO, {"not": {"any": [IN_ROME, {"kind": "performed", "event": "buy", "within": "1d"}]}}]}
    first = registry(flag("age", "plan"), whens=(tree,))
    edited = registry(flag("age"), flag("zip", key="g"), whens=(PRO,), before=first)
    for each in (first, edited, activate(edited, edited.version)):
        team = each.team(1)
        assert kept_of(team) == compile_team(team).person_properties >= {"plan", "age"}


def told(*writes: RegisterWrite) -> list[Delta]:
    return [Delta(ANN, (), writes)]


def folded(record: Record, of: Registry, *writes: RegisterWrite) -> Record:
    found = fold(record, told(*writes), compile_plan(of).team(1), 0)
    assert isinstance(found, Folded)
    assert found.due_ms is None, "nothing that a flag alone reads changes by time"
    return found.record


def test_a_property_that_only_a_flag_tests_is_kept_and_the_highest_version_of_it_stays() -> None:
    of = registry(flag("plan"))
    once, again = RegisterWrite("plan", 5, '"pro"'), RegisterWrite("plan", 3, '"free"')
    assert folded(EMPTY, of, once, again, RegisterWrite("city", 5, '"Rome"')).registers == {"plan": (5, '"pro"')}
    assert isinstance(fold(folded(EMPTY, of, once), told(again), compile_plan(of).team(1), 0), Replayed)


def test_what_no_flag_tests_any_more_is_dropped_when_the_record_is_next_looked_through() -> None:
    record = folded(EMPTY, registry(flag("plan", "city")), RegisterWrite("plan", 5, "1"), RegisterWrite("city", 5, "2"))
    assert advance(record, compile_plan(registry(flag("city"))).team(1), 9).record.registers == {"city": (5, "2")}


def test_an_edit_of_flags_changes_no_cohort_so_no_record_is_looked_through_for_it() -> None:
    first = registry(flag("plan"), whens=(PRO,))
    assert registry(flag("age"), whens=(PRO,), before=first).cohorts_version == first.cohorts_version
