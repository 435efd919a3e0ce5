"""The parts of a flag beside properties, cohorts and rollouts: groups, early access, holdouts, other flags, devices."""

from collections.abc import Mapping
from typing import Any

import pytest

from cohort_store.flag_order import order_flags
from cohort_store.flags import parse_flag
from evaluator.deciding.bucketing import bucket, holdout_bucket, variant_for, variant_table
from evaluator.deciding.condition_sets import Group
from evaluator.deciding.evaluation import Person, decide_all
from evaluator.deciding.flags import CompiledFlag, FlagAnswer, compile_flag
from tests.evaluator.building import (
    NOW_MS,
    cohort_view,
    compiled,
    flag,
    in_cohort,
    membership,
    person_is,
    variants,
)

BUYERS = cohort_view("buyers", 1)
COMPANY = {0: Group("acme", {"plan": "pro", "seats": 50})}
NEVER: dict[str, Any] = {"properties": [person_is("plan", "exact", "none")]}
NOBODY: dict[str, Any] = {"rollout_percentage": 0}


def group_is(key: str, operator: str, value: Any = None, index: int | None = None) -> dict[str, Any]:
    return {"type": "group", "key": key, "operator": operator, "value": value, "group_type_index": index}


def flag_is(key: str, value: Any) -> dict[str, Any]:
    return {"type": "flag", "key": key, "operator": "flag_evaluates_to", "value": value}


def answered(raw: Mapping[str, Any], **fields: Any) -> FlagAnswer:
    """One flag's answer for ada, who is whatever `fields` say."""
    person = Person(**{"distinct_id": "ada", "properties": {}, "membership": None, **fields})
    return decide_all([compiled(raw, BUYERS)], person, NOW_MS)[0][raw["key"]]


def reason(raw: Mapping[str, Any], **fields: Any) -> tuple[bool, str, int | None]:
    answer = answered(raw, **fields)
    return answer.enabled, str(answer.reason.code), answer.reason.condition_index


def share_around(key: str, who: str) -> tuple[float, float]:
    at = bucket(key, who) * 100
    return at - 1e-9, at + 1e-9


def compile_all(*flags: Mapping[str, Any]) -> dict[str, CompiledFlag]:
    """By key, each bound to those that it depends on."""
    parsed = {flag.key: flag for flag in map(parse_flag, flags)}
    order = order_flags(parsed.values())
    made: dict[str, CompiledFlag] = {}
    for key in order.keys:
        others = {name: made[order.names[name]] for name in parsed[key].flags() if key not in order.broken}
        made[key] = compile_flag(parsed[key], {"buyers": BUYERS}, others)
    return made


def values_of(*flags: Mapping[str, Any], **fields: Any) -> dict[str, bool | str]:
    """Every flag's value for ada, decided in the order in which they are given."""
    made = compile_all(*flags)
    person = Person(**{"distinct_id": "ada", "properties": {}, "membership": None, **fields})
    answers, _ = decide_all([made[each["key"]] for each in flags], person, NOW_MS)
    return {key: answer.enabled and (answer.variant or True) for key, answer in answers.items()}


# Groups


def test_a_group_flag_is_cut_into_shares_by_the_groups_key() -> None:
    below, above = share_around("f", "acme")
    for share, enabled in ((below, False), (above, True)):
        raw = flag("f", {"rollout_percentage": share}, aggregation_group_type_index=0)
        assert answered(raw, groups=COMPANY).enabled is enabled
    split = flag("f", {}, aggregation_group_type_index=0, multivariate=variants(a=50, b=50))
    expected = variant_for(variant_table([("a", 50), ("b", 50)]), "f", "acme")
    assert answered(split, groups=COMPANY).variant == expected


def test_a_group_flag_without_the_group_says_no_group_type() -> None:
    raw = flag("f", {}, {}, aggregation_group_type_index=1)
    assert reason(raw, groups=COMPANY) == (False, "no_group_type", 1)
    assert answered(raw).reason.description == "No group type"


