"""Records that went wrong: what a mend makes of them, and of what is stored beside them."""

from cohort_store.deltas import Delta, DeltaEntry, DeltaMessage, ShardDeltas, Stretch
from cohort_store.ports import Due, Offset
from cohort_store.records import EMPTY, Record
from processors.membership.partition import Partition, Received
from processors.membership.progress import ProgressClock
from processors.membership.shards import Work, plan_step
from tests.membership.shards import MINUTE, PLAN, a_shard, bought, instant_at, person, told_by

(COHORT,) = PLAN.team(1).cohorts
(SELECTOR,) = PLAN.team(1).selectors
SHE = person(1)
NOW = 50 * MINUTE
UP_TO_NOW = Stretch(0, NOW)


def mending(*entries: int, stretch: Stretch = UP_TO_NOW) -> Work:
    """What waits where a mend with these entries' times came in, as an owner takes it in."""
    shard = a_shard(NOW)
    delta = Delta(SHE, tuple(DeltaEntry(SELECTOR, time_ms, 7) for time_ms in entries))
    message = DeltaMessage(b"mend", 1, (ShardDeltas(0, (delta,)),), mended=stretch)
    partition = Partition(0, {0: shard}, ProgressClock(0, 0), Offset(10, b"ten"), 0)
    (work,) = partition.take([Received(10, message)], 0)
    return work


def record(*times: int, member: bool = True) -> Record:
    line = tuple((time_ms, 7) for time_ms in times)
    return Record(frozenset({COHORT.handle} if member else ()), {SELECTOR: line} if line else {})


def test_a_lost_entry_comes_back_and_the_change_is_told_as_reconciled() -> None:
    step = plan_step(mending(40 * MINUTE), Due((), None), {}, PLAN, instant_at(NOW))
    assert step.records[SHE].timelines == {SELECTOR: ((40 * MINUTE, 7),)}
    assert told_by(step.commit) == [(SHE.id, "entered", "reconcile")]


def test_an_entry_that_is_not_true_goes_and_one_behind_the_stretch_stays() -> None:
    before = record(20 * MINUTE, 30 * MINUTE)
    stretch = Stretch(0, 25 * MINUTE)
    step = plan_step(mending(stretch=stretch), Due((), None), {SHE: before}, PLAN, instant_at(NOW))
    assert step.records[SHE].timelines == {SELECTOR: ((30 * MINUTE, 7),)}
    step = plan_step(mending(), Due((), None), {SHE: before}, PLAN, instant_at(NOW))
    assert step.records[SHE] == EMPTY
    assert told_by(step.commit) == [(SHE.id, "left", "reconcile")]


def test_what_is_stored_is_written_whole_though_the_record_says_the_same() -> None:
    before = record(40 * MINUTE)
    step = plan_step(mending(40 * MINUTE), Due((), None), {SHE: before}, PLAN, instant_at(NOW))
    (write,) = step.commit.records
    assert write.joined == (COHORT.handle,)
    assert set(write.departed) == {-COHORT.handle}
    assert step.commit.changes == ()


def test_a_record_of_nothing_is_deleted_with_all_that_is_stored_of_her() -> None:
    step = plan_step(mending(), Due((), None), {}, PLAN, instant_at(NOW))
    (write,) = step.commit.records
    assert (write.subject, write.record) == (SHE, None)


def test_a_live_event_beside_a_mend_stays_though_it_is_in_the_stretch() -> None:
    work = mending()
    work.deltas[SHE].append(bought(SHE, 45 * MINUTE))
    step = plan_step(work, Due((), None), {SHE: record(20 * MINUTE)}, PLAN, instant_at(NOW))
    assert step.records[SHE].timelines == {SELECTOR: ((45 * MINUTE, 7),)}


def test_a_mend_beside_her_timer_is_a_mend() -> None:
    work = mending(40 * MINUTE)
    step = plan_step(work, Due((SHE,), None), {SHE: record(1, 20 * MINUTE)}, PLAN, instant_at(NOW))
    (write,) = step.commit.records
    assert step.records[SHE].timelines == {SELECTOR: ((40 * MINUTE, 7),)}
    assert -COHORT.handle in write.departed
