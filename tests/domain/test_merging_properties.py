"""The state rule against the oracle: order, repetition, splits and merges make no difference to any answer.

Two routes to the same state are never compared with each other alone: each is held to the oracle's answer over the
whole history, now and at every later millisecond at which it can change. Answers are compared, never bytes.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cohort_store.deltas import DeltaMessage, by_shard, decode_message, encode_message
from cohort_store.folding import Folded, fold
from cohort_store.records import EMPTY, decode_record, encode_record
from tests.domain.roll import Roll, as_delta, assert_follows, delta_of, plan_of
from tests.domain.strategies import (
    HORIZON,
    Arrival,
    Cohorts,
    cohort_sets,
    histories,
    streams,
    times,
)
from tests.examples import aside
from tests.oracle.membership import Event

_shuffled = histories().flatmap(st.permutations)
_cut = st.integers(0, 10)


@given(cohort_sets(), _shuffled, times)
def test_events_in_any_order_give_the_answers_of_the_sorted_ones(
    cohorts: Cohorts, events: list[Event], now: int
) -> None:
    roll = Roll(plan_of(cohorts))
    for event in events:
        roll.receive([event], now)
    assert_follows(roll, cohorts, events, range(now, HORIZON))


@given(cohort_sets(), _shuffled, times)
def test_events_received_twice_give_the_answers_of_receiving_them_once(
    cohorts: Cohorts, events: list[Event], now: int
) -> None:
    roll = Roll(plan_of(cohorts))
    for event in events + events:
        roll.receive([event], now)
    assert_follows(roll, cohorts, events, range(now, HORIZON))


@given(cohort_sets(), histories(), times)
def test_a_redelivery_of_everything_at_the_same_instant_says_nothing_new(
    cohorts: Cohorts, events: list[Event], now: int
) -> None:
    roll = Roll(plan_of(cohorts))
    roll.receive(events, now)
    before = (roll.record, len(roll.changes))
    roll.receive(events, now)
    assert (roll.record, len(roll.changes)) == before


@given(cohort_sets(), _shuffled, _cut, times, times)
def test_two_states_merged_answer_as_one_that_received_everything(
    cohorts: Cohorts, events: list[Event], cut: int, pruned_at: int, merged_at: int
) -> None:
    pruned_at, merged_at = sorted((pruned_at, merged_at))
    left, right = Roll(plan_of(cohorts)), Roll(plan_of(cohorts))
    left.receive(events[:cut], pruned_at)
    right.receive(events[cut:], pruned_at)
    left.run_timers(merged_at)
    left.fold(as_delta(right.record), merged_at)
    assert_follows(left, cohorts, events, range(merged_at, HORIZON))


@given(cohort_sets(), _shuffled, _cut, _cut, times)
def test_a_state_that_overlaps_another_merges_into_it_without_counting_twice(
    cohorts: Cohorts, events: list[Event], first: int, last: int, now: int
) -> None:
    left, right = Roll(plan_of(cohorts)), Roll(plan_of(cohorts))
    left.receive(events[: max(first, last)], now)
    right.receive(events[min(first, last) :], now)
    left.fold(as_delta(right.record), now)
    assert_follows(left, cohorts, events, range(now, HORIZON))


@given(cohort_sets(), streams(), streams(), times)
def test_two_merged_persons_answer_as_one_person_from_the_start(
    cohorts: Cohorts, of_winner: list[Arrival], of_loser: list[Arrival], merged_at: int
) -> None:
    winner, loser = Roll(plan_of(cohorts)), Roll(plan_of(cohorts))
    of_loser = [Arrival(a.at_ms, a.event._replace(uuid=f"loser-{a.event.uuid}")) for a in of_loser]
    for roll, stream in ((winner, of_winner), (loser, of_loser)):
        for at_ms, event in stream:
            if at_ms <= merged_at:
                roll.run_timers(at_ms)
                roll.receive([event], at_ms)
    winner.run_timers(merged_at)
    winner.fold(as_delta(loser.record), merged_at)
    both = sorted(of_winner + of_loser)
    known = [event for at_ms, event in both if at_ms <= merged_at]
    for at_ms, event in both:
        if at_ms > merged_at:
            assert_follows(winner, cohorts, known, [at_ms])
            winner.receive([event], at_ms)
            known.append(event)
    assert_follows(winner, cohorts, known, range(max([merged_at, *(a.at_ms for a in both)]), HORIZON))


@aside()
@given(cohort_sets(), histories(), times)
def test_a_record_read_back_from_its_bytes_is_the_same_record(cohorts: Cohorts, events: list[Event], now: int) -> None:
    plan = plan_of(cohorts)
    outcome = fold(EMPTY, [delta_of(plan, events, now)], plan, now)
    if isinstance(outcome, Folded):
        assert decode_record(encode_record(outcome.record)) == outcome.record


@aside()
@given(cohort_sets(), st.lists(histories(), max_size=3), times)
def test_a_delta_message_read_back_from_its_bytes_is_the_same_message(
    cohorts: Cohorts, parts: list[list[Event]], now: int
) -> None:
    plan = plan_of(cohorts)
    message = DeltaMessage(b"12345678", 7, by_shard((delta_of(plan, events, now) for events in parts), 4))
    assert decode_message(encode_message(message)) == message
