"""What makes a flag stale: each rule just before its bound, at it, and where something is not known."""

from collections.abc import Mapping
from typing import Any

import pytest

from cohort_store.durations import format_instant
from cohort_store.flag_evaluations import Calls
from cohort_store.flags import parse_flag
from evaluator.usage.clean_up import prompt
from evaluator.usage.staleness import (
    CALLS_MIN,
    QUIET_MS,
    UNSEEN_MS,
    Audience,
    FlagFacts,
    StaleKind,
    findings,
    value_for_everybody,
)
from tests.evaluator.building import DAY_MS, NOW_MS, flag, in_cohort, person_is, variants

LONG_AGO = NOW_MS - 90 * DAY_MS
FOR_PROS = flag("f", {"properties": [person_is("plan", "exact", "pro")]})


def facts(raw: Mapping[str, Any] = FOR_PROS, **known: Any) -> FlagFacts:
    """A flag that is old, and called today, by default."""
    usual: dict[str, Any] = {"changed_ms": LONG_AGO, "counted_from_ms": LONG_AGO, "last_called_ms": NOW_MS}
    return FlagFacts(parse_flag(raw), **usual | known)


def kinds(each: FlagFacts) -> list[StaleKind]:
    return [found.kind for found in findings(each, NOW_MS)]


def called(value: str, total: int, reason: str = "condition_match") -> Calls:
    return Calls("f", value, reason, total, LONG_AGO, NOW_MS)


def test_a_flag_that_is_called_and_tells_persons_apart_is_not_stale() -> None:
    assert kinds(facts(calls=[called("true", 500), called("false", 1, "no_condition_match")])) == []


@pytest.mark.parametrize(
    ("changed", "counted"), [(UNSEEN_MS, 90 * DAY_MS), (90 * DAY_MS, UNSEEN_MS), (None, UNSEEN_MS)]
)
def test_a_flag_that_was_never_called_is_stale_once_it_and_counting_are_a_week_old(
    changed: int | None, counted: int
) -> None:
    for short, stale in ((1, False), (0, True), (-1, True)):
        each = facts(
            changed_ms=None if changed is None else NOW_MS - changed + short,
            counted_from_ms=NOW_MS - counted + short,
            last_called_ms=None,
        )
        assert (StaleKind.NEVER_CALLED in kinds(each)) is stale


def test_a_flag_that_was_not_called_for_thirty_days_is_stale_with_its_last_call() -> None:
    for ago, stale in ((QUIET_MS - 1, False), (QUIET_MS, True), (QUIET_MS + 1, True)):
        found = findings(facts(last_called_ms=NOW_MS - ago), NOW_MS)
        assert [each.kind for each in found] == ([StaleKind.NOT_CALLED] if stale else [])
        if stale:
            assert found[0].evidence.last_called == format_instant(NOW_MS - ago)


def test_where_calls_are_not_counted_nobody_is_said_not_to_call() -> None:
    assert kinds(facts(counted_from_ms=None, last_called_ms=None)) == []


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (flag("f", {}), True),
        (flag("f", {"rollout_percentage": 100}), True),
        (flag("f", {"rollout_percentage": 99}), None),
        (flag("f"), False),
        (flag("f", {}, active=False), False),
        (FOR_PROS, None),
        (flag("f", {"properties": [person_is("plan", "exact", "pro")]}, {}), True),
        (flag("f", {}, multivariate=variants(red=50, blue=50)), None),
        (flag("f", {}, multivariate=variants(red=100, blue=0)), "red"),
        (flag("f", {"variant": "blue"}, multivariate=variants(red=50, blue=50)), "blue"),
        (
            flag(
                "f",
                {"variant": "red", "properties": [in_cohort("buyers")]},
                {"variant": "blue"},
                multivariate=variants(red=50, blue=50),
            ),
            None,
        ),
    ],
)
def test_what_everybody_gets_by_a_flags_definition(raw: Mapping[str, Any], value: bool | str | None) -> None:
    assert value_for_everybody(parse_flag(raw)) == value


def test_a_flag_that_is_the_same_for_everybody_is_stale_thirty_days_after_its_last_edit() -> None:
    for ago, stale in ((QUIET_MS - 1, False), (QUIET_MS, True)):
        for raw, kind in (
            (flag("f", {}), StaleKind.FULLY_ROLLED_OUT),
            (flag("f", {}, active=False), StaleKind.SWITCHED_OFF),
        ):
            assert kinds(facts(raw, changed_ms=NOW_MS - ago)) == ([kind] if stale else [])


