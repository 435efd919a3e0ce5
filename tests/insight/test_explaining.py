"""The tree beside a flag's answer: nothing is left out of it, and the two agree."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_store.flags import parse_flag
from cohort_store.freshness import CohortView
from evaluator.deciding.bucketing import bucket
from evaluator.deciding.condition_sets import Group
from evaluator.deciding.explaining import (
    FOUND_BYTES_MAX,
    ExplainedCohort,
    ExplainedFlag,
    MembershipSource,
    Question,
    SetVerdict,
    explain_flag,
)
from evaluator.deciding.flags import compile_flag
from evaluator.definitions.catalog import cohorts_by_name
from tests.evaluator.building import NOW_MS, cohort_view, flag, in_cohort, person_is, variants
from tests.examples import aside

BUYERS, SLEEPERS = cohort_view("buyers", 1), cohort_view("sleepers", 2)


def explained(
    raw: Mapping[str, Any],
    properties: Mapping[str, Any] | None = None,
    members: Mapping[CohortView, bool | None] | None = None,
    distinct_id: str = "ada",
    changed_ms: int | None = None,
    **more: Any,
) -> ExplainedFlag:
    found = {
        view.key: ExplainedCohort(view.key, view.id, 1, MembershipSource.STORE, member, detail=f"{view.key} is away")
        for view, member in (members or {}).items()
    }
    parsed = parse_flag(raw)
    compiled = compile_flag(parsed, cohorts_by_name(tuple(members or ())), more.get("flags"))
    question = Question(distinct_id, properties or {}, NOW_MS, found, **more)
    return explain_flag(compiled, parsed, question, changed_ms)


def test_every_test_of_every_set_tells_what_it_compares_and_what_it_found() -> None:
    raw = flag(
        "f",
        {"properties": [person_is("plan", "exact", ["pro", "team"]), person_is("age", "gt", 30), in_cohort("buyers")]},
        {"properties": [in_cohort(2, "not_in"), person_is("mail", "is_set")], "rollout_percentage": 50},
    )
    found = explained(raw, {"plan": "PRO", "age": 7}, {BUYERS: True, SLEEPERS: False})
    first, second = found.sets
    assert [(t.key, t.operator, t.value, t.found, t.holds) for t in first.tests] == [
        ("plan", "exact", ("pro", "team"), "PRO", True),
        ("age", "gt", 30, 7, False),
        ("buyers", "in", None, True, True),
    ]
    assert [(t.key, t.operator, t.found, t.holds) for t in second.tests] == [
        ("sleepers", "not_in", False, True),
        ("mail", "is_set", None, False),
    ]
    assert (first.verdict, second.verdict) == (SetVerdict.FAILS, SetVerdict.FAILS)
    assert second.rollout.hash == bucket("f", "ada")
    assert (second.rollout.bound, second.rollout.within) == (0.5, bucket("f", "ada") <= 0.5)


def test_the_set_that_the_reason_names_is_the_one_that_decides() -> None:
    raw = flag(
        "f", {"properties": [person_is("plan", "exact", "pro")]}, {"variant": "red"}, multivariate=variants(red=100)
    )
    found = explained(raw)
    assert (found.answer.variant, [each.decides for each in found.sets]) == ("red", [False, True])
    assert found.sets[1].variant == "red"
    assert found.variants is not None
    assert (found.variants.variant, [each.below for each in found.variants.stretches]) == ("red", [1.0])


def test_a_cohort_of_which_nothing_can_be_said_lets_the_policy_answer_and_says_so() -> None:
    raw = flag("f", {"properties": [in_cohort("buyers")]}, muster={"on_unavailable": {"value": True}})
    found = explained(raw, members={BUYERS: None})
    assert found.sets[0].verdict is SetVerdict.UNKNOWN
    assert (found.answer.enabled, found.policy.answers, found.policy.on_unavailable) == (True, True, {"value": True})
    assert "buyers is away" in found.answer.reason.description


def test_a_cohort_that_nobody_defined_is_named_and_unknown() -> None:
    found = explained(flag("f", {"properties": [in_cohort("ghosts")]}))
    (test,) = found.sets[0].tests
    assert (test.key, test.found, test.holds) == ("ghosts", None, None)
    assert found.answer.reason.code == "missing_dependency"


def test_a_flag_that_is_switched_off_shows_what_it_would_have_asked() -> None:
    found = explained(flag("f", {"properties": [in_cohort("buyers")]}, active=False), members={BUYERS: True})
    assert (found.active, found.answer.reason.code, found.sets[0].verdict) == (
        False,
        "flag_disabled",
        SetVerdict.MATCHES,
    )


@pytest.mark.parametrize(("changed_ms", "said"), [(None, None), (NOW_MS, "2026-01-12T13:00:00.000Z")])
def test_since_when_the_flag_is_unchanged_is_told_where_it_is_known(changed_ms: int | None, said: str | None) -> None:
    assert explained(flag("f", {}), changed_ms=changed_ms).unchanged_since == said


def test_a_property_that_is_kept_is_told_as_such_and_one_that_cannot_be_read_lets_the_policy_answer() -> None:
    raw = flag("f", {"properties": [person_is("plan", "exact", "pro")]}, muster={"on_unavailable": {"value": True}})
    kept = explained(raw, {"plan": "pro"}, filled_in=frozenset({"plan"})).sets[0].tests[0]
    assert (kept.found, kept.holds, kept.filled_in) == ("pro", True, True)
    unread = explained(raw, unread=frozenset({"plan"}))
    assert (unread.sets[0].tests[0].holds, unread.sets[0].verdict) == (None, SetVerdict.UNKNOWN)
    assert (unread.answer.reason.code, unread.answer.enabled, unread.policy.answers) == (
        "property_unavailable",
        True,
        True,
    )


def test_a_long_value_is_cut() -> None:
    found = explained(flag("f", {"properties": [person_is("bio", "is_set")]}), {"bio": "é" * 10_000})
    (test,) = found.sets[0].tests
    assert test.holds
    assert len(test.found.encode()) < FOUND_BYTES_MAX + 8


SHARES = st.sampled_from([None, 0, 30, 70, 100])
TESTS = st.sampled_from(
    [person_is("a", "exact", "1"), person_is("b", "is_not", "1"), in_cohort("buyers"), in_cohort("sleepers", "not_in")]
)
SETS = st.builds(
    lambda tests, share: {"properties": tests, "rollout_percentage": share}, st.lists(TESTS, max_size=3), SHARES
)


@aside()
@given(
    st.lists(SETS, max_size=4),
    st.fixed_dictionaries({"a": st.sampled_from("12"), "b": st.sampled_from("12")}),
    st.sampled_from([True, False, None]),
    st.sampled_from([True, False, None]),
    st.integers(0, 50).map(str),
)
def test_the_tree_and_the_answer_never_disagree(
    sets: list[dict[str, Any]], properties: dict[str, str], buyer: bool | None, sleeper: bool | None, distinct_id: str
) -> None:
    found = explained(flag("f", *sets), properties, {BUYERS: buyer, SLEEPERS: sleeper}, distinct_id)
    verdicts = [each.verdict for each in found.sets]
    reason = found.answer.reason
    if reason.code == "condition_match":
        assert verdicts[reason.condition_index or 0] is SetVerdict.MATCHES
        assert SetVerdict.MATCHES not in verdicts[: reason.condition_index]
    elif reason.code == "cohort_unavailable":
        assert verdicts[reason.condition_index or 0] is SetVerdict.UNKNOWN
    else:
        assert set(verdicts) <= {SetVerdict.FAILS, SetVerdict.OUT_OF_ROLLOUT}
        if reason.code == "out_of_rollout_bound":
            assert verdicts[reason.condition_index or 0] is SetVerdict.OUT_OF_ROLLOUT


OTHER = compile_flag(parse_flag(flag("other", {"variant": "b"}, multivariate=variants(a=50, b=50))), {})


def test_a_groups_property_and_anothers_flags_value_are_shown_with_what_was_found() -> None:
    of_group = person_is("seats", "gte", 100) | {"type": "group", "group_type_index": 0}
    of_flag = {"type": "flag", "key": "other", "operator": "flag_evaluates_to", "value": "b"}
    raw = flag("f", {"properties": [of_group, of_flag]})
    found = explained(raw, {"seats": 1}, flags={"other": OTHER}, groups={0: Group("acme", {"seats": 120})})
    assert [(test.type, test.value, test.found, test.holds) for test in found.sets[0].tests] == [
        ("group", 100, 120, True),
        ("flag", "b", "b", True),
    ]
    assert found.answer.enabled


def test_the_id_that_is_hashed_is_told_and_a_set_without_one_is_skipped() -> None:
    raw = flag(
        "f", {"aggregation_group_type_index": 0}, {"rollout_percentage": 50}, {"aggregation_group_type_index": 1}
    )
    by_device = explained(raw | {"bucketing_identifier": "device_id"}, groups={1: Group("p", {})}, device_id="phone")
    assert [each.rollout.bucketed_by for each in by_device.sets] == [None, "phone", "p"]
    assert [each.rollout.hash for each in by_device.sets] == [None, bucket("f", "phone"), bucket("f", "p")]
    assert by_device.sets[0].verdict is SetVerdict.SKIPPED
    going_on = explained(raw | {"ensure_experience_continuity": True}, hash_keys={"f": "anonymous"})
    assert going_on.sets[1].rollout.bucketed_by == "anonymous"


def test_early_access_decides_and_no_set_does() -> None:
    found = explained(flag("f", {}, feature_enrollment=True), {"$feature_enrollment/f": False})
    assert (found.answer.reason.code, [each.decides for each in found.sets]) == ("super_condition_value", [False])


def test_early_access_and_a_holdout_are_told_before_the_sets() -> None:
    raw = flag("f", {"properties": []})
    raw["filters"]["feature_enrollment"] = True
    raw["filters"]["holdout"] = {"id": 7, "exclusion_percentage": 100}
    property_name = "$feature_enrollment/f"
    for properties, chosen in (({}, None), ({property_name: True}, True), ({property_name: "false"}, False)):
        early, held_out = explained(raw, properties).before
        assert (early.kind, early.chosen, early.answers) == ("early_access", chosen, chosen is not None)
        assert (held_out.kind, held_out.variant, held_out.answers) == ("holdout", "holdout-7", True)
    assert explained(flag("f", {"properties": []})).before == []


def test_a_flag_with_a_missing_dependency_has_no_sets_to_show() -> None:
    of_flag = {"type": "flag", "key": "ghost", "operator": "flag_evaluates_to", "value": True}
    found = explained(flag("f", {"properties": [of_flag]}))
    assert (found.answer.reason.code, found.sets) == ("missing_dependency", [])
