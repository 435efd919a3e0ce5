"""Membership's ports in memory, shared by several workers, with trouble at any await.

`Log` is what the topics hold. Each worker sees it, and the store, through parts of its own, every call of which
passes through `Trouble` once before its effect and once after it.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol, TypeVar

from cohort_store.changes import Change, decode_change
from cohort_store.deltas import DeltaMessage, decode_message, encode_message
from cohort_store.errors import Reject, Retry
from cohort_store.kafka.registry import VERSION_DEADLINE_S
from cohort_store.memory import MemoryStore, _Shard
from cohort_store.plans import Plan, compile_plan
from cohort_store.ports import Due, OutboxEntry, Outcome, Position, ShardCommit, SubjectsPage
from cohort_store.registry import Registry
from cohort_store.subjects import Subject
from processors.kafka.dead_letters import DeadLetter
from processors.membership.relay import Displaced
from processors.membership.resume import UNREADABLE_ID, Bounds
from processors.membership.worker import Fetched

T = TypeVar("T")


class Trouble(Protocol):
    """Decides at every await of a worker what happens there: nothing, a pause, Retry, or the worker's end."""

    async def pass_by(self, worker: str, point: str) -> None: ...


@dataclass
class Worried:
    """What the parts of one worker share."""

    worker: str
    trouble: Trouble

    async def call(self, name: str, effect: Callable[[], Awaitable[T]]) -> T:
        await self.trouble.pass_by(self.worker, f"before {name}")
        result = await effect()
        await self.trouble.pass_by(self.worker, f"after {name}")
        return result


@dataclass
class Log:
    """muster.deltas, muster.membership-changes and muster.registry."""

    partitions: int
    registry: Registry
    deltas: list[list[bytes]] = field(init=False)
    beginnings: list[int] = field(init=False)
    """By partition, the first offset of the deltas that has not expired."""
    changes: list[list[bytes]] = field(init=False)
    claims: Counter[int] = field(default_factory=Counter)
    dead: list[DeadLetter] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.deltas = [[] for _ in range(self.partitions)]
        self.beginnings = [0] * self.partitions
        self.changes = [[] for _ in range(self.partitions)]
        self.plan = compile_plan(self.registry)

    def define(self, registry: Registry) -> None:
        self.registry, self.plan = registry, compile_plan(registry)

    def messages(self, partition: int, offset: int) -> list[DeltaMessage]:
        """The deltas of a partition from an offset on."""
        return [decode_message(value) for value in self.deltas[partition][offset:]]

    def append(self, partition: int, message: DeltaMessage) -> None:
        self.deltas[partition].append(encode_message(message))


@dataclass
class Reader:
    """A worker's look back into the log. `processors.membership.worker.Log`."""

    log: Log
    worried: Worried

    async def bounds(self, partitions: Sequence[int]) -> dict[int, Bounds]:
        async def look() -> dict[int, Bounds]:
            log = self.log
            return {number: Bounds(log.beginnings[number], len(log.deltas[number])) for number in partitions}

        return await self.worried.call("bounds", look)

    async def message_ids(self, offsets: Mapping[int, int]) -> dict[int, bytes | None]:
        async def look() -> dict[int, bytes | None]:
            return {number: _id_of(self.log.deltas[number][offset]) for number, offset in offsets.items()}

        return await self.worried.call("message_ids", look)

    async def changes(self, partition: int, offset: int) -> tuple[list[Change], int]:
        async def look() -> tuple[list[Change], int]:
            told = self.log.changes[partition]
            return [decode_change(raw) for raw in told[offset:]], len(told)

        return await self.worried.call("changes", look)

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        async def bury() -> None:
            self.log.dead.extend(letters)

        await self.worried.call("dead letter", bury)


def _id_of(value: bytes) -> bytes:
    try:
        return decode_message(value).id
    except Reject:
        return UNREADABLE_ID


@dataclass
class Consumer:
    """A member of the group. It may fall back and hand out again what it handed out before."""

    log: Log
    worried: Worried
    random: Random
    stutter: float = 0.0
    messages: tuple[int, int] = (1, 4)
    """How many of a partition come in one fetch, at least and at most."""
    wait_s: float = 0.02
    assigned: set[int] = field(default_factory=set)
    next: dict[int, int] = field(default_factory=dict)
    paused: set[int] = field(default_factory=set)
    remembered: dict[int, int] = field(default_factory=dict)

    async def fetch(self) -> Sequence[Fetched]:
        await asyncio.sleep(self.wait_s)
        await self.worried.trouble.pass_by(self.worried.worker, "before fetch")
        found: list[Fetched] = []
        for number in sorted(self.assigned - self.paused):
            next_ = start = self.next.get(number, 0)
            if start and self.random.random() < self.stutter:
                start = self.random.randrange(start)
            if next_ < self.log.beginnings[number]:
                raise Unreachable(f"offset {next_} of partition {number} is out of range")
            start = max(start, self.log.beginnings[number])
            values = self.log.deltas[number][start : start + self.random.randint(*self.messages)]
            found += [Fetched(number, start + index, 0, value) for index, value in enumerate(values)]
            self.next[number] = max(next_, start + len(values))
        await self.worried.trouble.pass_by(self.worried.worker, "after fetch")
        return found

    def seek(self, partition: int, offset: int) -> None:
        if partition in self.assigned:
            self.next[partition] = offset

    def pause(self, partitions: Collection[int]) -> None:
        self.paused = set(partitions)

    async def acknowledge(self, offsets: Mapping[int, int]) -> None:
        async def remember() -> None:
            self.remembered.update(offsets)

        await self.worried.call("acknowledge", remember)


