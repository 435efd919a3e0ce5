"""Whether all that was produced before live events count is in the history: every Archived, and what a table tells."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from cohort_store.clickhouse.client import connected
from cohort_store.clocks import SteppedClock
from cohort_store.kafka import clients
from cohort_store.kafka.topics import TopicSpec, ensure_topics
from processors.backfill.ports import Archived, farthest_behind
from processors.clickhouse.history_coverage import HistoryCoverage
from processors.clickhouse.history_source import mapped_source
from processors.kafka.archived import ArchivedOffsets
from processors.router.progress import Source
from tests.control.control_process import control_settings
from tests.services.fixtures import ClickHouse
from tests.translation.tables import OWN, OWN_TABLE, own_tables

ONE, TWO = Source("muster.events", 0), Source("muster.events", 1)
OTHER = Source("persons", 0)
NOW = 1_768_219_200_000
SETTLE = 1_800_000
PLACES = "ADD COLUMN _topic LowCardinality(String), ADD COLUMN _partition UInt64, ADD COLUMN _offset Nullable(UInt64)"


class Feed(Protocol):
    """What puts messages into a history, and what looks at it."""

    @property
    def archived(self) -> Archived: ...

    async def hold(self, source: Source, end: int) -> None:
        """From here on the history holds the messages before that offset."""
        ...


class MemoryFeed:
    """In memory: both ends of it."""

    def __init__(self) -> None:
        self.archived = self
        self._ends: dict[Source, int] = {}

    async def hold(self, source: Source, end: int) -> None:
        self._ends[source] = end

    async def awaited(self, activations: Mapping[Source, int], since_ms: int) -> str:
        assert since_ms == NOW
        behind = {
            source: offset - self._ends.get(source, 0)
            for source, offset in activations.items()
            if source.topic == ONE.topic and self._ends.get(source, 0) < offset
        }
        return farthest_behind(behind, "memory")


class GroupFeed:
    """The archive's consumer group."""

    def __init__(self, bootstrap: str, consumer: AIOKafkaConsumer, group: str) -> None:
        self.archived = ArchivedOffsets(bootstrap, group, [ONE.topic])
        self._consumer = consumer

    async def hold(self, source: Source, end: int) -> None:
        await self._consumer.commit({TopicPartition(*source): end})


class TableFeed:
    """Rows with their places."""

    def __init__(self, url: str, database: str) -> None:
        source = mapped_source(own_tables(), database)
        clock = SteppedClock(NOW + 2 * SETTLE)
        self.archived = HistoryCoverage(url, source, [ONE.topic], settle_ms=SETTLE, clock=clock)
        self._url = url

    async def hold(self, source: Source, end: int) -> None:
        topic, partition = source
        places = f"INSERT INTO `{OWN_TABLE}` (_topic, _partition, _offset) VALUES ('{topic}', {partition}, {end - 1})"
        async with connected(self._url) as client:
            await client.command(places)


@pytest.fixture
async def own_table(clickhouse: ClickHouse) -> str:
    """URL of a database with the own table, which has no places."""
    url = f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}"
    async with connected(url) as client:
        await client.command(OWN)
    return url


@pytest.fixture(params=["memory", "group", "table"])
async def feed(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Feed]:
    if request.param == "memory":
        yield MemoryFeed()
    elif request.param == "table":
        clickhouse: ClickHouse = request.getfixturevalue("clickhouse")
        url = f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}"
        async with connected(url) as client:
            await client.command(OWN)
            await client.command(f"ALTER TABLE `{OWN_TABLE}` {PLACES}")
        yield TableFeed(url, clickhouse.database)
    else:
        broker: str = request.getfixturevalue("fresh_broker")
        settings = control_settings(broker, request.getfixturevalue("view_url"), tmp_path)
        await ensure_topics(broker, [TopicSpec(ONE.topic, 2)])
        group = clients.group_of(settings, "archive")
        consumer = AIOKafkaConsumer(bootstrap_servers=broker, group_id=group, enable_auto_commit=False)
        await consumer.start()
        consumer.assign([TopicPartition(*ONE), TopicPartition(*TWO)])
        yield GroupFeed(broker, consumer, group)
        await consumer.stop()


async def test_everything_before_the_offsets_is_awaited_of_sources_of_events_alone(feed: Feed) -> None:
    archived = feed.archived
    assert await archived.awaited({}, NOW) == ""
    assert await archived.awaited({ONE: 0, TWO: 0, OTHER: 9}, NOW) == ""
    assert (await archived.awaited({ONE: 3, TWO: 2, OTHER: 9}, NOW)).endswith("of muster.events/0, 3 messages behind")
    for end, behind in ((1, 2), (2, 1)):
        await feed.hold(ONE, end)
        said = await archived.awaited({ONE: 3, OTHER: 9}, NOW)
        assert said.endswith(f"of muster.events/0, {behind} messages behind")
    await feed.hold(ONE, 3)
    assert (await archived.awaited({ONE: 3, TWO: 2}, NOW)).endswith("of muster.events/1, 2 messages behind")
    await feed.hold(TWO, 7)
    assert await archived.awaited({ONE: 3, TWO: 2, OTHER: 9}, NOW) == ""


async def test_a_table_that_knows_no_places_is_left_the_time_that_the_operator_names(
    own_table: str, clickhouse: ClickHouse
) -> None:
    clock = SteppedClock(NOW)
    source = mapped_source(own_tables(), clickhouse.database)
    archived = HistoryCoverage(own_table, source, [ONE.topic], settle_ms=SETTLE, clock=clock)
    waits = "ClickHouse's table track-log to settle (history.settle, 30m) at 2026-01-12T12:30:00.000Z"
    for passed, said in ((0, waits), (SETTLE - 1, waits), (SETTLE, ""), (SETTLE + 1, "")):
        clock.set(NOW + passed)
        assert await archived.awaited({ONE: 3, OTHER: 1}, NOW) == said
    clock.set(NOW)
    assert await archived.awaited({ONE: 0, OTHER: 1}, NOW) == "", "nothing came before"
