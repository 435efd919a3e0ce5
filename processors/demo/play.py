"""What every chapter of the demo works with: the stage, the log, and what is compared and seen."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from cohort_store.clickhouse.client import connect
from cohort_store.durations import format_instant
from cohort_store.errors import Retry
from cohort_store.kafka.topics import EVENTS
from cohort_store.redis.mirror import RedisRegistryMirror
from cohort_store.redis.reader import RedisMembershipReader
from cohort_store.redis.wiring import connect_mirror, connect_reader
from cohort_store.registry import Registry, decode_registry
from processors.backfill.filling_in import noted_status
from processors.cli.apply import summary
from processors.control.life import building
from processors.definitions_log import apply
from processors.demo.display import Display, bar_of
from processors.demo.log import FLAGS, EventLog
from processors.demo.reference import ARTICLE_FROM, ARTICLE_TO, KNOWN, Reference
from processors.demo.scenario import Chapter, history_of
from processors.demo.scene import Compared, Comparison, Scene
from processors.demo.stage import EventSource, RollReader, Stage, eventually

WHOLE_DEADLINE_S = 120.0
WHOLE_POLL_S = 0.1


@dataclass(slots=True)
class Play:
    """The demo on a stage that is up."""

    stage: Stage
    log: EventLog
    display: Display
    source: EventSource
    mirror: RedisRegistryMirror
    reader: RedisMembershipReader
    reference: Reference
    scene: Scene
    roll: RollReader
    """Of the cohorts as they were last known to be in force."""
    _lacking: list[str] = field(default_factory=list)

    async def define(self, definitions: Any) -> int:
        """Apply cohorts, and the flags of the shop; the registry version. Raises what apply raises."""
        settings = self.stage.installation.settings
        file = self.stage.installation.folder / "shop.json"
        file.write_text(json.dumps(definitions))
        report = await apply(settings, [file, FLAGS], prune=False, dry_run=False)
        self.display.say(summary(report))
        return report.registry_version or 0

    async def until_whole(self, version: int = 0) -> float:
        """Wait until every cohort answers, whole and OK, with that registry version or a later one; the seconds.

        What is being filled in meanwhile is shown. Raises Retry where it does not end.
        """
        began_s = monotonic()
        try:
            await eventually(
                "every cohort OK", lambda: self._is_whole(version), deadline_s=WHOLE_DEADLINE_S, poll_s=WHOLE_POLL_S
            )
        except Retry as error:
            raise Retry(f"{error}; lacking: {', '.join(self._lacking) or 'nothing but a registry in force'}") from error
        self.roll = RollReader(self.reader, await self._registry(), self.stage.installation.settings.shards)
        self.scene.complemented = self.roll.complemented
        return monotonic() - began_s

    async def _is_whole(self, version: int) -> bool:
        self.stage.installation.tend()
        try:
            # Before the registry, which an emptied store lacks for a while: the sizes show that.
            if self.roll.cohorts:
                await self.look()
            noted = await noted_status(self.mirror)
            registry = await self._registry()
            standing = await self.stage.standing()
        except Retry:
            return False
        self.display.filling(bar_of(noted) if noted else "")
        self._lacking = standing.lacking
        is_in_force = registry.version >= version and standing.registry_version >= version and not building(registry)
        return noted is None and is_in_force and bool(standing.statuses) and not standing.lacking

    async def compare(self, chapter: Chapter) -> Comparison:
        """Every cohort's members in Muster beside those in ClickHouse, as of the clock."""
        at_ms = self.stage.clock.now_ms()
        await eventually(f"every shard at {format_instant(at_ms)}", lambda: self.roll.reached(at_ms))
        await eventually("the archive complete", self._archived)
        clickhouse = await self.reference.members(at_ms, edited=chapter in (Chapter.EDIT, Chapter.LOSS))
        known = clickhouse[KNOWN]
        found = {
            cohort: Compared(await self.roll.members(cohort, known), clickhouse[cohort]) for cohort in self.roll.cohorts
        }
        comparison = Comparison(at_ms, found, chapter)
        self.scene.comparisons.append(comparison)
        self.display.compared(comparison)
        return comparison

    async def look(self) -> None:
        """Show how things stand."""
        self.scene.clock_ms, self.scene.sent = self.stage.clock.now_ms(), self.source.sent
        self.scene.add_sizes(await self.roll.sizes())
        self.display.update(self.scene)

    async def _archived(self) -> bool:
        return await self.reference.archived(EVENTS) >= self.source.produced

    async def _registry(self) -> Registry:
        raw = await self.mirror.fetch()
        if raw is None:
            raise Retry("the registry's copy is empty")
        return decode_registry(raw)


@asynccontextmanager
async def opened(stage: Stage, log: EventLog, display: Display) -> AsyncIterator[Play]:
    """The play, its connections open."""
    settings = stage.installation.settings
    async with AsyncExitStack() as stack:
        mirror, reader = connect_mirror(settings), connect_reader(settings)
        stack.push_async_callback(mirror.aclose)
        stack.push_async_callback(reader.aclose)
        client = await connect(settings.clickhouse)
        stack.push_async_callback(client.close)
        reference = Reference(client, (log.moved(ARTICLE_FROM), log.moved(ARTICLE_TO)))
        source = await stack.enter_async_context(EventSource(settings.kafka, log.events, history_of(log)))
        roll = RollReader(reader, Registry(), settings.shards)
        yield Play(stage, log, display, source, mirror, reader, reference, Scene(len(log.events)), roll)