def test_a_groups_properties_are_the_groups_own() -> None:
    raw = flag("f", {"properties": [group_is("seats", "gte", 50)]}, aggregation_group_type_index=0)
    assert answered(raw, groups=COMPANY).enabled
    assert not answered(raw, groups={0: Group("acme", {})}, properties={"seats": 60}).enabled


def test_a_set_may_test_person_and_group_together() -> None:
    raw = flag("f", {"properties": [group_is("plan", "exact", "PRO", 0), person_is("role", "exact", "admin")]})
    assert answered(raw, groups=COMPANY, properties={"role": "admin"}).enabled
    assert not answered(raw, groups=COMPANY).enabled
    assert not answered(raw, properties={"role": "admin"}).enabled


def test_each_set_may_be_about_a_group_type_of_its_own_or_about_persons() -> None:
    below, above = share_around("f", "ada")
    raw = flag(
        "f",
        {"aggregation_group_type_index": 0, "properties": [group_is("plan", "exact", "free")]},
        {"aggregation_group_type_index": None, "rollout_percentage": above},
        aggregation_group_type_index=1,
    )
    assert reason(raw, groups=COMPANY) == (True, "condition_match", 1)
    raw["filters"]["groups"][1]["rollout_percentage"] = below
    assert reason(raw, groups=COMPANY) == (False, "out_of_rollout_bound", 1)


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ([{}], (False, "no_group_type", 0)),
        ([{}, NEVER | {"aggregation_group_type_index": None}], (False, "no_condition_match", 1)),
        ([NEVER | {"aggregation_group_type_index": None}, {}], (False, "no_condition_match", 0)),
        ([NOBODY | {"aggregation_group_type_index": None}, {}], (False, "out_of_rollout_bound", 0)),
    ],
)
def test_a_set_that_was_passed_over_is_named_only_where_nothing_else_can_be(
    sets: list[dict[str, Any]], expected: tuple[bool, str, int]
) -> None:
    assert reason(flag("f", *sets, aggregation_group_type_index=0)) == expected


def test_the_description_says_that_groups_were_not_looked_at() -> None:
    mixed = flag("f", NEVER, {"aggregation_group_type_index": 0})
    assert "group conditions were not evaluated" in answered(mixed).reason.description
    assert answered(mixed, groups=COMPANY).enabled


# Early access


def test_who_chose_gets_what_she_chose_whatever_the_sets_say() -> None:
    raw = flag("f", NOBODY, feature_enrollment=True, payloads={"true": "1"})
    for value, enabled in ((True, True), ("true", True), (False, False), ("false", False), ("x", False)):
        assert reason(raw, properties={"$feature_enrollment/f": value}) == (enabled, "super_condition_value", 0)
    assert answered(raw, properties={"$feature_enrollment/f": True}).metadata.payload == "1"


def test_who_did_not_choose_is_asked_the_sets() -> None:
    raw = flag("f", {}, feature_enrollment=True)
    assert reason(raw) == (True, "condition_match", 0)
    assert reason(raw, properties={"$feature_enrollment/f": None}) == (True, "condition_match", 0)


def test_early_access_in_its_older_form_means_the_same() -> None:
    older = [{"properties": [person_is("$feature_enrollment/f", "exact", ["true"])], "rollout_percentage": 100}]
    raw = flag("f", NOBODY, super_groups=older)
    assert reason(raw, properties={"$feature_enrollment/f": "true"}) == (True, "super_condition_value", 0)
    assert reason(raw, properties={"$feature_enrollment/f": "false"}) == (False, "super_condition_value", 0)
    assert reason(raw) == (False, "out_of_rollout_bound", 0)


def test_early_access_gives_no_variant_and_comes_before_a_holdout() -> None:
    held_out = {"id": 1, "exclusion_percentage": 100}
    raw = flag("f", {}, feature_enrollment=True, holdout=held_out, multivariate=variants(a=100))
    assert answered(raw, properties={"$feature_enrollment/f": True}).variant is None
    assert answered(raw).variant == "holdout-1"


# Holdouts


