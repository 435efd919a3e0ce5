"""What first time, stopped, restarted and regularly mean at their boundaries: just before, at, just after.

Each row is a history, an instant and the answer. The oracle is asked too, so that the tables and it agree.
"""

from __future__ import annotations

from typing import Any

import pytest

from cohort_store.compiling import check
from cohort_store.definitions import parse_cohort
from cohort_store.errors import BadDefinition
from tests.domain.strategies import START, iso
from tests.domain.test_boundaries import answer, answer_for
from tests.oracle.membership import Event

FIRST = {"kind": "first_time", "event": "a", "within": "10ms"}
STOPPED = {"kind": "stopped", "event": "a", "within": "10ms", "recent": "4ms"}
RESTARTED = {"kind": "restarted", "event": "a", "within": "10ms", "recent": "4ms"}
REGULARLY = {"kind": "regularly", "event": "a", "period": "5ms", "periods": 3, "min_periods": 2}


@pytest.mark.parametrize(("t", "expected"), [(19, False), (20, True), (21, True), (29, True), (30, False), (31, False)])
def test_a_first_time_counts_from_its_own_instant_until_exactly_the_window_later(t: int, expected: bool) -> None:
    assert answer(FIRST, [20, 25], t) is expected


@pytest.mark.parametrize(("earlier", "expected"), [(19, False), (20, True), (21, True)])
def test_an_event_that_fails_the_filters_and_comes_before_takes_the_first_time_away(
    earlier: int, expected: bool
) -> None:
    leaf = {**FIRST, "where": [{"property": "plan", "value": "pro"}]}
    passing = Event("e1", "a", START + 20, {"plan": "pro"})
    assert answer_for(leaf, [passing, Event("e2", "a", START + earlier)], START + 25) is expected


@pytest.mark.parametrize(
    ("time", "expected"), [(9, False), (10, True), (11, True), (19, True), (20, True), (21, False)]
)
def test_a_first_time_counts_for_ever_within_both_ends_of_an_absolute_interval(time: int, expected: bool) -> None:
    leaf = {"kind": "first_time", "event": "a", "since": iso(START + 10), "until": iso(START + 20)}
    assert answer(leaf, [time], 10_000) is expected


def test_a_first_time_before_since_keeps_every_later_event_from_being_the_first() -> None:
    assert answer({"kind": "first_time", "event": "a", "since": iso(START + 10)}, [5, 12], 20) is False


@pytest.mark.parametrize(("t", "expected"), [(23, False), (24, True), (25, True), (29, True), (30, False), (31, False)])
def test_somebody_has_stopped_from_the_recent_span_after_her_last_event_until_the_window_after_it(
    t: int, expected: bool
) -> None:
    assert answer(STOPPED, [12, 20], t) is expected


@pytest.mark.parametrize(("again", "expected"), [(24, False), (25, False), (26, True)])
def test_whoever_does_it_again_has_not_stopped_any_more_from_that_instant_on(again: int, expected: bool) -> None:
    assert answer(STOPPED, [20, again], 25) is expected


@pytest.mark.parametrize(("t", "expected"), [(29, False), (30, True), (31, True), (33, True), (34, False), (35, False)])
def test_somebody_has_restarted_from_her_return_until_it_is_recent_no_more(t: int, expected: bool) -> None:
    assert answer(RESTARTED, [10, 30], t) is expected


@pytest.mark.parametrize(("before", "expected"), [(19, True), (20, True), (21, False)])
def test_a_return_is_one_only_behind_a_pause_that_reaches_back_to_the_windows_beginning(
    before: int, expected: bool
) -> None:
    assert answer(RESTARTED, [5, before, 30], 30) is expected


def test_whoever_did_it_never_before_has_not_restarted() -> None:
    assert answer(RESTARTED, [30], 30) is False


@pytest.mark.parametrize(("t", "expected"), [(19, False), (20, True), (21, True), (26, True), (27, False), (28, False)])
def test_enough_periods_hold_events_from_the_one_that_fills_the_last_of_them_until_two_share_a_period_or_leave(
    t: int, expected: bool
) -> None:
    assert answer(REGULARLY, [12, 20], t) is expected


@pytest.mark.parametrize(("times", "expected"), [(1, True), (2, True), (3, False)])
def test_a_period_counts_with_that_many_events_and_not_with_one_fewer(times: int, expected: bool) -> None:
    assert answer({**REGULARLY, "times": times}, [18, 19, 13, 14], 20) is expected


@pytest.mark.parametrize(
    ("leaf", "problem"),
    [
        ({**STOPPED, "recent": "10ms"}, "not shorter than within"),
        ({**RESTARTED, "recent": "11ms"}, "not shorter than within"),
        ({**STOPPED, "within": "0d"}, "longer than 0"),
        ({**REGULARLY, "min_periods": 4}, "more than periods 3"),
        ({**REGULARLY, "periods": 1_000_000}, "at most 1000"),
        ({**REGULARLY, "period": "300d"}, "more than 730d"),
        ({**REGULARLY, "times": 1_001}, "at most 1000"),
        ({**REGULARLY, "period": "1h", "periods": 700, "times": 3}, "at most 4096"),
        ({**RESTARTED, "within": "730d", "recent": "729d23h"}, "at most 4096"),
        ({**STOPPED, "since": iso(START)}, "not known here"),
    ],
)
def test_a_condition_beyond_its_limits_is_refused_with_the_limit(leaf: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadDefinition, match=problem):
        check([parse_cohort({"key": "c", "when": leaf})])
