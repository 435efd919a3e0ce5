"""Looking through a shard's records: with a plan that is new to it, and in the background for what is needed no more.

Both take turns with input, a page of records at a time, and the time that they take from it is bounded: SWEEP_MS_MAX a
turn while input comes in, and the share of tending.py in the background. A shard folds on with the new plan meanwhile;
it says that it is ready once every record was looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from cohort_store.changes import Cause
from cohort_store.plans import Plan
from cohort_store.ports import MembershipStore
from cohort_store.subjects import Subject
from processors.membership.partition import Partition
from processors.membership.shards import Instant, Shard, Step, plan_sweep
from processors.membership.tending import Tending, outdated

SWEEP_PAGE = 100
SWEEP_MS_MAX = 5
"""After so long no further page is begun while input comes in: live events wait for no more than that and a page."""
SWEEP_IDLE_MS_MAX = 100
"""The same while none does."""


class Rounds(Protocol):
    """What an owner does for a look at records."""

    @property
    def plan(self) -> Plan: ...

    @property
    def lost(self) -> set[int]: ...

    @property
    def partitions(self) -> Mapping[int, Partition]: ...

    def held(self) -> list[Partition]:
        """The partitions that are not lost."""
        ...

    def partition_of(self, shard: Shard) -> int: ...

    async def load(self, subjects: Mapping[int, Sequence[Subject]]) -> None:
        """Bring the subjects' records into memory, by shard."""
        ...

    async def commit(self, steps: Sequence[Step]) -> list[Step]:
        """Commit, and remember what was committed; the steps that were not fenced."""
        ...

    def instants(self, shards: Sequence[Shard]) -> dict[int, Instant]:
        """By shard, when its next step takes place."""
        ...


class Sweeping:
    """One owner's looks. `elapsed_ms` is a monotonic clock in real time."""

    def __init__(self, store: MembershipStore, rounds: Rounds, elapsed_ms: Callable[[], int]) -> None:
        self._store = store
        self._rounds = rounds
        self._elapsed_ms = elapsed_ms
        self._tending = Tending()

    async def sweep(self, *, is_idle: bool) -> None:
        """Let shards look at pages of their records with the plan that is new to them; one page at least."""
        until_ms = self._elapsed_ms() + (SWEEP_IDLE_MS_MAX if is_idle else SWEEP_MS_MAX)
        for partition, shard in self._to_sweep():
            await self._sweep_page(partition, shard, self._rounds.plan)
            if self._elapsed_ms() >= until_ms:
                break

    async def tend(self) -> None:
        """Let one shard look at a page of its records for what nothing needs any more, where that is due."""
        shards = {shard.number: shard for held in self._rounds.held() for shard in held.shards.values()}
        place = self._tending.next(shards, began_ms := self._elapsed_ms())
        if place is None:
            return
        cursor, shard = None, shards[place.shard]
        # One that sweeps looks at all of its records anyway.
        if shard.known and not shard.sweeping:
            page = await self._store.subjects(shard.number, place.cursor, SWEEP_PAGE)
            await self._tend_page(shard, page.subjects)
            cursor = page.cursor
        ended_ms = self._elapsed_ms()
        self._tending.done(cursor, ended_ms - began_ms, ended_ms)

    def _to_sweep(self) -> Iterator[tuple[Partition, Shard]]:
        """Each shard that sweeps, page after page, as long as its partition is held."""
        for partition in self._rounds.held():
            for shard in partition.shards.values():
                while shard.sweeping and partition.number not in self._rounds.lost:
                    yield partition, shard

    async def _sweep_page(self, partition: Partition, shard: Shard, plan: Plan) -> None:
        rounds = self._rounds
        page = await self._store.subjects(shard.number, shard.sweep, SWEEP_PAGE)
        subjects = list(page.subjects)
        is_done = page.cursor is not None and not subjects
        while not is_done:
            some = subjects[: shard.records_max]
            await rounds.load({shard.number: some})
            is_last = page.cursor is None and len(some) == len(subjects)
            instant = rounds.instants([shard])[shard.number]
            step = plan_sweep(shard, some, partition.records, plan, instant, is_last=is_last)
            if step.is_too_large:
                shard.records_max = max(1, shard.records_max // 2)
                continue
            if not await rounds.commit([step]):
                return
            del subjects[: len(some)]
            is_done = not subjects
        shard.sweep, shard.sweeping = page.cursor, page.cursor is not None

    async def _tend_page(self, shard: Shard, subjects: Sequence[Subject]) -> None:
        """Write what differs. Records that nobody asked for do not stay in memory: they would drive others out."""
        rounds = self._rounds
        records = rounds.partitions[rounds.partition_of(shard)].records
        unasked = [subject for subject in subjects if subject not in records]
        await rounds.load({shard.number: subjects})
        differing = outdated(dict.fromkeys(subjects), records, rounds.plan, shard.position.now_ms)
        while differing:
            some = differing[: shard.records_max]
            instant = rounds.instants([shard])[shard.number]
            step = plan_sweep(shard, some, records, rounds.plan, instant, is_last=False, cause=Cause.TIMER)
            if step.is_too_large:
                shard.records_max = max(1, shard.records_max // 2)
            elif await rounds.commit([step]):
                del differing[: len(some)]
            else:
                break
        for subject in unasked:
            records.pop(subject, None)
