"""What one step of a shard writes. Pure: states and instants in, a `ShardCommit` out.

A step folds waiting deltas and runs due timers in one commit, at one instant. What does not fit into a
commit goes out in several; the rule for those keeps two promises of the position:

* its `now` never passes an instant before all input up to it is folded. So folds that are not the last of
  their input are evaluated at the shard's old instant, and leave offset and instant where they were;
* its `now` never passes a timer that has not run. So when more timers are due than fit, the commit is
  dated at the first one left.

**An edit that takes over** is told subject by subject: whoever a commit looks at first goes over from the answers
of the version that was replaced, which is kept up for a while, to those of the active one, and a sweep brings the
rest. What a consumer holds of a subject is therefore the old answer or the new one. Where the two are the same it
does not matter which; where they differ the owner remembers who went over (`Shard.switched`). An owner that cannot
know, since another one began, tells such a subject's answer rather twice than not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from cohort_store.changes import ENTERED, LEFT, Cause, Change, encode_change
from cohort_store.deltas import Delta, Stretch
from cohort_store.durations import format_instant
from cohort_store.folding import Folded, Replayed, advance, fold
from cohort_store.forgetting import erased
from cohort_store.plans import CohortPlan, Plan, TeamPlan
from cohort_store.ports import (
    COMMIT_BYTES_MAX,
    COMMIT_RECORDS_MAX,
    DistinctIdWrite,
    Due,
    Offset,
    Position,
    RecordWrite,
    ShardCommit,
    commit_bytes,
)
from cohort_store.records import EMPTY, Ahead, Forgotten, Record, encode_record, outside
from cohort_store.subjects import Subject
from processors.membership.answers import is_member, was_member

DISTINCT_IDS_MAX = 500
"""Distinct ids a commit."""
SWITCHED_MAX = 100_000
"""Subjects a shard that are remembered to have gone over while an edit takes over; beyond, some are told twice."""


@dataclass(slots=True)
class Shard:
    """A shard as its owner knows it: as of its last commit."""

    number: int
    position: Position
    known: bool
    """Whether the store has a position for it."""
    next_due_ms: int | None = 0
    """No timer is due before this; None: none at all."""
    records_max: int = COMMIT_RECORDS_MAX
    """Records that its next commit may hold; halved by a commit that came out too large, and grown again."""
    sweep: str | None = None
    """Cursor of the sweep under way over the shard's records, while `sweeping`."""
    sweeping: bool = False
    switched: set[Subject] | None = None
    """While an edit takes over: those who went over, and for whom old and new answers differ. None: not known."""


@dataclass(slots=True)
class Work:
    """What waits for one shard: deltas by subject, and the offsets that they reach when all are folded."""

    shard: Shard
    offsets: Mapping[str, Offset]
    deltas: dict[Subject, list[Delta]] = field(default_factory=dict)
    distinct_ids: list[DistinctIdWrite] = field(default_factory=list)
    seeded: set[Subject] = field(default_factory=set)
    """Of whom all that waits is history that is filled in."""
    mended: dict[Subject, Stretch] = field(default_factory=dict)
    """Whose records went wrong: what waits is all that is true of them in that stretch of time."""
    forgotten: dict[Subject, Forgotten] = field(default_factory=dict)
    """Who is to be forgotten."""
    restored_ms: int | None = None
    """With all of it folded, the shard is whole again if that is when it began anew."""

    @property
    def has_input(self) -> bool:
        """Whether there is anything to fold; without, only timers are left, which come up again by themselves."""
        return bool(self.deltas or self.distinct_ids or self.restored_ms is not None)


class Instant(NamedTuple):
    """When a step takes place: the shard's now, and the clock that numbers its changes."""

    now_ms: int
    clock_us: int
    stale: bool
    commit_id: bytes
    """Random, and new with every round of commits."""


@dataclass(slots=True)
class Step:
    """One commit, with what the owner remembers once it is in."""

    shard: Shard
    commit: ShardCommit
    records: dict[Subject, Record]
    next_due_ms: int | None
    rest: Work | None
    """What is still to be done; None when the work is finished."""
    overflow: list[tuple[Subject, Ahead]]
    cut: int
    """How many timelines were cut at a cap."""
    switched: dict[Subject, bool]
    """Who went over to a version that takes over, and whether the old answers differ from hers now."""
    is_too_large: bool
    """Whether the commit is beyond its bound, and fewer records would make it smaller."""


