"""What tests of a shard's steps share: its plan, persons and deltas, and the least of a store."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cohort_store.changes import Change, decode_change
from cohort_store.compiling import assign
from cohort_store.definitions import parse_cohort
from cohort_store.deltas import Delta, DeltaEntry
from cohort_store.durations import parse_instant_ms
from cohort_store.folding import Folded, fold
from cohort_store.plans import Plan, compile_plan
from cohort_store.ports import (
    COMMIT_RECORDS_MAX,
    DistinctIdWrite,
    Due,
    Offset,
    Position,
    ShardCommit,
)
from cohort_store.records import EMPTY, Record, decode_record
from cohort_store.registry import Registry
from cohort_store.subjects import Subject
from processors.membership.shards import (
    Instant,
    Shard,
    Work,
    plan_step,
)

TOPIC = "muster.deltas"
MINUTE = 60_000
BUYERS = {"key": "buyers", "when": {"kind": "performed", "event": "buy", "within": "60m"}}
QUIET = {"key": "quiet", "when": {"not": {"kind": "performed", "event": "buy", "within": "60m"}}}


def registry_of(*cohorts: Mapping[str, Any], before: Registry | None = None) -> Registry:
    parsed = [parse_cohort(cohort) for cohort in cohorts]
    return assign(before or Registry(), parsed, {}, applied="a", now=0)


PLAN = compile_plan(registry_of(BUYERS))


def a_shard(now_ms: int = 0, *, ready: int = 1, next_due_ms: int | None = None) -> Shard:
    position = Position(b"before", 0, 1, now_ms, ready, {TOPIC: Offset(10, b"ten")}, sequence=5)
    return Shard(0, position, known=True, next_due_ms=next_due_ms)


def person(number: int) -> Subject:
    return Subject(1, 0, f"person-{number:04}")


def bought(subject: Subject, time_ms: int, plan: Plan = PLAN) -> Delta:
    (selector,) = plan.team(1).selectors
    return Delta(subject, (DeltaEntry(selector, time_ms, 7),))


def work_of(shard: Shard, deltas: Iterable[Delta] = (), pairs: Sequence[DistinctIdWrite] = ()) -> Work:
    work = Work(shard, {TOPIC: Offset(20, b"twenty")}, distinct_ids=list(pairs))
    for delta in deltas:
        work.deltas.setdefault(delta.subject, []).append(delta)
    return work


def instant_at(now_ms: int, commit_id: bytes = b"fresh", clock_us: int = 0) -> Instant:
    return Instant(now_ms, clock_us, stale=False, commit_id=commit_id)


def changes_of(commit: ShardCommit) -> list[Change]:
    return [decode_change(change) for change in commit.changes]


def told_by(commit: ShardCommit) -> list[tuple[str, str, str]]:
    return [(change.person_id, change.status, change.cause) for change in changes_of(commit)]


class Ledger:
    """The least of a store that steps need: records, due times and the position, brought to the end of a work."""

    def __init__(self, shard: Shard, records: Mapping[Subject, tuple[Record, int]], plan: Plan = PLAN) -> None:
        self.shard = shard
        self.plan = plan
        self.records = {subject: record for subject, (record, _) in records.items()}
        self.due = {subject: due_ms for subject, (_, due_ms) in records.items()}
        self.shard.next_due_ms = min(self.due.values(), default=None)
        self.commits: list[ShardCommit] = []

    def finish(self, work: Work, now_ms: int) -> None:
        """Run the work's steps, each held to the promises of the position."""
        rest: Work | None = work
        while rest is not None:
            step = plan_step(rest, self._due(now_ms), self.records, self.plan, instant_at(now_ms))
            if step.is_too_large:
                self.shard.records_max = max(1, self.shard.records_max // 2)
                continue
            self._apply(step.commit)
            self.shard.position, self.shard.next_due_ms = step.commit.position, step.next_due_ms
            rest = step.rest

    def _due(self, now_ms: int) -> Due:
        if self.shard.next_due_ms is None or self.shard.next_due_ms > now_ms:
            return Due((), self.shard.next_due_ms)
        ordered = sorted((due_ms, subject) for subject, due_ms in self.due.items())
        due = [subject for due_ms, subject in ordered if due_ms <= now_ms][: self.shard.records_max]
        left = ordered[len(due) :]
        return Due(tuple(due), left[0][0] if left else None)

    def _apply(self, commit: ShardCommit) -> None:
        assert len(commit.records) <= COMMIT_RECORDS_MAX
        self.commits.append(commit)
        told_at = {parse_instant_ms(change.last_updated) for change in changes_of(commit)}
        assert told_at <= {commit.position.now_ms}, "what a commit says is as of its own now"
        for write in commit.records:
            self.records[write.subject] = EMPTY if write.record is None else decode_record(write.record)
            due_ms = write.due_ms
            if not write.rearm and write.subject in self.due:
                due_ms = min(self.due[write.subject], due_ms) if due_ms is not None else self.due[write.subject]
            self.due.pop(write.subject, None)
            if due_ms is not None and write.record is not None:
                self.due[write.subject] = due_ms
        missed = [due_ms for due_ms in self.due.values() if due_ms < commit.position.now_ms]
        assert not missed, "the position's now has passed a timer that has not run"


def bought_at(numbers: Iterable[int], time_ms: int) -> dict[Subject, tuple[Record, int]]:
    """Records of persons who bought, as of that instant, each with its due time."""
    found = {}
    for number in numbers:
        subject = person(number)
        folded = fold(EMPTY, [bought(subject, time_ms)], PLAN.team(1), time_ms)
        assert isinstance(folded, Folded)
        found[subject] = (folded.record, folded.due_ms or 0)
    return found


def folded_with(plan: Plan, time_ms: int, now_ms: int) -> Record:
    """Someone who bought, her record as `plan` has it at an instant."""
    folded = fold(EMPTY, [bought(person(1), time_ms, plan)], plan.team(1), now_ms)
    assert isinstance(folded, Folded)
    return folded.record
