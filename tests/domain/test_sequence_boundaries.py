"""What sequence means at its boundaries: just before, at, just after.

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

SEQUENCE: dict[str, Any] = {
    "kind": "sequence",
    "first": {"event": "a"},
    "then": {"event": "b"},
    "then_within": "3ms",
    "within": "10ms",
}
TWICE = {**SEQUENCE, "then": {"event": "a"}}


def absolute(since: int, until: int | None = None) -> dict[str, Any]:
    leaf = {name: value for name, value in SEQUENCE.items() if name != "within"} | {"since": iso(START + since)}
    return leaf if until is None else leaf | {"until": iso(START + until)}


def answer_of(leaf: dict[str, Any], firsts: list[int], thens: list[int], t: int) -> bool:
    events = [Event(f"a{index}", "a", START + time) for index, time in enumerate(firsts)]
    events += [Event(f"b{index}", "b", START + time) for index, time in enumerate(thens)]
    return answer_for(leaf, events, START + t)


@pytest.mark.parametrize(("t", "expected"), [(21, False), (22, True), (23, True), (29, True), (30, False), (31, False)])
def test_a_sequence_holds_from_its_second_event_until_the_window_behind_its_first(t: int, expected: bool) -> None:
    assert answer_of(SEQUENCE, [20], [22], t) is expected


@pytest.mark.parametrize(
    ("then", "expected"), [(19, False), (20, False), (21, True), (22, True), (23, True), (24, False)]
)
def test_the_second_event_must_come_later_and_soon_enough(then: int, expected: bool) -> None:
    assert answer_of(SEQUENCE, [20], [then], 25) is expected


@pytest.mark.parametrize(("first", "expected"), [(15, False), (16, True), (17, True)])
def test_a_first_event_counts_while_it_is_in_the_window_whatever_the_second_one_is(first: int, expected: bool) -> None:
    assert answer_of(SEQUENCE, [first], [first + 3], 25) is expected


def test_the_second_event_of_one_first_may_be_the_second_of_another() -> None:
    assert answer_of(SEQUENCE, [20, 21], [22], 30) is True
    assert answer_of(SEQUENCE, [20, 21], [22], 31) is False


@pytest.mark.parametrize(("other", "expected"), [(20, False), (21, True), (23, True), (24, False)])
def test_the_same_selector_twice_needs_two_events_in_different_milliseconds(other: int, expected: bool) -> None:
    assert answer(TWICE, [20], 25) is False
    assert answer(TWICE, [20, other], 25) is expected


@pytest.mark.parametrize(
    ("first", "expected"), [(9, False), (10, True), (11, True), (19, True), (20, True), (21, False)]
)
def test_an_absolute_interval_bounds_the_first_event(first: int, expected: bool) -> None:
    assert answer_of(absolute(10, 20), [first], [first + 1], 1_000) is expected


@pytest.mark.parametrize(("then", "expected"), [(22, True), (23, True), (24, False)])
def test_the_second_event_may_come_behind_the_intervals_end(then: int, expected: bool) -> None:
    assert answer_of(absolute(10, 20), [20], [then], 1_000) is expected


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        pytest.param(Event("late", "b", START + 19), False, id="before the first"),
        pytest.param(Event("late", "b", START + 23), True, id="just soon enough"),
        pytest.param(Event("late", "b", START + 24), False, id="just too late"),
        pytest.param(Event("late", "a", START + 23), False, id="a first one behind which the second is too late"),
        pytest.param(Event("late", "a", START + 24), True, id="a first one whose second was there"),
        pytest.param(Event("late", "a", START + 27), False, id="a first one at the second's own instant"),
    ],
)
def test_an_event_that_arrives_late_completes_what_waited_for_it(late: Event, expected: bool) -> None:
    known = [Event("a", "a", START + 20), Event("b", "b", START + 27)]
    assert answer_for(SEQUENCE, known, START + 28) is False
    assert answer_for(SEQUENCE, [*known, late], START + 28) is expected


@pytest.mark.parametrize(
    ("leaf", "problem"),
    [
        ({**SEQUENCE, "then_within": "0d"}, "longer than 0"),
        ({**SEQUENCE, "then_within": "731d"}, "at most 730d"),
        ({**SEQUENCE, "within": "0d"}, "longer than 0"),
        ({**SEQUENCE, "since": iso(START)}, "give one of the two"),
        ({**SEQUENCE, "first": {}}, "name the events"),
        ({**SEQUENCE, "first": {"event": "a", "any_of": [{"event": "b"}]}}, "one of the two"),
        ({**SEQUENCE, "then": {"event": "a", "within": "3d"}}, "not known here"),
        ({name: value for name, value in SEQUENCE.items() if name != "then"}, "required"),
        ({name: value for name, value in SEQUENCE.items() if name != "then_within"}, "required"),
    ],
)
def test_a_sequence_that_means_nothing_is_refused_with_the_remedy(leaf: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadDefinition, match=problem):
        check([parse_cohort({"key": "c", "when": leaf})])


def test_a_finding_inside_a_sequence_names_its_place() -> None:
    with pytest.raises(BadDefinition) as refused:
        parse_cohort({"key": "c", "when": {**SEQUENCE, "then": {"event": "a", "where": [{"op": "exact"}]}}})
    assert refused.value.path == "when.then.where[0].property"