def test_a_holdout_leaves_out_the_same_people_in_every_flag() -> None:
    at = holdout_bucket("ada") * 100
    for key in ("f", "g"):
        inside = flag(key, {}, holdout={"id": 7, "exclusion_percentage": at + 1e-9}, payloads={"holdout-7": "2"})
        assert reason(inside) == (True, "holdout_condition_value", None)
        assert (answered(inside).variant, answered(inside).metadata.payload) == ("holdout-7", "2")
        outside = flag(key, {}, holdout={"id": 7, "exclusion_percentage": at - 1e-9})
        assert reason(outside) == (True, "condition_match", 0)


def test_a_group_flags_holdout_is_by_the_groups_key_and_leaves_nobody_out_without_one() -> None:
    share = {"id": 7, "exclusion_percentage": holdout_bucket("acme") * 100 + 1e-9}
    raw = flag("f", {}, aggregation_group_type_index=0, holdout=share)
    assert answered(raw, groups=COMPANY).variant == "holdout-7"
    assert reason(raw) == (False, "no_group_type", 0)


# Other flags


@pytest.mark.parametrize(
    ("expected", "other", "holds"),
    [
        (True, flag("g", {}), True),
        (True, flag("g", {"variant": "a"}, multivariate=variants(a=50, b=50)), True),
        (True, flag("g", NEVER), False),
        (False, flag("g", NEVER), True),
        (False, flag("g", {}), False),
        (False, flag("g", {}, active=False), True),
        ("a", flag("g", {"variant": "a"}, multivariate=variants(a=50, b=50)), True),
        ("A", flag("g", {"variant": "a"}, multivariate=variants(a=50, b=50)), False),
        ("a", flag("g", {}), False),
        ("true", flag("g", {}), False),
    ],
)
def test_a_flag_may_depend_on_what_another_evaluates_to(expected: Any, other: dict[str, Any], holds: bool) -> None:
    asking = flag("f", {"properties": [flag_is("g", expected)]})
    assert values_of(asking, other)["f"] is holds


def test_a_flag_is_asked_by_its_id_as_posthog_names_it() -> None:
    assert values_of(flag("f", {"properties": [flag_is("12", True)]}), flag("g", {}, id=12))["f"] is True


def test_a_flag_that_is_asked_need_not_be_among_those_that_are_answered() -> None:
    made = compile_all(
        flag("f", {"properties": [flag_is("g", True)]}), flag("g", {"properties": [in_cohort("buyers")]})
    )
    for stored, enabled in (((BUYERS.handle,), True), ((), False)):
        answers, unavailable = decide_all([made["f"]], Person("ada", {}, membership(*stored)), NOW_MS)
        assert (answers["f"].enabled, unavailable, list(answers)) == (enabled, 0, ["f"])
    assert made["f"].cohorts == (BUYERS,)


def test_what_another_flags_policy_answers_counts_and_is_told() -> None:
    made = compile_all(
        flag("f", {"properties": [flag_is("g", True)]}),
        flag("g", {"properties": [in_cohort("buyers")]}, muster={"on_unavailable": {"value": True}}),
    )
    answers, unavailable = decide_all([made["f"]], Person("ada", {}, None), NOW_MS)
    assert (answers["f"].enabled, unavailable) == (True, 1)


@pytest.mark.parametrize(
    "flags",
    [
        [flag("f", {"properties": [flag_is("ghost", False)]})],
        [flag("f", {"properties": [flag_is("g", True)]}), flag("g", {"properties": [flag_is("f", True)]})],
        [flag("f", {"properties": [flag_is("g", True)]}), flag("g", {"properties": [flag_is("ghost", True)]})],
    ],
)
def test_a_dependency_that_can_never_be_decided_is_missing(flags: list[dict[str, Any]]) -> None:
    answers, unavailable = decide_all(compile_all(*flags).values(), Person("ada", {}, None), NOW_MS)
    answer = answers["f"]
    assert (answer.enabled, answer.reason.code, answer.reason.condition_index) == (False, "missing_dependency", None)
    assert answer.reason.description == "Flag cannot be evaluated due to missing dependency"
    assert unavailable == len(flags)


