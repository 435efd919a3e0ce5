"""Each condition's three functions, held to their contract for any timelines, instants and later arrivals."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cohort_store.conditions.condition import Condition
from cohort_store.definitions import parse_cohort
from cohort_store.plans import conditions_of
from cohort_store.timelines import Timeline, at_or_before, union
from tests.domain.strategies import HORIZON, conditions, times

entries = st.tuples(times, st.integers(0, 2))
timelines = st.lists(entries, max_size=12).map(lambda found: tuple(sorted(set(found))))


def compiled(leaf: dict[str, Any]) -> Condition:
    (condition,) = conditions_of(parse_cohort({"key": "c", "when": leaf}).when)
    return condition


def keep(condition: Condition, timeline: Timeline, now: int) -> Timeline:
    (kept,) = condition.keep((timeline,), now)
    return kept


@given(conditions(), timelines, times)
def test_a_pruned_timeline_answers_as_the_whole_one_at_all_later_times(
    leaf: dict[str, Any], whole: Timeline, now: int
) -> None:
    condition = compiled(leaf)
    pruned = keep(condition, whole, now)
    for t in range(now, HORIZON):
        assert condition.holds((pruned,), t) == condition.holds((whole,), t), t


@given(conditions(), timelines, timelines, times)
def test_a_pruned_timeline_answers_as_the_whole_one_whatever_arrives_later_and_however_late(
    leaf: dict[str, Any], whole: Timeline, later: Timeline, now: int
) -> None:
    condition = compiled(leaf)
    pruned = union(keep(condition, whole, now), later)
    everything = union(whole, later)
    for t in range(now, HORIZON):
        assert condition.holds((pruned,), t) == condition.holds((everything,), t), t


@given(conditions(), st.lists(st.tuples(times, timelines), max_size=4))
def test_pruning_again_and_again_between_arrivals_loses_no_answer(
    leaf: dict[str, Any], arrivals: list[tuple[int, Timeline]]
) -> None:
    condition = compiled(leaf)
    kept: Timeline = ()
    everything: Timeline = ()
    for now, fresh in sorted(arrivals):
        everything = union(everything, fresh)
        kept = keep(condition, union(kept, fresh), now)
        for t in range(now, HORIZON):
            assert condition.holds((kept,), t) == condition.holds((everything,), t), (now, t)


@given(conditions(), timelines, times)
def test_what_is_kept_is_a_small_part_of_what_was_there(leaf: dict[str, Any], whole: Timeline, now: int) -> None:
    condition = compiled(leaf)
    kept = keep(condition, whole, now)
    assert set(kept) <= set(whole)
    assert kept == tuple(sorted(kept))
    assert at_or_before(kept, now) <= condition.entries_max
    assert keep(condition, kept, now) == kept


@given(conditions(), timelines, times)
def test_an_entry_that_left_a_rolling_window_is_not_kept(leaf: dict[str, Any], whole: Timeline, now: int) -> None:
    condition = compiled(leaf)
    if condition.warm_up_ms is not None:
        assert all(entry[0] > now - condition.warm_up_ms for entry in keep(condition, whole, now))


@given(conditions(), timelines, times)
def test_the_answer_does_not_differ_before_the_next_change(leaf: dict[str, Any], whole: Timeline, now: int) -> None:
    condition = compiled(leaf)
    change = condition.next_change((whole,), now)
    assert change is None or change > now
    for t in range(now, HORIZON if change is None else min(change, HORIZON)):
        assert condition.holds((whole,), t) == condition.holds((whole,), now), t


@given(conditions(), timelines, times)
def test_the_next_change_of_what_is_kept_is_never_late_either(leaf: dict[str, Any], whole: Timeline, now: int) -> None:
    condition = compiled(leaf)
    change = condition.next_change((keep(condition, whole, now),), now)
    for t in range(now, HORIZON if change is None else min(change, HORIZON)):
        assert condition.holds((whole,), t) == condition.holds((whole,), now), t


@given(conditions(), timelines, times)
def test_a_timeline_is_forgotten_at_the_instant_at_which_nothing_of_it_is_kept(
    leaf: dict[str, Any], whole: Timeline, now: int
) -> None:
    condition = compiled(leaf)
    kept = keep(condition, whole, now)
    if condition.next_change((kept,), now) is not None:
        return
    forgotten = condition.forget_at((kept,), now)
    if forgotten is None:
        assert not kept or keep(condition, kept, HORIZON)
    else:
        assert keep(condition, kept, forgotten - 1)
        assert not keep(condition, kept, forgotten)


@given(conditions(), timelines, times)
def test_how_late_a_condition_looks_back_is_its_warm_up(leaf: dict[str, Any], whole: Timeline, now: int) -> None:
    condition = compiled(leaf)
    if condition.warm_up_ms is not None:
        recent = tuple(entry for entry in whole if entry[0] > now)
        t = now + condition.warm_up_ms
        assert condition.holds((recent,), t) == condition.holds((whole,), t)
