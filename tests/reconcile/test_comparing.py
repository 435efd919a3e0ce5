"""Where two sides differ is told, and nothing is told where they agree, against brute force."""

from hypothesis import given
from hypothesis import strategies as st

from cohort_store.folding import Folded, ask_at, fold
from cohort_store.plans import TeamPlan
from cohort_store.records import EMPTY, Record
from processors.reconcile.comparing import Difference, Kind, Sides, differences
from tests.domain.roll import delta_of, plan_of
from tests.domain.strategies import HORIZON, Cohorts, cohort_sets, histories, times
from tests.oracle.membership import Event, members_at


def kept(plan: TeamPlan, events: list[Event], now: int) -> Record:
    """The record of somebody who did all that by then."""
    folded = fold(EMPTY, [delta_of(plan, events, now)], plan, now)
    return folded.record if isinstance(folded, Folded) else EMPTY


def inside(plan: TeamPlan, cohorts: Cohorts, events: list[Event], at_ms: int) -> frozenset[int]:
    """Of which versions she is a member by brute force."""
    members = members_at(cohorts, events, at_ms)
    return frozenset(cohort.handle for cohort in plan.cohorts if members[cohort.key])


def stored(plan: TeamPlan, record: Record, at_ms: int) -> frozenset[int]:
    ask = ask_at(record, plan, at_ms)
    return frozenset(each.handle for each in plan.cohorts if bool(each.verdict(ask)) is not each.complemented)


def compared(plan: TeamPlan, sides: Sides, at_ms: int) -> list[Difference]:
    return differences(sides, plan.cohorts, plan, at_ms)


@given(cohort_sets(), histories(), times)
def test_two_sides_that_know_the_same_events_do_not_differ(cohorts: Cohorts, events: list[Event], at_ms: int) -> None:
    plan = plan_of(cohorts)
    events = [event for event in events if event.time_ms <= at_ms]
    record = kept(plan, events, at_ms)
    sides = Sides(stored(plan, record, at_ms), at_ms, record, record, inside(plan, cohorts, events, at_ms))
    assert compared(plan, sides, at_ms) == []


@given(cohort_sets(), histories(), histories(max_size=3), times)
def test_a_cohort_is_told_of_if_the_two_sides_answer_differently_now_or_later_and_else_not(
    cohorts: Cohorts, events: list[Event], lost: list[Event], at_ms: int
) -> None:
    plan = plan_of(cohorts)
    events = [event for event in events if event.time_ms <= at_ms]
    whole = events + [each for each in lost if each.time_ms <= at_ms and each.uuid not in {e.uuid for e in events}]
    live, history = kept(plan, events, at_ms), kept(plan, whole, at_ms)
    sides = Sides(stored(plan, live, at_ms), at_ms, live, history, inside(plan, cohorts, whole, at_ms))
    told = {difference.handle: difference for difference in compared(plan, sides, at_ms)}
    answers = [(t, members_at(cohorts, events, t), members_at(cohorts, whole, t)) for t in range(at_ms, HORIZON)]
    for cohort in plan.cohorts:
        differs = [t for t, without, right in answers if without[cohort.key] != right[cohort.key]]
        assert (cohort.handle in told) == bool(differs)
        if differs:
            found = told[cohort.handle]
            assert (found.kind, found.at_ms) == (Kind.NOW if differs[0] == at_ms else Kind.LATER, differs[0])


@given(cohort_sets(), histories(), times, st.data())
def test_readers_who_find_another_thing_than_her_record_says_are_told_of(
    cohorts: Cohorts, events: list[Event], at_ms: int, data: st.DataObject
) -> None:
    plan = plan_of(cohorts)
    record = kept(plan, events, at_ms)
    right = stored(plan, record, at_ms)
    wrong = data.draw(st.sampled_from([cohort.handle for cohort in plan.cohorts]))
    sides = Sides(right ^ {wrong}, at_ms, record, record, inside(plan, cohorts, events, at_ms))
    assert [(each.handle, each.kind) for each in compared(plan, sides, at_ms)] == [(wrong, Kind.STORED)]
