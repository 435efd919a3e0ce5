"""What performed and count mean at their boundaries, to the millisecond: just before, at, just after.

Each row is a history, an instant and the answer. The oracle is asked too, so that the tables and it agree.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.domain.roll import Roll, plan_of
from tests.domain.strategies import START, iso
from tests.oracle.membership import Event, is_member

W = 10


def cohort_of(leaf: dict[str, Any]) -> dict[str, Any]:
    return {"key": "c", "when": leaf}


def answer(leaf: dict[str, Any], times: list[int], t: int) -> bool:
    """Whether somebody with events at these times (behind START) is a member at t, by product and oracle alike."""
    return answer_for(leaf, [Event(f"e{index}", "a", START + time) for index, time in enumerate(times)], START + t)


def answer_for(leaf: dict[str, Any], events: list[Event], t: int) -> bool:
    roll = Roll(plan_of([cohort_of(leaf)]))
    roll.receive(events, t)
    expected = is_member(cohort_of(leaf), events, t)
    assert roll.members()["c"] is expected
    return expected


def performed(**interval: Any) -> dict[str, Any]:
    return {"kind": "performed", "event": "a", **(interval or {"within": f"{W}ms"})}


def count(op: str, n: int, **interval: Any) -> dict[str, Any]:
    return {"kind": "count", "event": "a", "op": op, "n": n, **(interval or {"within": f"{W}ms"})}


@pytest.mark.parametrize(
    ("t", "expected"),
    [
        pytest.param(19, False, id="just before the event's own instant"),
        pytest.param(20, True, id="at the event's own instant"),
        pytest.param(21, True, id="just after the event's own instant"),
        pytest.param(29, True, id="just before the window's length has passed"),
        pytest.param(30, False, id="when exactly the window's length has passed"),
        pytest.param(31, False, id="just after the window's length has passed"),
    ],
)
def test_an_event_is_in_a_rolling_window_from_its_own_instant_until_exactly_its_length_later(
    t: int, expected: bool
) -> None:
    assert answer(performed(), [20], t) is expected


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        pytest.param(9, False, id="just before since"),
        pytest.param(10, True, id="at since"),
        pytest.param(11, True, id="just after since"),
        pytest.param(19, True, id="just before until"),
        pytest.param(20, True, id="at until"),
        pytest.param(21, False, id="just after until"),
    ],
)
def test_both_ends_of_an_absolute_interval_are_in_it(time: int, expected: bool) -> None:
    assert answer(performed(since=iso(START + 10), until=iso(START + 20)), [time], 40) is expected


@pytest.mark.parametrize(
    ("t", "expected"),
    [
        pytest.param(14, False, id="just before the event"),
        pytest.param(15, True, id="at the event"),
        pytest.param(16, True, id="just after the event"),
        pytest.param(19, True, id="just before until"),
        pytest.param(20, True, id="at until"),
        pytest.param(21, True, id="just after until"),
        pytest.param(10_000, True, id="long after"),
    ],
)
def test_an_event_in_an_absolute_interval_counts_from_its_own_instant_for_ever(t: int, expected: bool) -> None:
    assert answer(performed(since=iso(START + 10), until=iso(START + 20)), [15], t) is expected


@pytest.mark.parametrize(
    ("t", "expected"),
    [pytest.param(9, False, id="before"), pytest.param(10, True, id="at"), pytest.param(11, True, id="after")],
)
def test_an_interval_of_one_instant_holds_the_event_of_that_instant(t: int, expected: bool) -> None:
    assert answer(performed(since=iso(START + 10), until=iso(START + 10)), [10], t) is expected


@pytest.mark.parametrize(
    ("op", "below", "at", "above"),
    [
        ("gte", False, True, True),
        ("gt", False, False, True),
        ("lte", True, True, False),
        ("lt", True, False, False),
        ("eq", False, True, False),
        ("ne", True, False, True),
    ],
)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_count_compares_the_number_of_events_in_the_window(
    op: str, below: bool, at: bool, above: bool, n: int
) -> None:
    inside = list(range(21, 21 + n + 1))
    outside = [1, 20, 41]
    for number, expected in ((n - 1, below), (n, at), (n + 1, above)):
        assert answer(count(op, n, within="20ms"), inside[:number] + outside, 40) is expected, number


@pytest.mark.parametrize(
    ("op", "without_events", "with_one"),
    [
        ("gte", True, True),
        ("gt", False, True),
        ("lte", True, False),
        ("lt", False, False),
        ("eq", True, False),
        ("ne", False, True),
    ],
)
def test_zero_events_count_as_zero_also_when_compared_with_zero(op: str, without_events: bool, with_one: bool) -> None:
    assert answer(count(op, 0), [], 40) is without_events
    assert answer(count(op, 0), [40], 40) is with_one


@pytest.mark.parametrize(
    ("op", "before", "at", "after"),
    [
        ("gte", True, False, False),
        ("gt", False, False, False),
        ("lte", True, True, True),
        ("lt", False, True, True),
        ("eq", True, False, False),
        ("ne", False, True, True),
    ],
)
def test_a_count_falls_at_the_instant_at_which_its_oldest_event_leaves(
    op: str, before: bool, at: bool, after: bool
) -> None:
    for t, expected in ((29, before), (30, at), (31, after)):
        assert answer(count(op, 2), [20, 25], t) is expected, t


@pytest.mark.parametrize("op", ["gte", "gt", "lte", "lt", "eq", "ne"])
@pytest.mark.parametrize("t", [19, 20, 21, 24, 25, 26, 29, 30, 31, 34, 35, 36])
def test_a_count_between_absolute_bounds_only_ever_grows_with_the_events_inside(op: str, t: int) -> None:
    answer(count(op, 1, since=iso(START + 20), until=iso(START + 30)), [19, 20, 25, 30, 31], t)


@pytest.mark.parametrize(
    ("t", "expected"),
    [pytest.param(29, False, id="before"), pytest.param(30, True, id="at"), pytest.param(31, True, id="after")],
)
def test_an_event_dated_after_now_enters_by_itself_when_its_time_comes(t: int, expected: bool) -> None:
    roll = Roll(plan_of([cohort_of(performed())]))
    roll.receive([Event("e", "a", START + 30)], START + 5)
    assert roll.members() == {"c": False}
    assert roll.due_ms == START + 30
    roll.run_timers(START + t)
    assert roll.members() == {"c": expected}


def test_an_event_dated_after_now_that_enters_a_window_also_leaves_it_by_itself() -> None:
    roll = Roll(plan_of([cohort_of(performed())]))
    roll.receive([Event("e", "a", START + 30)], START + 5)
    roll.run_timers(START + 39)
    assert roll.members() == {"c": True}
    roll.run_timers(START + 40)
    assert roll.members() == {"c": False}
    assert roll.record.is_empty
    assert roll.due_ms is None


def test_a_late_event_that_has_left_the_window_already_leaves_no_trace() -> None:
    roll = Roll(plan_of([cohort_of(performed())]))
    roll.receive([Event("e", "a", START)], START + W)
    assert roll.record.is_empty
    assert roll.due_ms is None


def test_a_late_event_between_two_others_is_counted() -> None:
    leaf = count("gte", 3)
    roll = Roll(plan_of([cohort_of(leaf)]))
    roll.receive([Event("e1", "a", START + 20), Event("e3", "a", START + 28)], START + 28)
    assert roll.members() == {"c": False}
    roll.receive([Event("e2", "a", START + 24)], START + 29)
    assert roll.members() == {"c": True}
    assert roll.due_ms == START + 30


def test_two_events_in_one_millisecond_are_two() -> None:
    assert answer_for(count("eq", 2), [Event("e1", "a", START), Event("e2", "a", START)], START)


def test_the_same_event_sent_twice_is_one_whatever_the_case_of_its_uuid() -> None:
    twice = [Event("0189DFF1-aa00", "a", START), Event("0189dff1-AA00", "a", START)]
    assert answer_for(count("eq", 1), twice, START)


def test_the_same_uuid_at_another_time_is_another_event() -> None:
    assert answer_for(count("eq", 2), [Event("e", "a", START), Event("e", "a", START + 1)], START + 1)


def test_the_same_event_that_matches_two_alternatives_is_counted_once() -> None:
    leaf = {**count("eq", 1), "any_of": [{"event": "a"}, {"event": "any"}]}
    del leaf["event"]
    assert answer_for(leaf, [Event("e", "a", START)], START)


def test_any_event_counts_events_of_every_name() -> None:
    leaf = {**count("eq", 2), "event": "any"}
    assert answer_for(leaf, [Event("e1", "a", START), Event("e2", "something else", START)], START)


@pytest.mark.parametrize(
    ("t", "expected"),
    [
        pytest.param(20, True, id="bought and active"),
        pytest.param(29, True, id="just before the activity leaves"),
        pytest.param(30, False, id="when the activity leaves"),
    ],
)
def test_a_reference_flips_at_the_same_instant_as_the_cohort_it_names(t: int, expected: bool) -> None:
    cohorts = [cohort_of(performed()), {"key": "d", "when": {"all": [{"kind": "in_cohort", "cohort": "c"}]}}]
    roll = Roll(plan_of(cohorts))
    roll.receive([Event("e", "a", START + 20)], START + 20)
    roll.run_timers(START + t)
    assert roll.members() == {"c": expected, "d": expected}