@dataclass(slots=True)
class Draft:
    """Collects one commit's writes, changes and due times."""

    shard: Shard
    plan: Plan
    at_ms: int
    sequence: int
    commit_id: bytes
    writes: list[RecordWrite] = field(default_factory=list)
    changes: list[bytes] = field(default_factory=list)
    records: dict[Subject, Record] = field(default_factory=dict)
    overflow: list[tuple[Subject, Ahead]] = field(default_factory=list)
    cut: int = 0
    switched: dict[Subject, bool] = field(default_factory=dict)
    earliest_ms: int | None = None
    wire_instant: str = ""
    record_bytes: int = 0
    """What `commit_bytes` counts of the writes."""

    def fold(self, subject: Subject, before: Record, work: Work) -> None:
        """Fold what waits for a subject into her record."""
        if subject in work.mended or subject in work.forgotten:
            self.advance(subject, before, work, Cause.RECONCILE)
            return
        folded = fold(before, work.deltas[subject], self.plan.team(subject.team), self.at_ms)
        if not isinstance(folded, Replayed):
            self._write(subject, before, folded, Cause.BACKFILL if subject in work.seeded else Cause.EVENT)

    def advance(self, subject: Subject, before: Record, work: Work | None, cause: Cause) -> None:
        """Fold what waits for a subject, if anything does, then ask everything anew and set the timer."""
        team = self.plan.team(subject.team)
        deltas = work.deltas.get(subject, ()) if work else ()
        mended = work.mended.get(subject) if work else None
        forgotten = work.forgotten.get(subject) if work else None
        present = before if mended is None else outside(before, *mended)
        if mended is not None:
            cause = Cause.RECONCILE
        if forgotten is not None:
            present, cause = erased(present, forgotten), Cause.ERASE
        if deltas:
            folded = fold(present, deltas, team, self.at_ms)
            if not isinstance(folded, Replayed):
                present = folded.record
                self.overflow += ((subject, ahead) for ahead in folded.overflow)
                self.cut += folded.cut
        anew = mended is not None or forgotten is not None
        self._write(subject, before, advance(present, team, self.at_ms), cause, anew=anew)

    def _write(self, subject: Subject, before: Record, folded: Folded, cause: Cause, *, anew: bool = False) -> None:
        """`anew`: what is stored may be another thing than what her record says, so all of it is written."""
        record, due_ms = folded.record, folded.due_ms
        self.records[subject] = record
        self.cut += folded.cut
        if folded.overflow:
            self.overflow += ((subject, ahead) for ahead in folded.overflow)
        if due_ms is not None and (self.earliest_ms is None or due_ms < self.earliest_ms):
            self.earliest_ms = due_ms
        raw = encode_record(record) if record.is_stored else None
        self.record_bytes += len(subject.id) + (len(raw) if raw else 0)
        joined: tuple[int, ...] = ()
        departed: tuple[int, ...] = ()
        fresh: Sequence[CohortPlan] = ()
        ready = self.shard.position.ready
        if ready < self.plan.taken_over_in:
            fresh = [cohort for cohort in self.plan.team(subject.team).taken_over if ready < cohort.in_force_from]
        if record.memberships is not before.memberships and record.memberships != before.memberships:
            joined = tuple(record.memberships - before.memberships)
            departed = tuple(before.memberships - record.memberships)
            self._tell(subject, before, record, cause, fresh)
        if fresh:
            self._tell_over(subject, before, record, cause, fresh)
        if anew:
            joined = tuple(record.memberships)
            departed = tuple((_handles(self.plan.team(subject.team)) | before.memberships) - record.memberships)
        self.writes.append(RecordWrite(subject, raw, joined, departed, due_ms, folded.is_whole))

    def _tell(
        self, subject: Subject, before: Record, after: Record, cause: Cause, but: Sequence[CohortPlan] = ()
    ) -> None:
        """Tell what readers of active versions see change; nothing while nothing is known, the answer once it is."""
        team = self.plan.team(subject.team)
        for handle in sorted({abs(handle) for handle in before.memberships ^ after.memberships}):
            cohort = team.by_handle.get(handle)
            if cohort is not None and cohort.active and cohort not in but:
                member = is_member(cohort, after)
                if member is not None:
                    self.tell(subject, cohort, member, cause)

    def _tell_over(
        self, subject: Subject, before: Record, after: Record, cause: Cause, fresh: Sequence[CohortPlan]
    ) -> None:
        """Let the subject go over to the versions that took over: tell what differs from what was told before."""
        differ = False
        for cohort in fresh:
            was, now = is_member(cohort, before), is_member(cohort, after)
            if now is not None and self._held(subject, cohort, before) is not now:
                self.tell(subject, cohort, now, Cause.EDIT if was is now else cause)
            differ |= was_member(cohort, after) is not now
        self.switched[subject] = differ

    def _held(self, subject: Subject, cohort: CohortPlan, before: Record) -> bool | None:
        """What was told of her last, as the old version's or the new one's answer; None where nobody knows which.

        Of a subject without a record nobody was told, so consumers go by what holds for an empty history now.
        """
        old, new = was_member(cohort, before), is_member(cohort, before)
        switched = self.shard.switched
        if old is new or before.is_empty:
            return new
        if switched is None:
            return None
        return new if subject in switched else old

    def _wire_instant(self) -> str:
        """PostHog's form of the draft's instant: `2026-01-12 12:00:00.000000`, UTC."""
        if not self.wire_instant:
            self.wire_instant = format_instant(self.at_ms).replace("T", " ").replace("Z", "000")
        return self.wire_instant

    def tell(self, subject: Subject, cohort: CohortPlan, entered: bool, cause: Cause) -> None:
        """Add one change."""
        self.sequence += 1
        self.changes.append(
            encode_change(
                Change(
                    person_id=subject.id,
                    team_id=subject.team,
                    cohort_id=cohort.cohort_id,
                    status=ENTERED if entered else LEFT,
                    last_updated=self._wire_instant(),
                    cohort=cohort.key,
                    version=cohort.number,
                    cause=cause,
                    shard=self.shard.number,
                    sequence=self.sequence,
                    kind=subject.kind,
                )
            )
        )