@dataclass
class Publisher:
    """Appends changes. What is in half appended and then fails stays there."""

    log: Log
    worried: Worried
    claimed: dict[int, int] = field(default_factory=dict)

    async def claim(self, partition: int) -> None:
        async def claim() -> None:
            self.log.claims[partition] += 1
            self.claimed[partition] = self.log.claims[partition]

        await self.worried.call("claim", claim)

    async def publish(self, partition: int, changes: Sequence[bytes]) -> int:
        for change in changes:

            async def append(change: bytes = change) -> None:
                if self.claimed.get(partition) != self.log.claims[partition]:
                    raise Displaced("somebody else claimed the partition")
                self.log.changes[partition].append(change)

            await self.worried.call("publish", append)
        return len(self.log.changes[partition])


@dataclass
class Plans:
    """Sees a registry some time after it was written."""

    log: Log
    worried: Worried
    lag_s: float = 0.1
    plan: Plan = field(default_factory=lambda: compile_plan(Registry()))

    async def catch_up(self) -> Plan:
        async def look() -> Plan:
            self.plan = self.log.plan
            return self.plan

        return await self.worried.call("registry", look)

    async def at_least(self, version: int) -> Plan:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + VERSION_DEADLINE_S
        while self.plan.version < version:
            if loop.time() > deadline:
                raise Unreachable(f"version {version} is nowhere")
            await asyncio.sleep(self.lag_s)
            await self.catch_up()
        return self.plan

    async def tail(self) -> None:
        while True:
            await asyncio.sleep(self.lag_s)
            self.plan = self.log.plan


@dataclass
class InterruptedStore:
    """The store as one worker reaches it. Each shard's commit is an effect of its own."""

    store: MemoryStore
    worried: Worried

    async def check(self) -> None:
        await self.store.check()

    async def positions(self, shards: Sequence[int]) -> dict[int, Position]:
        return await self.worried.call("positions", lambda: self.store.positions(shards))

    async def load(self, subjects: Mapping[int, Sequence[Subject]]) -> dict[Subject, bytes]:
        return await self.worried.call("load", lambda: self.store.load(subjects))

    async def commit(self, commits: Sequence[ShardCommit]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for commit in commits:

            async def one(commit: ShardCommit = commit) -> list[Outcome]:
                return await self.store.commit([commit])

            outcomes += await self.worried.call("commit", one)
        return outcomes

    async def due(self, instants: Mapping[int, int], limit: int) -> dict[int, Due]:
        return await self.worried.call("due", lambda: self.store.due(instants, limit))

    async def subjects(self, shard: int, cursor: str | None, limit: int) -> SubjectsPage:
        return await self.worried.call("subjects", lambda: self.store.subjects(shard, cursor, limit))

    async def outbox(self, shards: Sequence[int], limit: int) -> dict[int, list[OutboxEntry]]:
        return await self.worried.call("outbox", lambda: self.store.outbox(shards, limit))

    async def newest_changes(self, shards: Sequence[int]) -> dict[int, bytes]:
        return await self.worried.call("newest_changes", lambda: self.store.newest_changes(shards))

    async def outbox_sizes(self, shards: Sequence[int]) -> dict[int, int]:
        return await self.worried.call("outbox_sizes", lambda: self.store.outbox_sizes(shards))

    async def drop_outbox(self, published: Mapping[int, bytes]) -> None:
        await self.worried.call("drop_outbox", lambda: self.store.drop_outbox(published))


class Snapshots:
    """Copies of single shards, as a replica holds them: what a failover brings back."""

    def __init__(self, store: MemoryStore) -> None:
        self._shards = store._shards

    def take(self, shard: int) -> _Shard:
        return _copied(self._shards[shard])

    def restore(self, shard: int, taken: _Shard) -> None:
        """Everything of the shard goes back together; only the ids of outbox entries are never used again."""
        fresh = _copied(taken)
        fresh.entries = self._shards[shard].entries
        self._shards[shard] = fresh


def _copied(shard: _Shard) -> _Shard:
    return _Shard(
        shard.position,
        dict(shard.records),
        {key: set(value) for key, value in shard.memberships.items()},
        {key: set(value) for key, value in shard.stored.items()},
        {key: set(value) for key, value in shard.listed.items()},
        dict(shard.due),
        dict(shard.persons),
        list(shard.outbox),
        shard.entries,
    )


class Unreachable(Retry):
    """The trouble that a simulation makes."""
