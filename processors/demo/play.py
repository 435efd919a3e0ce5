"""The performance: the scenario's moments, one after the other, and what is compared at them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from cohort_store.durations import format_instant
from cohort_store.errors import Crash
from cohort_store.ports import RegistryMirror
from cohort_store.redis.wiring import connect_mirror, connect_reader
from cohort_store.registry import Registry, decode_registry
from processors.cli.watch import changes
from processors.clickhouse.client import connect
from processors.control.life import building
from processors.demo.display import Display
from processors.demo.log import EventLog
from processors.demo.reference import ARTICLE_FROM, ARTICLE_TO, KNOWN, Reference
from processors.demo.scenario import HERO, HERO_COHORT, HERO_FLAG, Act, moments
from processors.demo.scene import Compared, Comparison, Scene
from processors.demo.stage import EventSource, RollReader, Stage, eventually
from processors.kafka.topics import EVENTS


@dataclass(slots=True)
class Performance:
    """One run of the scenario, on a stage that is up and knows the definitions."""

    stage: Stage
    log: EventLog
    display: Display
    source: EventSource
    roll: RollReader
    reference: Reference
    scene: Scene
    causes: list[tuple[str, str]] = field(default_factory=list)
    """(status, cause) of the hero's changes, in their order."""

    async def run(self) -> list[Comparison]:
        """Play to the end; raises Crash where the hero's flag is not as told, Retry where something hangs."""
        listening = asyncio.create_task(self._listen(), name="changes")
        try:
            for moment in moments(self.log):
                await self._reach(moment.at_ms, moment.act)
                await self._act(moment.at_ms, moment.act)
                await self._look(moment.at_ms)
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
        return self.scene.comparisons

    async def _reach(self, at_ms: int, act: Act) -> None:
        """Step the clock to the instant, with everything that happened up to it in Kafka.

        Events are sent once the shards' time is there, as in life, where they arrive after they happened. Where it
        matters that *everything* is folded, the clock stops a millisecond short of the instant, and goes there when
        the events are sent: a shard whose now has reached the instant has read them.
        """
        self.stage.installation.tend()
        exact = act not in (Act.STEP, Act.FLAG_ON)
        await self._clock_at(at_ms - 1 if exact else at_ms)
        await self.source.send_until(self.log.until(at_ms), self.stage.clock.now_ms())
        if exact:
            await self._clock_at(at_ms)

    async def _clock_at(self, at_ms: int) -> None:
        """Step the clock, and wait for the shards."""
        self.stage.clock.set(at_ms)
        await eventually(f"every shard at {format_instant(at_ms)}", lambda: self.roll.reached(at_ms))

    async def _act(self, at_ms: int, act: Act) -> None:
        told = format_instant(at_ms)[:19].replace("T", " ")
        match act:
            case Act.STEP:
                pass
            case Act.COMPARE:
                await self._compare(at_ms)
            case Act.FLAG_BEFORE:
                await self._expect(on=False)
                self._tell(f"{told}  off, after one payment error")
            case Act.FLAG_ON:
                seconds = await eventually(f"{HERO_FLAG} on for {HERO}", self._flag)
                self._tell(f"{told}  ON, {seconds * 1000:.0f} ms after her second payment error was sent")
            case Act.FLAG_STILL_ON:
                await self._expect(on=True)
                self._tell(f"{told}  on still, a day after the first error but for a millisecond")
            case Act.FLAG_OFF:
                await self._expect(on=False)
                await eventually("the hero's changes told", self._heard_both)
                self._tell(f"{told}  OFF by time alone: she did nothing more")

    async def _compare(self, at_ms: int) -> None:
        await eventually("the archive complete", self._archived)
        clickhouse = await self.reference.members(at_ms)
        known = clickhouse[KNOWN]
        found = {
            cohort: Compared(await self.roll.members(cohort, known), clickhouse[cohort]) for cohort in self.roll.cohorts
        }
        comparison = Comparison(at_ms, found)
        self.scene.comparisons.append(comparison)
        self.display.compared(comparison)

    async def _look(self, at_ms: int) -> None:
        self.scene.clock_ms, self.scene.sent = at_ms, self.source.sent
        self.scene.add_sizes(await self.roll.sizes())
        self.display.update(self.scene)

    async def _listen(self) -> None:
        async for change in changes(self.stage.installation.settings, from_start=True):
            self.scene.changes_seen += 1
            self.scene.changes.append(change)
            if (change.person_id, change.cohort) == (HERO, HERO_COHORT):
                self.causes.append((change.status, change.cause))

    async def _archived(self) -> bool:
        return await self.reference.archived(EVENTS) >= self.source.sent

    async def _flag(self) -> bool:
        return await self.stage.flag(HERO_FLAG, HERO)

    async def _expect(self, *, on: bool) -> None:
        if await self._flag() is not on:
            raise Crash(
                f"flag {HERO_FLAG} of {HERO} is {'off' if on else 'on'} at {format_instant(self.stage.clock.now_ms())}"
            )

    async def _heard_both(self) -> bool:
        return self.causes[:2] == [("entered", "event"), ("left", "timer")]

    def _tell(self, sentence: str) -> None:
        self.scene.story.append(sentence)
        self.display.say(f"{HERO}, flag {HERO_FLAG}: {sentence}")


@asynccontextmanager
async def performance(stage: Stage, log: EventLog, display: Display) -> AsyncIterator[Performance]:
    """A performance, its connections open."""
    settings = stage.installation.settings
    mirror, reader = connect_mirror(settings), connect_reader(settings)
    client = await connect(settings.clickhouse)
    try:
        await eventually("every cohort in force", lambda: _is_settled(mirror))
        registry = await _registry(mirror)
        roll = RollReader(reader, registry, settings.shards)
        version = registry.cohorts_version
        await eventually(f"registry version {version} folded", lambda: roll.folded(version))
        reference = Reference(client, (log.moved(ARTICLE_FROM), log.moved(ARTICLE_TO)))
        async with EventSource(settings.kafka, log.events) as source:
            yield Performance(stage, log, display, source, roll, reference, Scene(len(log.events), roll.complemented))
    finally:
        await client.close()
        await reader.aclose()
        await mirror.aclose()


async def _is_settled(mirror: RegistryMirror) -> bool:
    """Whether no cohort is being built; one that reads a list is until the list is in every shard."""
    return not building(await _registry(mirror))


async def _registry(mirror: RegistryMirror) -> Registry:
    raw = await mirror.fetch()
    if raw is None:
        raise Crash("the definitions were applied, and the registry's copy is empty")
    return decode_registry(raw)
