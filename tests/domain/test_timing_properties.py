"""The evaluation rule against the oracle: lateness, timers, schedules and edits, for any definitions and histories.

Two routes to the same state are never compared with each other alone: each is held to the oracle's answer over the
whole history, now and at every later millisecond at which it can change. Answers are compared, never bytes.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cohort_store.conditions.condition import RegisterCondition
from cohort_store.folding import AHEAD_MAX, advance
from cohort_store.plans import compile_plan
from cohort_store.records import EMPTY
from cohort_store.timelines import at_or_before
from tests.domain.roll import Roll, assert_follows, delta_of, members, plan_of, registry_of
from tests.domain.strategies import (
    HORIZON,
    LAST,
    START,
    Arrival,
    Cohorts,
    cohort_sets,
    histories,
    negative_cohorts,
    streams,
    times,
)
from tests.oracle.membership import Event, members_at


@given(cohort_sets(), histories(), times)
def test_a_history_folded_at_once_is_followed_by_timers_alone(cohorts: Cohorts, events: list[Event], now: int) -> None:
    roll = Roll(plan_of(cohorts))
    roll.receive(events, now)
    assert_follows(roll, cohorts, events, range(now, HORIZON))


@given(cohort_sets(), streams())
def test_late_and_early_events_leave_every_instant_answered_as_by_the_whole_history(
    cohorts: Cohorts, stream: list[Arrival]
) -> None:
    roll, known = Roll(plan_of(cohorts)), list[Event]()
    for t in range(START, HORIZON):
        roll.run_timers(t)
        for at_ms, event in stream:
            if at_ms == t:
                roll.receive([event], t)
                known.append(event)
        assert roll.members() == members_at(cohorts, known, t), f"at {t}"


@given(cohort_sets(), histories())
def test_no_flip_falls_between_two_due_times(cohorts: Cohorts, events: list[Event]) -> None:
    roll = Roll(plan_of(cohorts))
    roll.receive(events, START)
    t = START
    while roll.due_ms is not None and roll.due_ms < HORIZON:
        for between in range(t, roll.due_ms):
            assert members_at(cohorts, events, between) == roll.members(), f"at {between}, due {roll.due_ms}"
        t = roll.due_ms
        roll.advance(t)
    for after in range(t, HORIZON):
        assert members_at(cohorts, events, after) == roll.members(), f"at {after}, nothing due"


@given(cohort_sets(), streams(), st.lists(times, max_size=5))
def test_whatever_the_schedule_of_folds_and_timers_the_answer_at_a_question_is_the_same(
    cohorts: Cohorts, stream: list[Arrival], questions: list[int]
) -> None:
    """Timers run only when asked, so late and several at once; events wait for a question, and come as a batch."""
    roll, waiting = Roll(plan_of(cohorts)), list(stream)
    known: list[Event] = []
    for now in sorted({*questions, START + LAST}):
        batch = [event for at_ms, event in waiting if at_ms <= now]
        waiting = [arrival for arrival in waiting if arrival.at_ms > now]
        roll.receive(batch, now)
        known += batch
        if roll.due_ms is not None and roll.due_ms <= now:
            roll.advance(now)
        assert roll.members() == members_at(cohorts, known, now), f"at {now}"


@given(cohort_sets(), streams(), times)
def test_an_extra_timer_at_any_instant_changes_no_answer(cohorts: Cohorts, stream: list[Arrival], extra: int) -> None:
    roll, known = Roll(plan_of(cohorts)), list[Event]()
    for t in range(START, HORIZON):
        for at_ms, event in stream:
            if at_ms == t:
                roll.receive([event], t)
                known.append(event)
        roll.run_timers(t)
        if t == extra:
            roll.advance(t)
        assert roll.members() == members_at(cohorts, known, t), f"at {t}"


@given(cohort_sets(), streams())
def test_changes_told_one_after_the_other_lead_to_the_memberships(cohorts: Cohorts, stream: list[Arrival]) -> None:
    roll = Roll(plan_of(cohorts))
    for at_ms, event in stream:
        roll.run_timers(at_ms)
        roll.receive([event], at_ms)
    roll.run_timers(HORIZON)
    stored: set[int] = set()
    for _, handle, is_stored in roll.changes:
        assert is_stored is not (handle in stored), "a change that changes nothing"
        stored ^= {handle}
    assert stored == set(roll.record.memberships)


@given(negative_cohorts(), streams())
def test_purely_negative_cohorts_hold_for_the_unseen_and_follow_the_oracle_for_the_seen(
    cohorts: Cohorts, stream: list[Arrival]
) -> None:
    plan = plan_of(cohorts)
    assert all(cohort.complemented for cohort in plan.cohorts)
    assert members(EMPTY, plan) == {"c0": True}
    roll, known = Roll(plan), list[Event]()
    for t in range(START, HORIZON):
        roll.run_timers(t)
        roll.receive([event for at_ms, event in stream if at_ms == t], t)
        known += [event for at_ms, event in stream if at_ms == t]
        assert roll.members() == members_at(cohorts, known, t), f"at {t}"


@given(cohort_sets(), cohort_sets(), streams(), times)
def test_an_edited_definition_answers_as_a_fresh_one_once_its_history_is_complete(
    before: Cohorts, after: Cohorts, stream: list[Arrival], edited_at: int
) -> None:
    """The whole history comes again behind the edit, as a backfill does; live events go on meanwhile."""
    first = registry_of(before)
    roll = Roll(compile_plan(first).team(1))
    for at_ms, event in stream:
        if at_ms < edited_at:
            roll.run_timers(at_ms)
            roll.receive([event], at_ms)
    second = compile_plan(registry_of(after, first)).team(1)
    roll.run_timers(edited_at)
    roll.adopt(second, edited_at)
    known = [event for at_ms, event in stream if at_ms < edited_at]
    roll.fold(delta_of(second, known), edited_at)
    newest = {cohort["key"]: max(c.handle for c in second.cohorts if c.key == cohort["key"]) for cohort in after}
    for t in range(edited_at, HORIZON):
        roll.run_timers(t)
        fresh = [event for at_ms, event in stream if at_ms == t]
        roll.receive(fresh, t)
        known += fresh
        stored = {key: handle in roll.record.memberships for key, handle in newest.items()}
        answers = {key: stored[key] is not second.by_handle[handle].complemented for key, handle in newest.items()}
        assert answers == members_at(after, known, t), f"at {t}"


@given(cohort_sets(), cohort_sets(), streams(), times)
def test_the_old_version_goes_on_answering_while_the_new_one_is_built(
    before: Cohorts, after: Cohorts, stream: list[Arrival], edited_at: int
) -> None:
    after = [*after, *(cohort for cohort in before if cohort["key"] not in {other["key"] for other in after})]
    first = registry_of(before)
    roll, known = Roll(compile_plan(first).team(1)), list[Event]()
    for t in range(START, HORIZON):
        roll.run_timers(t)
        if t == edited_at:
            roll.adopt(compile_plan(registry_of(after, first)).team(1), t)
        fresh = [event for at_ms, event in stream if at_ms == t]
        roll.receive(fresh, t)
        known += fresh
        old = {c.key: c.versions[0].handle for c in first.teams[1].cohorts}
        of_handle = roll.plan.by_handle
        answers = {key: (h in roll.record.memberships) is not of_handle[h].complemented for key, h in old.items()}
        assert answers == members_at(before, known, t), f"at {t}"


@given(cohort_sets(), streams())
def test_a_record_keeps_no_more_than_its_conditions_together_may(cohorts: Cohorts, stream: list[Arrival]) -> None:
    """Entries that were still to come at the last write are cut with the next one, which may be a timer's."""
    roll = Roll(plan_of(cohorts))
    for at_ms, event in stream:
        roll.run_timers(at_ms)
        roll.receive([event], at_ms)
        written = advance(roll.record, roll.plan, at_ms).record
        for handle, line in written.timelines.items():
            readers = (roll.plan.conditions[index].condition for index in roll.plan.readers[handle])
            bound = sum(reader.entries_max for reader in readers if not isinstance(reader, RegisterCondition))
            assert at_or_before(line, at_ms) <= bound
        assert len(written.ahead) <= AHEAD_MAX
        assert all(time_ms > at_ms for time_ms, _, _ in written.ahead)


@given(cohort_sets(), streams())
def test_an_empty_record_and_a_person_never_seen_are_the_same(cohorts: Cohorts, stream: list[Arrival]) -> None:
    """Once a record is empty nothing is stored of her; and one whose every entry expired is empty."""
    roll = Roll(plan_of(cohorts))
    never_seen = roll.members()
    for at_ms, event in stream:
        roll.run_timers(at_ms)
        roll.receive([event], at_ms)
        is_kept = roll.record.timelines or roll.record.registers
        assert bool(is_kept) or (roll.record == EMPTY and roll.members() == never_seen)
    roll.run_timers(HORIZON)
    if all(bound.condition.warm_up_ms is not None for bound in roll.plan.conditions):
        assert roll.record == EMPTY
        assert roll.due_ms is None