def _handles(team: TeamPlan) -> frozenset[int]:
    """Every handle that a record of the team may have in its memberships."""
    return frozenset(handle for known in team.by_handle for handle in (known, -known))


def plan_step(work: Work, due: Due, records: Mapping[Subject, Record], plan: Plan, instant: Instant) -> Step:
    """The next commit of a shard. `records` holds every subject of the work and of `due` that has a record.

    `work` is left as it is; what the commit does not finish is the step's `rest`.
    """
    shard = work.shard
    folds = list(work.deltas)[: shard.records_max]
    pairs = work.distinct_ids[:DISTINCT_IDS_MAX]
    if len(folds) < len(work.deltas) or len(pairs) < len(work.distinct_ids):
        draft = _draft(shard, plan, shard.position.now_ms, instant)
        for subject in folds:
            draft.fold(subject, records.get(subject, EMPTY), work)
        return _finish(draft, shard.next_due_ms, shard.position, pairs, _rest(work, len(folds), len(pairs)))
    crowded = len(folds) + len(due.subjects) > shard.records_max
    timers = () if crowded and folds else due.subjects
    at_ms = _dated(shard, due, instant) if timers == due.subjects else shard.position.now_ms
    draft = _draft(shard, plan, at_ms, instant)
    running = set(timers)
    for subject in folds:
        if subject not in running:
            draft.fold(subject, records.get(subject, EMPTY), work)
    for subject in timers:
        draft.advance(subject, records.get(subject, EMPTY), work, Cause.TIMER)
    position = shard.position._replace(
        now_ms=at_ms, offsets={**shard.position.offsets, **work.offsets}, stale=instant.stale
    )
    if work.restored_ms is not None and work.restored_ms == position.warm_from_ms:
        position = position._replace(warm_from_ms=0)
    left_ms = due.next_due_ms if timers == due.subjects else shard.next_due_ms
    rest = None if at_ms == instant.now_ms else Work(shard, work.offsets)
    return _finish(draft, left_ms, position, pairs, rest)


