"""Routers and control as the processes of a simulated world; owners are `tests.membership.hosts.Host`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from cohort_store.errors import Retry
from cohort_store.ports import MembershipReader
from cohort_store.registry import decode_registry
from cohort_store.settings import Settings
from processors.backfill.filling_in import FillingIn, FillingParts
from processors.backfill.ports import History, Notes
from processors.codecs.event import Limits
from processors.codecs.plain import PlainCodec
from processors.control import app
from processors.control.compiler import Compiler
from processors.control.filling import Filling
from processors.control.registry_log import RegistryLog
from processors.kafka.activation import CONFIRMING_INTERVALS, Marked
from processors.router.memory import MemorySource
from processors.router.packing import Packed
from processors.router.ports import Polled
from processors.router.progress import Source
from processors.router.worker import Router, RouterConfig, RouterParts
from processors.topic_log import RememberedLog, RememberedTopic
from tests.agreement.past import ArchivedPast
from tests.membership.parts import InterruptedStore, Log, Plans, Reader, Unreachable, Worried

if TYPE_CHECKING:
    from tests.agreement.world import World

TOPIC = "muster.events"
MARK_INTERVAL_MS = 1_000
POLL_S = 0.1


class FencedSource(MemorySource):
    """A member that may have been thrown out of its group: it goes on until it is told, and commits nothing."""

    worried: Worried
    is_fenced = False

    async def poll(self) -> Polled:
        await asyncio.sleep(POLL_S)
        await self.worried.trouble.pass_by(self.worried.worker, "before poll")
        return await super().poll()

    async def commit(self, offsets: Mapping[Source, int]) -> None:
        generation = self._generation

        async def take() -> None:
            if not self.is_fenced and generation == self._generation:
                await MemorySource.commit(self, offsets)

        await self.worried.call("commit offsets", take)


class Deltas:
    """The deltas as routers and control send them."""

    def __init__(self, log: Log, worried: Worried) -> None:
        self.log, self.worried = log, worried

    async def send(self, messages: Sequence[Packed]) -> dict[int, int]:
        behind: dict[int, int] = {}
        for partition, value in messages:

            async def append(partition: int = partition, value: bytes = value) -> None:
                self.log.deltas[partition].append(value)
                behind[partition] = len(self.log.deltas[partition])

            await self.worried.call("send", append)
        return behind

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        return {partition: len(self.log.deltas[partition]) for partition in partitions}


class _Sink(Deltas):
    async def send(self, messages: Sequence[Packed]) -> None:  # type: ignore[override]  # nobody asks where it stands
        await super().send(messages)


class RouterProcess:
    """One router."""

    def __init__(self, world: World, name: str) -> None:
        worried = Worried(name, world.script)
        self.source = FencedSource(world.events, world.clock, limit=world.random.choice((1, 3, 1_000)))
        self.source.worried = worried
        plans, letters = Plans(world.log, worried), Reader(world.log, worried)
        codecs = {TOPIC: PlainCodec(Limits())}
        parts = RouterParts(self.source, _Sink(world.log, worried), letters, plans, world.store, codecs, world.clock)
        config = RouterConfig(world.shape.shards, world.shape.partitions, MARK_INTERVAL_MS, 1_048_576)
        self.task = asyncio.create_task(Router(parts, config).run(), name=name)
        self._tail = asyncio.create_task(plans.tail())
        world.script.hosts[name] = self

    @property
    def is_alive(self) -> bool:
        return not self.task.done() and not self.task.cancelling()

    def kill(self) -> None:
        self.source.is_fenced = True
        self.task.cancel()
        self._tail.cancel()


class FollowedLog(RememberedLog):
    """The registry's topic, which the workers' plans follow."""

    def __init__(self, topic: RememberedTopic, log: Log) -> None:
        super().__init__(topic)
        self._log = log

    async def append(self, messages: Sequence[tuple[bytes, bytes | None]]) -> None:
        await super().append(messages)
        for _, value in messages:
            registry = decode_registry(value or b"")
            if registry.version > self._log.registry.version:
                self._log.define(registry)


class _MarkedActivations:
    """As `processors.kafka.activation` looks for it, in the log in memory."""

    def __init__(self, world: World) -> None:
        self._log, self._sent = world.log, world.sent

    async def of(self, registry_version: int, sources: Iterable[Source]) -> dict[Source, int]:
        wanted = frozenset(sources)
        marked = Marked(registry_version, wanted)
        ends = {source: len(self._sent[source]) for source in wanted}
        loop, at = asyncio.get_running_loop(), len(self._log.deltas[0])
        confirmed_at: float | None = None
        while confirmed_at is None or loop.time() < confirmed_at:
            await asyncio.sleep(0.1)
            for message in self._log.messages(0, at):
                marked.take(message)
                at += 1
            if not marked.is_complete:
                confirmed_at = None
            elif confirmed_at is None:
                confirmed_at = loop.time() + CONFIRMING_INTERVALS * MARK_INTERVAL_MS / 1_000
        return {source: max(offset, ends[source]) for source, offset in marked.offsets.items()}


class _WorriedNotes:
    def __init__(self, notes: Notes, worried: Worried) -> None:
        self._notes, self._worried = notes, worried

    async def note(self, name: str) -> bytes | None:
        return await self._worried.call("note", lambda: self._notes.note(name))

    async def keep_note(self, name: str, note: bytes | None) -> None:
        await self._worried.call("keep_note", lambda: self._notes.keep_note(name, note))


class Control:
    """One control process: the compiler, and the turns that it takes."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._worried = worried = Worried(name, world.script)
        shape, mirror, loop = world.shape, world.mirror(), asyncio.get_running_loop()
        deltas = Deltas(world.log, worried)
        past = ArchivedPast(world.archive, world.sent, shape.shards, worried)
        # Of readers, control asks for positions alone.
        reader = cast("MembershipReader", InterruptedStore(world.store, worried))
        registry = RegistryLog(FollowedLog(world.registry_topic, world.log))
        self._compiler = Compiler(RememberedLog(world.definitions_topic), registry, mirror, world.clock, shape.shards)
        filling_in = FillingIn(
            FillingParts(
                history=cast("History", past),
                activations=_MarkedActivations(world),
                archived=past,
                deltas=deltas,
                notes=_WorriedNotes(mirror, worried),
                reader=reader,
                clock=world.clock,
                shards=shape.shards,
                partitions=shape.partitions,
                part_persons=world.random.choice((1, 2, 100)),
                gathered_max=world.random.choice((1, 3, 100)),
                elapsed_s=loop.time,
            )
        )
        self._parts = app.Parts(
            compiler=self._compiler,
            reader=reader,
            history=None,
            evaluations=None,
            sources=world.list_sources,
            ends=lambda: deltas.ends(range(shape.partitions)),
            filling=Filling(deltas, shape.shards, shape.partitions),
            backfill=filling_in,
            reconciling=None,
            reminding=None,
            clock=world.clock,
            elapsed_ms=lambda: int(loop.time() * 1_000),
        )
        self._beside: list[asyncio.Task[None]] = []
        self.task = asyncio.create_task(self._run(), name=name)
        world.script.hosts[name] = self

    @property
    def is_alive(self) -> bool:
        return not self.task.done() and not self.task.cancelling()

    def kill(self) -> None:
        for task in (self.task, *self._beside):
            task.cancel()

    def every(self, interval_s: float, step: app.Step) -> None:
        """As the app's turns do, each in a task of its own."""
        if step.__name__ == "forget":
            return

        async def turns() -> None:
            while True:
                await asyncio.sleep(interval_s)
                try:
                    await step()
                except Unreachable:
                    continue
                except Retry as error:
                    self._world.retried.append(str(error))

        self._beside.append(asyncio.create_task(turns(), name=step.__name__))

    async def _run(self) -> None:
        while True:
            try:
                await self._compiler.begin()
                break
            except Retry:
                await asyncio.sleep(0.5)
        shape = self._world.shape
        settings = Settings(shards=shape.shards, partitions=shape.partitions)
        app._tend_versions(cast("Any", self), settings, self._parts)
        app._tend(cast("Any", self), settings, self._parts, cast("Any", None))
        done, _ = await asyncio.wait(self._beside, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
