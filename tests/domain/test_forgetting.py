"""Somebody who was forgotten is as one who only did what came after the instant, whatever comes again of before."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cohort_store.deltas import Delta, DeltaEntry, RegisterWrite
from cohort_store.folding import Folded, Replayed, advance, fold
from cohort_store.forgetting import erased
from cohort_store.person_updates import state_of
from cohort_store.records import EMPTY, Forgotten, Record, decode_record, encode_record
from tests.domain.roll import SOMEBODY, Roll, assert_follows, delta_of, plan_of
from tests.domain.strategies import HORIZON, LAST, START, Arrival, Cohorts, cohort_sets, streams, times

UNTIL = HORIZON + 1_000
AT = START + 10
FORGOTTEN = Forgotten(AT, UNTIL)
BUYERS: dict[str, Any] = {"key": "buyers", "when": {"kind": "performed", "event": "a", "within": "1h"}}
PRO: dict[str, Any] = {"key": "pro", "when": {"kind": "person_property", "property": "plan", "value": "pro"}}
PLAN = plan_of([BUYERS, PRO])
(SELECTOR,) = PLAN.selectors


@st.composite
def again(draw: st.DrawFn) -> tuple[list[Arrival], list[Arrival]]:
    """A stream, and everything that comes of it after she was forgotten: any order, any part of it twice."""
    arrivals = draw(streams())
    repeated = draw(st.lists(st.sampled_from(arrivals), max_size=4)) if arrivals else []
    return arrivals, draw(st.permutations([*arrivals, *repeated]))


@given(cohort_sets(), again(), times)
def test_whatever_comes_again_of_before_she_is_as_one_who_only_did_what_came_after_the_instant(
    cohorts: Cohorts, told: tuple[list[Arrival], list[Arrival]], at_ms: int
) -> None:
    arrivals, later = told
    roll = Roll(plan_of(cohorts))
    for arrival in arrivals:
        if arrival.at_ms <= at_ms:
            roll.run_timers(arrival.at_ms)
            roll.receive([arrival.event], arrival.at_ms)
    roll.run_timers(at_ms)
    roll.forget(Forgotten(at_ms, UNTIL), at_ms)
    assert_follows(roll, cohorts, [], [at_ms])
    now = max([START + LAST, *(arrival.at_ms for arrival in arrivals)])
    roll.run_timers(now)
    for arrival in later:
        roll.fold(delta_of(roll.plan, [arrival.event], arrival.at_ms), now)
    counting = [each.event for each in arrivals if each.at_ms > at_ms and each.event.time_ms > at_ms]
    assert_follows(roll, cohorts, counting, range(now, now + LAST))
    roll.run_timers(UNTIL)
    assert roll.record.forgotten is None


def bought(*times: int, arrival_ms: int | None = None) -> Delta:
    return Delta(SOMEBODY, tuple(DeltaEntry(SELECTOR, time_ms, 1) for time_ms in times), (), arrival_ms)


def set_plan(*writes: tuple[int, str]) -> Delta:
    return Delta(SOMEBODY, (), tuple(RegisterWrite("plan", version, value) for version, value in writes))


def after(delta: Delta, record: Record = EMPTY, now: int = AT + 1) -> Record:
    folded = fold(record, [delta], PLAN, now)
    return record if isinstance(folded, Replayed) else folded.record


ERASED = erased(EMPTY, FORGOTTEN)


def test_a_tombstone_alone_says_what_no_record_says_but_is_stored() -> None:
    assert ERASED.is_empty
    assert ERASED.is_stored
    assert decode_record(encode_record(ERASED)) == ERASED


def test_an_entry_of_the_instant_stays_away_and_one_a_millisecond_later_counts() -> None:
    assert after(bought(AT - 1, AT), ERASED) == ERASED
    assert after(bought(AT, AT + 1), ERASED).timelines == {SELECTOR: ((AT + 1, 1),)}


def test_an_entry_that_is_dated_later_stays_away_where_it_came_by_the_instant() -> None:
    assert after(bought(AT + 1, arrival_ms=AT), ERASED, AT) == ERASED
    assert after(bought(AT + 2, arrival_ms=AT + 1), ERASED, AT + 1).timelines == {SELECTOR: ((AT + 2, 1),)}


def test_of_a_record_only_entries_that_are_later_and_wait_for_nothing_are_left() -> None:
    record = after(bought(AT - 1, AT, AT + 1), now=AT + 1)
    record = after(bought(AT + 5, arrival_ms=AT - 3), record)
    assert record.ahead
    left = erased(after(set_plan((AT + 2, '"pro"')), record), FORGOTTEN)
    assert (left.timelines, left.registers, left.ahead) == ({SELECTOR: ((AT + 1, 1),)}, {}, ())


def test_writes_of_before_stay_away_those_that_are_set_once_and_lists_too() -> None:
    assert after(set_plan((AT, '"pro"'), (-AT, '"pro"'), (1, '"pro"')), ERASED) == ERASED
    assert after(set_plan((-AT - 1, '"pro"')), ERASED).registers == {"plan": (-AT - 1, '"pro"')}
    assert after(set_plan((AT + 1, '"pro"')), ERASED).registers == {"plan": (AT + 1, '"pro"')}


def test_a_whole_state_stays_away_up_to_the_highest_version_that_was_known() -> None:
    def state(version: int) -> Delta:
        return Delta(SOMEBODY, (), state_of({"plan": "pro"}, version, ["plan"]).writes)

    left = erased(after(state(7)), FORGOTTEN)
    assert after(state(7), left) == after(state(6), left) == left
    assert after(state(8), left).registers


def test_she_may_be_forgotten_again_and_the_later_instant_counts_in_any_order() -> None:
    later = Forgotten(AT + 5, UNTIL + 5)
    assert erased(erased(EMPTY, FORGOTTEN), later).forgotten == later
    assert erased(erased(EMPTY, later), FORGOTTEN).forgotten == later


def test_to_be_told_again_that_she_was_forgotten_leaves_what_is_new_of_her() -> None:
    back = after(set_plan((AT + 1, '"pro"')), after(bought(AT + 1), ERASED))
    assert erased(back, FORGOTTEN) == back
    assert erased(back, Forgotten(AT + 1, UNTIL)) == Record(back.memberships, forgotten=Forgotten(AT + 1, UNTIL))


def test_the_tombstone_goes_by_the_records_timer_and_not_a_millisecond_before() -> None:
    held = advance(ERASED, PLAN, UNTIL - 1)
    assert (held.record, held.due_ms, held.is_whole) == (ERASED, UNTIL, True)
    gone = advance(ERASED, PLAN, UNTIL)
    assert (gone.record, gone.due_ms) == (EMPTY, None)


def test_a_fold_keeps_the_tombstones_due_time() -> None:
    folded = fold(ERASED, [bought(AT + 1)], PLAN, AT + 1)
    assert isinstance(folded, Folded)
    assert folded.record.forgotten == FORGOTTEN
    assert folded.due_ms == UNTIL