def test_a_long_chain_is_decided_once_for_each_flag() -> None:
    chain = [flag(f"f{n}", {"properties": [flag_is(f"f{n + 1}", True)] * 2}) for n in range(40)]
    assert values_of(*chain, flag("f40", {}))["f0"] is True


# By which id


def test_persons_may_be_cut_into_shares_by_their_device() -> None:
    below, above = share_around("f", "phone")
    for share, enabled in ((below, False), (above, True)):
        raw = flag("f", {"rollout_percentage": share}) | {"bucketing_identifier": "device_id"}
        assert answered(raw, device_id="phone").enabled is enabled
    within = flag("f", {"rollout_percentage": above}, bucketing_identifier="device_id")
    assert answered(within, device_id="phone").enabled


def test_a_flag_by_device_matches_nobody_without_one_but_groups() -> None:
    by_device = {"bucketing_identifier": "device_id"}
    assert reason(flag("f", {}, {}) | by_device) == (False, "out_of_rollout_bound", 1)
    for_both = flag("f", {}, {"aggregation_group_type_index": 0}) | by_device
    assert reason(for_both, groups=COMPANY) == (True, "condition_match", 1)


def test_who_came_in_anothers_place_stays_in_that_ones_share() -> None:
    below, above = share_around("f", "anonymous")
    for share, enabled in ((below, False), (above, True)):
        raw = flag("f", {"rollout_percentage": share}) | {"ensure_experience_continuity": True}
        assert answered(raw, hash_keys={"f": "anonymous"}).enabled is enabled
    assert answered(flag("f", {"rollout_percentage": below}), hash_keys={"f": "anonymous"}).enabled == (
        bucket("f", "ada") * 100 <= below
    )


def test_where_it_cannot_be_read_in_whose_place_she_came_the_policy_answers() -> None:
    going_on = {"ensure_experience_continuity": True, "muster": {"on_unavailable": {"value": True}}}
    split = flag("f", {"rollout_percentage": 50}) | going_on
    assert reason(split, hash_keys=None) == (True, "continuity_unavailable", None)
    person = Person("ada", {}, None, hash_keys=None)
    assert decide_all([compiled(split)], person, NOW_MS)[1] == 1


def test_a_flag_that_is_the_same_by_any_id_need_not_know_in_whose_place_she_came() -> None:
    whole = flag("f", {}, NOBODY) | {"ensure_experience_continuity": True}
    assert compiled(whole).continuous == ()
    assert reason(whole, hash_keys=None) == (True, "condition_match", 0)
    split = flag("f", {}, multivariate=variants(a=50, b=50)) | {"ensure_experience_continuity": True}
    assert compiled(split).continuous == ("f",)
    assert compiled(split | {"bucketing_identifier": "device_id"}).continuous == ()
    asking = compile_all(flag("g", {"properties": [flag_is("f", "a")]}), split)["g"]
    assert asking.continuous == ("f",)


# Early exit


def test_with_early_exit_who_is_beyond_a_rollout_is_asked_no_later_set() -> None:
    sets: list[dict[str, Any]] = [NEVER, NOBODY, {}]
    assert reason(flag("f", *sets)) == (True, "condition_match", 2)
    assert reason(flag("f", *sets, early_exit=True)) == (False, "out_of_rollout_bound", 1)
    assert reason(flag("f", NEVER, {}, early_exit=True)) == (True, "condition_match", 1)


def test_with_early_exit_no_later_set_answers_for_one_that_is_unknown_and_beyond_its_rollout() -> None:
    unknown = {"properties": [in_cohort("buyers")], "rollout_percentage": 0}
    assert reason(flag("f", unknown, {})) == (True, "condition_match", 1)
    assert reason(flag("f", unknown, {}, early_exit=True)) == (False, "cohort_unavailable", 0)
    assert reason(flag("f", unknown, {}, early_exit=True), membership=membership()) == (True, "condition_match", 1)
