"""Who is to be forgotten: what an owner leaves of her record, of what is stored beside it, and of her distinct ids."""

from collections.abc import Mapping
from dataclasses import replace

from cohort_store.deltas import Delta, DeltaMessage, Erasure, RegisterWrite, ShardDeltas, Stretch
from cohort_store.person_updates import STATES_ABOVE
from cohort_store.plans import Plan, compile_plan
from cohort_store.ports import COMMIT_RECORDS_MAX, DistinctIdWrite, Due, Offset
from cohort_store.records import EMPTY, Forgotten, Record, encode_record
from cohort_store.subjects import DISTINCT_ID, Subject
from processors.membership.partition import NOBODYS_KEPT_MS, Partition, Received
from processors.membership.progress import ProgressClock
from processors.membership.shards import Step, Work, plan_step
from tests.membership.shards import (
    MINUTE,
    PLAN,
    QUIET,
    a_shard,
    bought,
    instant_at,
    person,
    registry_of,
    told_by,
)

(COHORT,) = PLAN.team(1).cohorts
(SELECTOR,) = PLAN.team(1).selectors
SHE = person(1)
NOW = 50 * MINUTE
AT = NOW - 1_000
UNTIL = AT + 100 * MINUTE
TOMBSTONE = Forgotten(AT, UNTIL)
NOTHING_DUE = Due((), None)


def taken(*messages: DeltaMessage) -> Work:
    """What waits for the one shard where these messages came in."""
    partition = Partition(0, {0: a_shard(NOW)}, ProgressClock(0, 0), Offset(10, b"ten"), 0)
    (work,) = partition.take([Received(10 + number, message) for number, message in enumerate(messages)], 0)
    return work


def of(*deltas: Delta) -> DeltaMessage:
    return DeltaMessage(b"live", 1, (ShardDeltas(0, deltas),))


def forgetting(*subjects: Subject, erasure: Erasure = Erasure(AT, UNTIL)) -> DeltaMessage:  # noqa: B008 - immutable
    return DeltaMessage(b"forget", 1, (ShardDeltas(0, tuple(map(Delta, subjects))),), erasure=erasure)


def record(*times: int, stored: bool = True) -> Record:
    line = tuple((time_ms, 7) for time_ms in times)
    return Record(frozenset({COHORT.handle} if stored else ()), {SELECTOR: line} if line else {})


def stepped(work: Work, records: Mapping[Subject, Record], plan: Plan = PLAN, due: Due = NOTHING_DUE) -> Step:
    return plan_step(work, due, records, plan, instant_at(NOW))


def test_her_record_is_a_tombstone_and_that_she_left_is_told_as_an_erasure() -> None:
    step = stepped(taken(forgetting(SHE)), {SHE: record(40 * MINUTE)})
    (write,) = step.commit.records
    assert step.records[SHE] == Record(forgotten=TOMBSTONE)
    assert (write.record, write.joined) == (encode_record(Record(forgotten=TOMBSTONE)), ())
    assert set(write.departed) == {COHORT.handle, -COHORT.handle}
    assert (write.due_ms, write.rearm) == (UNTIL, True)
    assert told_by(step.commit) == [(SHE.id, "left", "erase")]


def test_in_a_cohort_that_holds_for_the_unseen_she_stands_as_one_of_them() -> None:
    quiet = compile_plan(registry_of(QUIET))
    (cohort,) = quiet.team(1).cohorts
    step = stepped(
        taken(forgetting(SHE)), {SHE: record(40 * MINUTE)._replace(memberships=frozenset({cohort.handle}))}, quiet
    )
    assert step.records[SHE] == Record(forgotten=TOMBSTONE)
    assert cohort.handle in step.commit.records[0].departed
    assert told_by(step.commit) == [(SHE.id, "entered", "erase")]


def test_somebody_of_whom_nothing_is_known_is_kept_away_too_and_nothing_is_told() -> None:
    step = stepped(taken(forgetting(SHE)), {})
    assert step.records[SHE] == Record(forgotten=TOMBSTONE)
    assert step.commit.changes == ()


def test_what_waits_beside_it_counts_by_its_time_whether_it_came_before_or_behind() -> None:
    old, new = of(bought(SHE, AT)), of(bought(SHE, AT + 1))
    for messages in ((old, new, forgetting(SHE)), (forgetting(SHE), old, new), (old, forgetting(SHE), new)):
        step = stepped(taken(*messages), {SHE: record(20 * MINUTE)})
        assert step.records[SHE].timelines == {SELECTOR: ((AT + 1, 7),)}


def test_what_comes_again_later_needs_no_write() -> None:
    step = stepped(taken(of(bought(SHE, 40 * MINUTE), bought(SHE, AT))), {SHE: Record(forgotten=TOMBSTONE)})
    assert step.commit.records == ()


def test_a_mend_out_of_an_old_history_brings_nothing_back() -> None:
    mend = of(bought(SHE, 40 * MINUTE))._replace(mended=Stretch(0, NOW))
    step = stepped(taken(mend), {SHE: Record(forgotten=TOMBSTONE)})
    assert step.records[SHE] == Record(forgotten=TOMBSTONE)
    assert step.commit.changes == ()


def test_her_tombstone_goes_when_its_time_has_come() -> None:
    work = Work(a_shard(UNTIL, next_due_ms=UNTIL), {})
    step = plan_step(work, Due((SHE,), None), {SHE: Record(forgotten=TOMBSTONE)}, PLAN, instant_at(UNTIL))
    (write,) = step.commit.records
    assert (write.subject, write.record) == (SHE, None)
    assert step.records[SHE] == EMPTY


def test_her_distinct_id_is_nobodys_for_every_pair_up_to_the_instant() -> None:
    her_id = Subject(1, DISTINCT_ID, "d")
    pair = of(Delta(her_id, (), (RegisterWrite("person", AT, SHE.id),)))
    step = stepped(taken(pair, forgetting(her_id)), {})
    assert step.commit.distinct_ids == (
        DistinctIdWrite(1, "d", SHE.id, AT),
        DistinctIdWrite(1, "d", "", AT + 1, kept_ms=UNTIL - AT),
    )


def test_a_distinct_id_that_its_source_deleted_is_nobodys_for_longer_than_topics_keep_older_pairs() -> None:
    deleted = Delta(Subject(1, DISTINCT_ID, "d"), (), (RegisterWrite("person", STATES_ABOVE + 101, ""),))
    step = stepped(taken(of(deleted)), {})
    nobodys = DistinctIdWrite(1, "d", "", STATES_ABOVE + 101, kept_ms=NOBODYS_KEPT_MS)
    assert step.commit.distinct_ids == (nobodys,)


def test_one_whose_erasure_or_mend_is_done_is_not_erased_or_mended_again_by_the_rest_of_the_work() -> None:
    others = [person(number) for number in range(2, COMMIT_RECORDS_MAX + 2)]
    mended = person(0)
    work = taken(
        forgetting(SHE),
        of(bought(mended, 45 * MINUTE))._replace(mended=Stretch(0, NOW)),
        of(*(bought(each, 40 * MINUTE) for each in others)),
    )
    first = stepped(work, {})
    rest = first.rest
    assert rest is not None
    back = Record(first.records[SHE].memberships, {}, {"plan": (AT + 5, '"pro"')}, forgotten=TOMBSTONE)
    assert not rest.forgotten
    assert not rest.mended
    again = stepped(
        replace(rest, shard=a_shard(NOW, next_due_ms=NOW)), {**first.records, SHE: back}, due=Due((mended,), None)
    )
    assert again.records[mended].timelines == {SELECTOR: ((45 * MINUTE, 7),)}