def test_a_flag_without_an_instant_is_as_old_as_counting_at_least() -> None:
    for ago, stale in ((QUIET_MS - 1, False), (QUIET_MS, True)):
        each = facts(flag("f", {}), changed_ms=None, counted_from_ms=NOW_MS - ago)
        assert (StaleKind.FULLY_ROLLED_OUT in kinds(each)) is stale
    assert kinds(facts(flag("f", {}), changed_ms=None, counted_from_ms=None, last_called_ms=None)) == []


def test_a_targeted_flag_that_answered_everybody_alike_is_stale() -> None:
    (found,) = findings(facts(calls=[called("false", CALLS_MIN, "no_condition_match")]), NOW_MS)
    assert (found.kind, found.evidence.value, found.evidence.calls) == (StaleKind.SAME_ANSWER, False, CALLS_MIN)
    assert kinds(facts(calls=[called("false", CALLS_MIN - 1)])) == []
    assert kinds(facts(calls=[called("false", CALLS_MIN), called("true", 1)])) == []
    assert kinds(facts(calls=[called("false", CALLS_MIN)], counted_from_ms=NOW_MS - QUIET_MS + 1)) == []
    assert kinds(facts(calls=[called("false", CALLS_MIN)], changed_ms=NOW_MS - QUIET_MS + 1)) == []


def test_what_a_policy_answered_says_nothing_of_the_conditions() -> None:
    by_policy = called("true", 50, "cohort_unavailable")
    assert kinds(facts(calls=[called("false", CALLS_MIN), by_policy])) == [StaleKind.SAME_ANSWER]
    for reason in ("cohort_unavailable", "property_unavailable", "missing_dependency"):
        assert kinds(facts(calls=[called("true", CALLS_MIN, reason)])) == []


@pytest.mark.parametrize(
    ("audience", "kind"),
    [
        (Audience(is_empty=True), StaleKind.COHORT_EMPTY),
        (Audience(is_complete=True), StaleKind.COHORT_COMPLETE),
        (Audience(), None),
    ],
)
def test_a_cohort_with_nobody_or_everybody_in_it_tells_nobody_apart(audience: Audience, kind: StaleKind | None) -> None:
    raw = flag("f", {"properties": [person_is("a", "is_set")]}, {"properties": [in_cohort("buyers")]})
    found = findings(facts(raw, audiences={"buyers": audience}), NOW_MS)
    assert [each.kind for each in found] == ([kind] if kind else [])
    if found:
        assert (found[0].evidence.cohort, found[0].evidence.condition_indexes) == ("buyers", [1])
    assert kinds(facts(raw, audiences={"buyers": audience}, changed_ms=NOW_MS - UNSEEN_MS + 1)) == []
    assert kinds(facts(raw)) == []


def test_a_cohort_that_was_dropped_is_a_finding_at_once() -> None:
    raw = flag("f", {"properties": [in_cohort("ghosts")]})
    assert kinds(facts(raw, dropped=frozenset({"ghosts"}), changed_ms=NOW_MS)) == [StaleKind.COHORT_DROPPED]


def test_the_most_decisive_finding_comes_first() -> None:
    raw = flag("f", {"properties": [in_cohort("ghosts")]}, {})
    each = facts(raw, last_called_ms=None, dropped=frozenset({"ghosts"}))
    assert kinds(each) == [StaleKind.NEVER_CALLED, StaleKind.FULLY_ROLLED_OUT, StaleKind.COHORT_DROPPED]


def test_a_prompt_names_the_flag_the_value_to_keep_and_its_payload() -> None:
    raw = flag("new-\n checkout", {}, multivariate=variants(red=100), payloads={"red": '{"size": 3}'})
    each = facts(raw)
    text = prompt(each.flag, findings(each, NOW_MS)[0])
    assert text.startswith(
        "Remove the feature flag \"new-\\n checkout\" from this code base.\n\nWhy: everybody gets 'red'"
    )
    assert 'Keep what the code does where the flag\'s value is "red"' in text
    assert '"{\\"size\\": 3}"' in text
    assert "muster apply FILES --prune" in text


def test_a_prompt_for_a_flag_that_nobody_calls_expects_dead_code_and_guesses_no_value() -> None:
    each = facts(last_called_ms=None)
    text = prompt(each.flag, findings(each, NOW_MS)[0])
    assert "expect dead code" in text
    assert "ask which branch is to stay" in text


def test_a_prompt_about_a_cohort_is_about_the_definition() -> None:
    each = facts(flag("f", {"properties": [in_cohort("buyers")]}), audiences={"buyers": Audience(is_empty=True)})
    text = prompt(each.flag, findings(each, NOW_MS)[0])
    assert text.startswith('Simplify the feature flag "f".')
    assert 'in filters.groups[0] it asks cohort "buyers"' in text
