"""Each condition's three functions, held to their contract for any timelines, instants and later arrivals."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cohort_store.conditions.aggregate import Aggregate
from cohort_store.conditions.condition import Condition, RegisterCondition
from cohort_store.conditions.count import Count
from cohort_store.conditions.performed import Performed
from cohort_store.conditions.sequence import Sequence
from cohort_store.definitions import parse_cohort
from cohort_store.event_values import Form
from cohort_store.plans import conditions_of
from cohort_store.timelines import Entry, Timeline, Timelines, at_or_before, union
from tests.domain.strategies import HORIZON, conditions, times

entries = st.tuples(times, st.integers(0, 2))
timelines = st.lists(entries, max_size=12).map(lambda found: tuple(sorted(set(found))))


def compiled(leaf: dict[str, Any]) -> Condition:
    (condition,) = conditions_of(parse_cohort({"key": "c", "when": leaf}).when)
    assert not isinstance(condition, RegisterCondition)
    return condition


def lines(condition: Condition, entries: Timeline) -> Timelines:
    """The timelines that a condition reads of true events.

    A first time's second one holds those that pass its tests too; a sequence's two overlap, and neither has all. An
    aggregate's entries have a value.
    """
    passing = tuple(entry for entry in entries if (entry[0] + entry[1]) % 3)
    first = tuple(entry for entry in entries if entry[1] != 1) if isinstance(condition, Sequence) else entries
    if isinstance(condition, Aggregate):
        return (tuple((*entry, _value(condition, entry)) for entry in entries),)
    return (first, passing) if len(condition.selectors) == 2 else (entries,)


def _value(condition: Aggregate, entry: Entry) -> int:
    """An entry's value: one of a few, in millionths, that follows from the entry."""
    value = ((entry[0] * 7 + entry[1] * 3) % 6 - 2) * 500_000
    reads = condition.selector.value
    return abs(value) if reads is not None and reads.form is Form.NON_NEGATIVE else value


def united(left: Timelines, right: Timelines) -> Timelines:
    return tuple(union(a, b) for a, b in zip(left, right, strict=True))


@given(conditions(), timelines, times)
def test_a_pruned_timeline_answers_as_the_whole_one_at_all_later_times(
    leaf: dict[str, Any], whole: Timeline, now: int
) -> None:
    condition = compiled(leaf)
    pruned = condition.keep(lines(condition, whole), now)
    for t in range(now, HORIZON):
        assert condition.holds(pruned, t) == condition.holds(lines(condition, whole), t), t


@given(conditions(), timelines, timelines, times)
def test_a_pruned_timeline_answers_as_the_whole_one_whatever_arrives_later_and_however_late(
    leaf: dict[str, Any], whole: Timeline, later: Timeline, now: int
) -> None:
    condition = compiled(leaf)
    pruned = united(condition.keep(lines(condition, whole), now), lines(condition, later))
    everything = lines(condition, union(whole, later))
    for t in range(now, HORIZON):
        assert condition.holds(pruned, t) == condition.holds(everything, t), t


@given(conditions(), st.lists(st.tuples(times, timelines), max_size=4))
def test_pruning_again_and_again_between_arrivals_loses_no_answer(
    leaf: dict[str, Any], arrivals: list[tuple[int, Timeline]]
) -> None:
    condition = compiled(leaf)
    everything: Timeline = ()
    kept = lines(condition, everything)
    for now, fresh in sorted(arrivals):
        everything = union(everything, fresh)
        kept = condition.keep(united(kept, lines(condition, fresh)), now)
        for t in range(now, HORIZON):
            assert condition.holds(kept, t) == condition.holds(lines(condition, everything), t), (now, t)


@given(conditions(), timelines, times)
def test_what_is_kept_is_a_small_part_of_what_was_there(leaf: dict[str, Any], whole: Timeline, now: int) -> None:
    condition = compiled(leaf)
    kept = condition.keep(lines(condition, whole), now)
    for before, after in zip(lines(condition, whole), kept, strict=True):
        assert set(after) <= set(before)
        assert after == tuple(sorted(after))
        assert at_or_before(after, now) <= condition.entries_max
    assert condition.keep(kept, now) == kept


@given(conditions(), timelines, times)
def test_an_entry_that_left_a_rolling_window_is_not_kept(leaf: dict[str, Any], whole: Timeline, now: int) -> None:
    condition = compiled(leaf)
    if condition.warm_up_ms is not None:
        for kept in condition.keep(lines(condition, whole), now):
            assert all(entry[0] > now - condition.warm_up_ms for entry in kept)


@given(conditions(), timelines, times)
def test_the_answer_does_not_differ_before_the_next_change(leaf: dict[str, Any], whole: Timeline, now: int) -> None:
    condition = compiled(leaf)
    change = condition.next_change(lines(condition, whole), now)
    assert change is None or change > now
    for t in range(now, HORIZON if change is None else min(change, HORIZON)):
        assert condition.holds(lines(condition, whole), t) == condition.holds(lines(condition, whole), now), t


@given(conditions(), timelines, times)
def test_the_next_change_of_what_is_kept_is_never_late_either(leaf: dict[str, Any], whole: Timeline, now: int) -> None:
    condition = compiled(leaf)
    change = condition.next_change(condition.keep(lines(condition, whole), now), now)
    for t in range(now, HORIZON if change is None else min(change, HORIZON)):
        assert condition.holds(lines(condition, whole), t) == condition.holds(lines(condition, whole), now), t


@given(conditions(), timelines, times)
def test_a_timeline_is_forgotten_at_the_instant_at_which_nothing_of_it_is_kept(
    leaf: dict[str, Any], whole: Timeline, now: int
) -> None:
    condition = compiled(leaf)
    kept = condition.keep(lines(condition, whole), now)
    if condition.next_change(kept, now) is not None:
        return
    forgotten = condition.forget_at(kept, now)
    if forgotten is None:
        assert not any(kept) or any(condition.keep(kept, HORIZON))
    else:
        assert any(condition.keep(kept, forgotten - 1))
        assert not any(condition.keep(kept, forgotten))


@given(conditions(), timelines, times)
def test_how_late_a_condition_looks_back_is_its_warm_up(leaf: dict[str, Any], whole: Timeline, now: int) -> None:
    condition = compiled(leaf)
    if condition.warm_up_ms is not None:
        recent = tuple(entry for entry in whole if entry[0] > now)
        t = now + condition.warm_up_ms
        assert condition.holds(lines(condition, recent), t) == condition.holds(lines(condition, whole), t)


@given(conditions(), timelines, times)
def test_a_threshold_of_a_count_is_crossed_at_the_very_instant_that_is_told(
    leaf: dict[str, Any], whole: Timeline, now: int
) -> None:
    """Why it matters: while a backlog is read, entries lie ahead of now, and an early answer is a timer for each."""
    condition = compiled(leaf)
    if isinstance(condition, Performed | Count):
        change = condition.next_change(lines(condition, whole), now)
        is_told = isinstance(condition, Performed) or condition.op not in ("eq", "ne")
        if change is not None and is_told:
            assert condition.holds(lines(condition, whole), change) != condition.holds(lines(condition, whole), now)
