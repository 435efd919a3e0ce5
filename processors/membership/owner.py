"""The owner of some partitions' shards: runs their steps against the store.

Not safe for concurrent use: its worker calls one method at a time. Everything it remembers of a shard is
as of that shard's last commit; when a commit is fenced or its fate unknown, the partition is given back
(`lost`) and has to be adopted anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from cohort_store.changes import Change, subject_of
from cohort_store.clocks import Clock
from cohort_store.plan_growth import leaves_records_alone
from cohort_store.plans import CohortPlan, Plan, compile_plan
from cohort_store.ports import (
    COMMIT_RECORDS_MAX,
    Due,
    MembershipStore,
    Offset,
    Outcome,
    Position,
)
from cohort_store.records import EMPTY, Ahead, decode_record
from cohort_store.registry import Registry
from cohort_store.subjects import Subject
from processors.backfill.wanted import is_refilled
from processors.membership.concurrency import together
from processors.membership.partition import Partition, Received, now_of
from processors.membership.progress import ProgressClock
from processors.membership.resume import Resumed
from processors.membership.shards import (
    Instant,
    Shard,
    Step,
    Work,
    plan_step,
    plan_telling,
    remember_switched,
)
from processors.membership.sweeping import Sweeping

COMMIT_ID_BYTES = 8
LANES = 2
"""Rounds of commits that are under way at a time: while one waits for the store, another is worked out."""
LANE_SHARDS_MIN = 16
"""Fewer are not worth an exchange of their own."""
TELL_MAX = 1_000
"""Changes that are told anew in one commit."""

HEARTBEAT_MS = 500
"""How often the position of a shard with nothing to do keeps up with time."""
HEARTBEAT_SHARE = 8
HEARTBEAT_SHARDS_MIN = 32
"""A tick lets an eighth of all shards keep up, or so many: input waits for a commit of those, not of all of them."""


class OwnerConfig(NamedTuple):
    """What an operator decides; see `Settings`."""

    shards: int
    partitions: int
    slack_ms: int
    max_hold_ms: int
    records_cached_max: int
    heartbeat_ms: int = HEARTBEAT_MS
    has_history: bool = False
    """Whether there is a history with all that muster.deltas tells, to fill lost shards in with."""


class Owner:
    """See the module's docstring. `elapsed_ms` is a monotonic clock in real time."""

    def __init__(
        self, store: MembershipStore, clock: Clock, elapsed_ms: Callable[[], int], config: OwnerConfig
    ) -> None:
        self._store = store
        self._clock = clock
        self._elapsed_ms = elapsed_ms
        self._config = config
        self.plan: Plan = compile_plan(Registry())
        self._sweeping = Sweeping(store, self, elapsed_ms)
        self.partitions: dict[int, Partition] = {}
        self.lost: set[int] = set()
        """Partitions with a commit that was fenced; to be released and adopted anew."""
        self.told: dict[int, int] = {}
        """Shard → changes put into its outbox since this was last cleared."""
        self.overflowed: list[tuple[Subject, Ahead]] = []
        """Entries refused since this was last cleared, for the dead-letter topic."""
        self.cut = 0
        """Timelines cut at a cap since this was last cleared."""

    def shards_of(self, partition: int) -> range:
        """The shards that a partition carries."""
        return range(partition, self._config.shards, self._config.partitions)

    def is_refilled(self) -> bool:
        """Whether a shard that lost its position gets all from the history: then it need not read old deltas again."""
        return self._config.has_history and is_refilled(self.plan)

    def fresh_position(self, partition: int) -> Position:
        """The position of a shard that has none yet."""
        return Position(b"", partition, self._config.partitions, 0, 0, warm_from_ms=self._clock.now_ms())

    def follow(self, plan: Plan) -> None:
        """Use a plan from here on; shards whose records it may change will sweep through them."""
        before, told_in = self.plan, self.plan.taken_over_in
        is_grown = leaves_records_alone(before, plan)
        self.plan = plan
        for partition in self.partitions.values():
            for shard in partition.shards.values():
                if shard.position.ready >= told_in:
                    shard.switched = set()
                if is_grown and not shard.sweeping and shard.position.ready >= before.version > 0:
                    shard.position = shard.position._replace(ready=max(plan.version, shard.position.ready))
            self._follow(partition, plan)

    def _follow(self, partition: Partition, plan: Plan) -> None:
        partition.clock.follow(plan.registry.partitions(), self._elapsed_ms())
        for shard in partition.shards.values():
            # Before any record is looked at with the plan: it lets go of what the plan does not know.
            readers_from = max(plan.registry.readers_from, shard.position.readers_from)
            shard.position = shard.position._replace(readers_from=readers_from)
            if not shard.known or shard.position.ready >= plan.registry.cohorts_version:
                shard.position = shard.position._replace(ready=max(plan.version, shard.position.ready))
                shard.sweeping = False
            else:
                shard.sweep, shard.sweeping = None, True

    def now_ms(self) -> int:
        """What the clock says."""
        return self._clock.now_ms()

    def lag_ms(self) -> int:
        """How far the input of the partition that is furthest behind is from the clock; 0 where nothing is known."""
        clock_ms, elapsed_ms = self._clock.now_ms(), self._elapsed_ms()
        instants = [partition.clock.read(clock_ms, elapsed_ms).now_ms for partition in self.partitions.values()]
        return max((clock_ms - instant for instant in instants if instant is not None), default=0)

    def published(self, number: int, behind: int) -> None:
        """Changes of a partition are in the log up to an offset: its shards need not look at those again."""
        partition = self.partitions.get(number)
        if partition is not None and behind > partition.changes_offset:
            partition.changes_offset = behind

    def adopt(self, number: int, resumed: Resumed, *, changes_offset: int) -> None:
        """Own a partition from where its shards stand."""
        clock = ProgressClock(self._config.slack_ms, self._config.max_hold_ms)
        self.partitions[number] = Partition(
            number, resumed.shards, clock, Offset(resumed.next_offset, b""), changes_offset
        )
        self.lost.discard(number)
        self._follow(self.partitions[number], self.plan)

    def release(self, number: int) -> None:
        """Forget a partition."""
        self.partitions.pop(number, None)
        self.lost.discard(number)
        for shard in self.shards_of(number):
            self.told.pop(shard, None)

    async def fold(self, received: Mapping[int, Sequence[Received]]) -> None:
        """Fold messages, in the order of their offsets, of partitions that are owned, and run what is due.

        A partition from whose messages some are missing, since they expired unread, is `lost`.
        """
        works: list[Work] = []
        for number, messages in received.items():
            partition = self.partitions.get(number)
            if partition is None or not messages or number in self.lost:
                continue
            if partition.has_gap(messages):
                self.lost.add(number)
                continue
            works += partition.take(messages, self._elapsed_ms())
        taken = works
        while works:
            lanes = LANES if len(works) >= LANES * LANE_SHARDS_MIN else 1
            rests = await together(self._round(works[lane::lanes]) for lane in range(lanes))
            works = [work for rest in rests for work in rest if work.has_input]
        self._let_go_of_seeded(taken)
        self._evict()

    async def tick(self, *, is_idle: bool = True) -> None:
        """Run due timers, look through records for what a new plan or time has changed, let idle positions keep up.

        A round of each: what is left is done in the next tick, so that input never waits for all of it. `is_idle`: no
        input came in.
        """
        elapsed_ms = self._elapsed_ms()
        beating = self._beating(elapsed_ms)
        works: list[Work] = []
        clock_ms = self._clock.now_ms()
        for partition in self.held():
            reading = partition.clock.read(clock_ms, elapsed_ms)
            for shard in partition.shards.values():
                is_due = shard.next_due_ms is not None and shard.next_due_ms <= now_of(shard, reading)
                if is_due or (partition.number in beating and partition.is_behind(shard, reading)):
                    works.append(Work(shard, partition.reached(shard)))
        if works:
            await self._round(works)
        await self._sweeping.sweep(is_idle=is_idle)
        await self._sweeping.tend()
        self._evict()

    def _beating(self, elapsed_ms: int) -> set[int]:
        """The partitions whose idle positions keep up in this tick, those first that did so longest ago.

        Few at a time, so that they come to be spread over the ticks; those that are late by a whole interval, all.
        """
        every_ms, held = self._config.heartbeat_ms, self.held()
        room = max(HEARTBEAT_SHARDS_MIN, sum(len(partition.shards) for partition in held) // HEARTBEAT_SHARE)
        beating: set[int] = set()
        for partition in sorted(held, key=lambda partition: partition.kept_up_ms):
            waited_ms = elapsed_ms - partition.kept_up_ms
            if waited_ms < every_ms or (room <= 0 and waited_ms < 2 * every_ms):
                break
            partition.kept_up_ms = elapsed_ms
            room -= len(partition.shards)
            beating.add(partition.number)
        return beating

    async def reconcile(self, number: int, changes: Sequence[Change], waiting: Mapping[int, int]) -> None:
        """Tell anew where those changes' subjects stand whose change lies above the shard's last commit.

        No number is given twice: neither one of these changes', nor, by shard, the newest `waiting` one's. That may lie
        above the shard's last commit too, where this very telling was interrupted.
        """
        partition, plan = self.partitions[number], self.plan
        above: dict[int, dict[tuple[Subject, int], CohortPlan]] = {}
        for change in changes:
            shard = partition.shards.get(change.shard)
            if shard is None or change.sequence <= shard.position.sequence:
                continue
            cohorts = plan.team(change.team_id).cohorts
            cohort = next((c for c in cohorts if c.cohort_id == change.cohort_id and c.active), None)
            if cohort is not None:
                above.setdefault(shard.number, {})[subject_of(change), cohort.handle] = cohort
        committed = {number: shard.position.sequence for number, shard in partition.shards.items()}
        for change in changes:
            shard = partition.shards.get(change.shard)
            if shard is not None and change.sequence > shard.position.sequence:
                shard.position = shard.position._replace(sequence=change.sequence)
        for shard_number, sequence in waiting.items():
            shard = partition.shards[shard_number]
            shard.position = shard.position._replace(sequence=max(sequence, shard.position.sequence))
        for shard_number, told in above.items():
            pairs = [(subject, cohort) for (subject, _), cohort in told.items()]
            await self._tell(partition, partition.shards[shard_number], pairs, committed[shard_number])

    async def _tell(
        self, partition: Partition, shard: Shard, pairs: Sequence[tuple[Subject, CohortPlan]], committed: int
    ) -> None:
        """Until all is told, the store keeps the sequence `committed`: whoever is interrupted tells all of it again."""
        for first in range(0, len(pairs), TELL_MAX):
            some = pairs[first : first + TELL_MAX]
            await self.load({shard.number: [subject for subject, _ in some]})
            step = plan_telling(shard, some, partition.records, self.plan, self.instants([shard])[shard.number])
            position = step.commit.position
            if first + TELL_MAX < len(pairs):
                step.commit = step.commit._replace(position=position._replace(sequence=committed))
            if not await self.commit([step]):
                return
            self._evict()
            shard.position = shard.position._replace(sequence=position.sequence)

    async def _round(self, works: Sequence[Work]) -> list[Work]:
        """One commit of each work's shard; return what is left of them."""
        instants = self.instants([work.shard for work in works])
        dues = await self._due(works, instants)
        await self.load({w.shard.number: [*w.deltas, *dues.get(w.shard.number, _NOTHING_DUE).subjects] for w in works})
        steps = [self._plan_step(work, dues, instants[work.shard.number]) for work in works]
        again = [work for work, step in zip(works, steps, strict=True) if step.is_too_large]
        for work in again:
            work.shard.records_max = max(1, work.shard.records_max // 2)
        committed = await self.commit([step for step in steps if not step.is_too_large])
        return [*again, *(step.rest for step in committed if step.rest is not None)]

    def _plan_step(self, work: Work, dues: Mapping[int, Due], instant: Instant) -> Step:
        shard = work.shard
        partition = self.partitions[self.partition_of(shard)]
        if partition.changes_offset > shard.position.changes_offset:
            shard.position = shard.position._replace(changes_offset=partition.changes_offset)
        due = dues.get(shard.number) or Due((), shard.next_due_ms)
        return plan_step(work, due, partition.records, self.plan, instant)

    async def _due(self, works: Sequence[Work], instants: Mapping[int, Instant]) -> dict[int, Due]:
        asked = {}
        for work in works:
            shard, now = work.shard, instants[work.shard.number].now_ms
            if shard.next_due_ms is not None and shard.next_due_ms <= now:
                asked[shard.number] = now
        limit = min((work.shard.records_max for work in works), default=COMMIT_RECORDS_MAX)
        return await self._store.due(asked, limit) if asked else {}

    async def load(self, subjects: Mapping[int, Sequence[Subject]]) -> None:
        """Bring the subjects' records into memory."""
        missing: dict[int, list[Subject]] = {}
        for number, of_shard in subjects.items():
            known = self.partitions[number % self._config.partitions].records
            absent = [subject for subject in of_shard if subject not in known]
            if absent:
                missing[number] = absent
        if not missing:
            return
        found = await self._store.load(missing)
        for number, absent in missing.items():
            records = self.partitions[number % self._config.partitions].records
            for subject in absent:
                raw = found.get(subject)
                records[subject] = EMPTY if raw is None else decode_record(raw)

    async def commit(self, steps: Sequence[Step]) -> list[Step]:
        """Commit, and remember what was committed; the steps that were not fenced."""
        outcomes = await self._store.commit([step.commit for step in steps])
        committed = []
        for step, outcome in zip(steps, outcomes, strict=True):
            if outcome is Outcome.FENCED:
                self.lost.add(self.partition_of(step.shard))
            else:
                self._remember(step)
                committed.append(step)
        return committed

    def _remember(self, step: Step) -> None:
        shard = step.shard
        shard.position, shard.known, shard.next_due_ms = step.commit.position, True, step.next_due_ms
        shard.records_max = min(COMMIT_RECORDS_MAX, 2 * shard.records_max)
        self.partitions[self.partition_of(shard)].records.update(step.records)
        self.overflowed += step.overflow
        self.cut += step.cut
        remember_switched(shard, step.switched)
        if step.commit.changes:
            self.told[shard.number] = self.told.get(shard.number, 0) + len(step.commit.changes)

    def held(self) -> list[Partition]:
        """The partitions that are not lost: in a lost one, input was taken that was not folded."""
        return [partition for number, partition in self.partitions.items() if number not in self.lost]

    def _let_go_of_seeded(self, works: Sequence[Work]) -> None:
        """Forget the records of whom seeds alone tell: those come once, and what live events need would make way."""
        for work in works:
            records = self.partitions[self.partition_of(work.shard)].records
            for subject in work.seeded:
                records.pop(subject, None)

    def _evict(self) -> None:
        """Keep the records in memory within their bound, the oldest loaded going first. Not while a round is on."""
        each_max = self._config.records_cached_max // max(1, len(self.partitions))
        for partition in self.partitions.values():
            excess = len(partition.records) - each_max
            if excess > 0:
                for subject in list(partition.records)[: excess + each_max // 10]:
                    del partition.records[subject]

    def instants(self, shards: Sequence[Shard]) -> dict[int, Instant]:
        """By shard, when its next step takes place; the clocks are read once for all of them."""
        clock_ms, elapsed_ms = self._clock.now_ms(), self._elapsed_ms()
        readings = {n: partition.clock.read(clock_ms, elapsed_ms) for n, partition in self.partitions.items()}
        random = os.urandom(COMMIT_ID_BYTES * len(shards))
        instants: dict[int, Instant] = {}
        for index, shard in enumerate(shards):
            reading = readings[self.partition_of(shard)]
            commit_id = random[index * COMMIT_ID_BYTES : (index + 1) * COMMIT_ID_BYTES]
            instants[shard.number] = Instant(now_of(shard, reading), clock_ms * 1_000, reading.stale, commit_id)
        return instants

    def partition_of(self, shard: Shard) -> int:
        return shard.number % self._config.partitions


_NOTHING_DUE = Due((), None)