def plan_sweep(
    shard: Shard,
    subjects: Iterable[Subject],
    records: Mapping[Subject, Record],
    plan: Plan,
    instant: Instant,
    *,
    is_last: bool,
    cause: Cause = Cause.EDIT,
) -> Step:
    """Look at a page of records with a new plan, at the shard's present instant; tell what an edit changed.

    `is_last`: with these, every record of the shard has been looked at; so the position says `ready`.
    """
    draft = _draft(shard, plan, shard.position.now_ms, instant)
    for subject in subjects:
        before = records.get(subject, EMPTY)
        draft.advance(subject, before, None, cause)
    position = shard.position._replace(ready=plan.version) if is_last else shard.position
    return _finish(draft, shard.next_due_ms, position)


def plan_telling(
    shard: Shard,
    told: Iterable[tuple[Subject, CohortPlan]],
    records: Mapping[Subject, Record],
    plan: Plan,
    instant: Instant,
) -> Step:
    """Tell, as `reconcile`, which side of a cohort each of these subjects is on."""
    draft = _draft(shard, plan, shard.position.now_ms, instant)
    for subject, cohort in told:
        member = is_member(cohort, records.get(subject, EMPTY))
        if member is not None:
            draft.tell(subject, cohort, member, Cause.RECONCILE)
    return _finish(draft, shard.next_due_ms, shard.position)


def remember_switched(shard: Shard, switched: Mapping[Subject, bool]) -> None:
    """Once a step's commit is in: who went over, as far as it matters."""
    if shard.switched is None or not switched:
        return
    shard.switched.difference_update(switched)
    shard.switched.update(subject for subject, differ in switched.items() if differ)
    if len(shard.switched) > SWITCHED_MAX:
        shard.switched = None


def _dated(shard: Shard, due: Due, instant: Instant) -> int:
    """The instant of a step that runs `due`: the shard's now, or the first timer that is left where one is before."""
    if due.next_due_ms is None or due.next_due_ms > instant.now_ms:
        return instant.now_ms
    return max(due.next_due_ms, shard.position.now_ms)


def _draft(shard: Shard, plan: Plan, at_ms: int, instant: Instant) -> Draft:
    return Draft(shard, plan, at_ms, max(shard.position.sequence, instant.clock_us), instant.commit_id)


def _finish(
    draft: Draft,
    left_ms: int | None,
    position: Position,
    pairs: Sequence[DistinctIdWrite] = (),
    rest: Work | None = None,
) -> Step:
    shard = draft.shard
    commit = ShardCommit(
        shard=shard.number,
        expected=shard.position.commit_id if shard.known else None,
        position=position._replace(
            sequence=draft.sequence if draft.changes else position.sequence, commit_id=draft.commit_id
        ),
        records=tuple(draft.writes),
        distinct_ids=tuple(pairs),
        changes=tuple(draft.changes),
        unlisted=draft.plan.unlisted,
    )
    is_too_large = len(draft.writes) > 1 and commit_bytes(commit, draft.record_bytes) > COMMIT_BYTES_MAX
    next_due_ms = _earlier(left_ms, draft.earliest_ms)
    return Step(
        shard, commit, draft.records, next_due_ms, rest, draft.overflow, draft.cut, draft.switched, is_too_large
    )


def _rest(work: Work, folds: int, pairs: int) -> Work:
    """The work without its first deltas and pairs. Whose deltas are folded is mended, or forgotten, by then."""
    deltas = dict(list(work.deltas.items())[folds:])
    mended = {subject: stretch for subject, stretch in work.mended.items() if subject in deltas}
    forgotten = {subject: tombstone for subject, tombstone in work.forgotten.items() if subject in deltas}
    return replace(work, deltas=deltas, distinct_ids=work.distinct_ids[pairs:], mended=mended, forgotten=forgotten)


def _earlier(left: int | None, right: int | None) -> int | None:
    if left is None or right is None:
        return right if left is None else left
    return min(left, right)
