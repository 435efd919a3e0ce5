"""Workers as the processes of a simulated world, and the script of what befalls them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple, Protocol

from cohort_store.clocks import Clock
from cohort_store.memory import MemoryStore
from processors.membership.owner import Owner, OwnerConfig
from processors.membership.relay import Relay
from processors.membership.worker import Parts, Worker
from tests.membership.parts import Consumer, InterruptedStore, Log, Plans, Publisher, Reader, Unreachable, Worried

SETTLE_S = 600.0


class Shape(NamedTuple):
    """How big a simulated world is."""

    shards: int = 6
    partitions: int = 3
    sources: int = 2
    persons: int = 9
    records_cached_max: int = 1_000
    outbox_max: int = 1_000


USUAL = Shape()


class Process(Protocol):
    """Whoever may be killed."""

    def kill(self) -> None: ...


class Surroundings(Protocol):
    """What the workers of a simulated world share."""

    random: Random
    shape: Shape
    stutter: float
    script: Script
    log: Log
    store: MemoryStore
    has_history: bool

    @property
    def clock(self) -> Clock: ...


@dataclass
class Script:
    """Trouble for the workers: drawn with probabilities, or one at a given point. Counts every point."""

    random: Random = field(default_factory=lambda: Random(0))
    pause: float = 0.0
    pause_s: float = 0.3
    retry: float = 0.0
    kill: float = 0.0
    fail_at: int | None = None
    how: str = "retry"
    passed: list[str] = field(default_factory=list)
    is_quiet: bool = False

    def __post_init__(self) -> None:
        self.hosts: dict[str, Process] = {}

    async def pass_by(self, worker: str, point: str) -> None:
        if self.is_quiet:
            return
        self.passed.append(point)
        if self.fail_at is not None:
            if len(self.passed) == self.fail_at:
                await self._act(self.how, worker, point)
            return
        drawn = self.random.random()
        if drawn < self.pause:
            await asyncio.sleep(self.random.random() * self.pause_s)
        elif drawn < self.pause + self.retry:
            await self._act("retry", worker, point)
        elif drawn < self.pause + self.retry + self.kill:
            await self._act("kill", worker, point)

    async def _act(self, how: str, worker: str, point: str) -> None:
        if how == "kill":
            self.hosts[worker].kill()
            await asyncio.sleep(SETTLE_S)
        elif "acknowledge" not in point:
            raise Unreachable(f"{point}, as the simulation wants it")


class Host:
    """One membership process."""

    def __init__(self, world: Surroundings, name: str) -> None:
        worried = Worried(name, world.script)
        store = InterruptedStore(world.store, worried)
        shape = world.shape
        config = OwnerConfig(
            shape.shards, shape.partitions, 5_000, 3_600_000, shape.records_cached_max, 100, world.has_history
        )
        loop = asyncio.get_running_loop()
        self.name = name
        self.consumer = Consumer(world.log, worried, world.random, world.stutter)
        self.plans = Plans(world.log, worried)
        self.owner = Owner(store, world.clock, lambda: int(loop.time() * 1_000), config)
        self.relay = Relay(store, Publisher(world.log, worried), shape.partitions)
        reader = Reader(world.log, worried)
        self.worker = Worker(
            Parts(store, self.owner, self.relay, self.consumer, reader, self.plans, reader, outbox_max=shape.outbox_max)
        )
        self.task = asyncio.create_task(self.worker.run(), name=name)
        self._tail = asyncio.create_task(self.plans.tail())
        world.script.hosts[name] = self

    @property
    def is_alive(self) -> bool:
        return not self.task.done() and not self.task.cancelling()

    async def assign(self, partition: int, offset: int) -> None:
        """The group gives a partition, at the offset that it remembers, whatever that is."""
        self.consumer.assigned.add(partition)
        self.consumer.next[partition] = offset
        await self.worker.assign([partition])

    async def revoke(self, partition: int) -> None:
        await self.worker.revoke([partition])
        self.consumer.assigned.discard(partition)

    def kill(self) -> None:
        self.task.cancel()
        self._tail.cancel()
