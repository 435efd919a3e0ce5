"""Raw events in ClickHouse: each sound message once, however often it is written."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import clickhouse_connect
import pytest
from aiokafka import TopicPartition

from cohort_store.clocks import SteppedClock, SystemClock
from cohort_store.errors import Retry
from cohort_store.forgetting import Forgettings
from cohort_store.kafka import clients
from cohort_store.kafka.ends import end_offsets
from cohort_store.kafka.topics import TopicSpec, ensure_topics
from cohort_store.settings import Settings
from processors.archive import worker
from processors.archive.halving import EventRows
from processors.archive.wiring import ROLE
from processors.archive.worker import Archive, ArchiveParts, ForgottenOnes
from processors.clickhouse.events import EVENT_KEY, EventsTable
from processors.codecs.event import Limits
from processors.codecs.plain import PlainCodec
from processors.kafka.archived import ArchivedOffsets
from processors.kafka.dead_letters import RememberedDeadLetters
from processors.kafka.event_source import KafkaEventSource
from processors.router.memory import MemoryLog, MemorySource
from processors.router.progress import Source
from tests.services.fixtures import KAFKA, ClickHouse

NOW_MS = 1_750_000_000_000
FIRST = Source("muster.events", 0)
UUID = "018f3b2a-7c1d-7e4a-9b0c-1d2e3f4a5b6c"
DEADLINE_S = 30


class Rows:
    """Keeps what is written, and can fail first, before or after it has kept it."""

    def __init__(self, failing: int = 0, *, kept: bool = False) -> None:
        self.rows: list[dict[str, Any]] = []
        self._failing = failing
        self._kept = kept

    async def insert(self, rows: Sequence[bytes]) -> None:
        if self._failing and not self._kept:
            self._failing -= 1
            raise Retry("refused")
        self.rows += [json.loads(row) for row in rows]
        if self._failing:
            self._failing -= 1
            raise Retry("the answer was lost")


def event(**changes: Any) -> bytes:
    return json.dumps({"event": "buy", "distinct_id": "d", "timestamp": NOW_MS, "uuid": UUID} | changes).encode()


class Nobody:
    """Was forgotten."""

    async def read(self) -> Forgettings:
        return Forgettings()


def archive(
    log: MemoryLog,
    table: EventRows,
    letters: RememberedDeadLetters | None = None,
    forgotten: ForgottenOnes | None = None,
) -> Archive:
    clock = SteppedClock(NOW_MS)
    source = MemorySource(log, clock)
    source.move([FIRST])
    codecs = {FIRST.topic: PlainCodec(Limits())}
    return Archive(
        ArchiveParts(source, table, forgotten or Nobody(), letters or RememberedDeadLetters(), codecs, clock)
    )


@pytest.fixture(autouse=True)
def blocks_are_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "BLOCK_AGE_S", 0.0)
    monkeypatch.setattr(worker, "RETRY_S", 0.0)


@pytest.fixture
async def table(clickhouse: ClickHouse) -> AsyncIterator[EventsTable]:
    table = EventsTable(f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}")
    yield table
    await table.close()


def asked(clickhouse: ClickHouse, sql: str) -> Sequence[Sequence[Any]]:
    with clickhouse_connect.get_client(
        host=clickhouse.host, port=clickhouse.port, database=clickhouse.database
    ) as client:
        return client.query(sql).result_rows


async def test_every_field_of_an_event_arrives_as_it_was(clickhouse: ClickHouse, table: EventsTable) -> None:
    log = MemoryLog()
    nasty = {"a": "line\nbreak \t \\ ' \" € 💥", "n": 1.5}
    log.append(FIRST, event(person_id="p\t'", team_id=7, properties=nasty, timestamp=NOW_MS - 1), NOW_MS + 2)
    await archive(log, table).step()
    columns = "team_id, event, toString(uuid), distinct_id, person_id, toUnixTimestamp64Milli(timestamp), properties, "
    columns += "_topic, _partition, _offset, toUnixTimestamp64Milli(_timestamp)"
    (row,) = asked(clickhouse, f"SELECT {columns} FROM events")
    assert row[:6] == (7, "buy", UUID, "d", "p\t'", NOW_MS - 1)
    assert json.loads(row[6]) == nasty
    assert row[7:] == ("muster.events", 0, 0, NOW_MS + 2)


@pytest.mark.parametrize("time_ms", [946_684_800_000, NOW_MS + 999, NOW_MS + 86_400_000])
async def test_a_time_arrives_to_the_millisecond(clickhouse: ClickHouse, table: EventsTable, time_ms: int) -> None:
    log = MemoryLog()
    log.append(FIRST, event(timestamp=time_ms), NOW_MS)
    await archive(log, table).step()
    assert asked(clickhouse, "SELECT toUnixTimestamp64Milli(timestamp) FROM events") == [(time_ms,)]


async def test_messages_that_are_written_twice_are_read_once(clickhouse: ClickHouse, table: EventsTable) -> None:
    log = MemoryLog()
    for number in range(100):
        log.append(FIRST, event(uuid=None, timestamp=NOW_MS + number), NOW_MS)
    await archive(log, table).step()
    log.committed.clear()
    await archive(log, table).step()
    assert asked(clickhouse, "SELECT count() FROM events FINAL") == [(100,)]
    assert asked(clickhouse, f"SELECT count() FROM (SELECT 1 FROM events LIMIT 1 BY {EVENT_KEY})") == [(100,)]


async def test_an_event_that_was_produced_twice_is_two_messages_and_one_event(
    clickhouse: ClickHouse, table: EventsTable
) -> None:
    log = MemoryLog()
    for _ in range(2):
        log.append(FIRST, event(), NOW_MS)
    await archive(log, table).step()
    assert asked(clickhouse, "SELECT count() FROM events FINAL") == [(2,)]
    assert asked(clickhouse, f"SELECT count() FROM (SELECT 1 FROM events LIMIT 1 BY {EVENT_KEY})") == [(1,)]


async def test_bad_messages_are_skipped_and_their_neighbours_are_kept() -> None:
    log, rows = MemoryLog(), Rows()
    for value in (event(event="a"), b"{", None, event(timestamp=0), event(event="b")):
        log.append(FIRST, value, NOW_MS)
    await archive(log, rows).step()
    assert [row["event"] for row in rows.rows] == ["a", "b"]
    assert log.committed == {FIRST: 5}


async def test_nothing_is_committed_before_it_is_written() -> None:
    log, rows = MemoryLog(), Rows(failing=1)
    log.append(FIRST, event(), NOW_MS)
    archiving = archive(log, rows)
    with pytest.raises(Retry):
        await archiving.step()
    assert (log.committed, rows.rows) == ({}, [])
    await archiving.step()
    assert (log.committed, len(rows.rows)) == ({FIRST: 1}, 1)


async def test_a_block_whose_answer_is_lost_is_written_again_as_it_was() -> None:
    log, rows = MemoryLog(), Rows(failing=1, kept=True)
    log.append(FIRST, event(), NOW_MS)
    running = asyncio.create_task(archive(log, rows).run())
    async with asyncio.timeout(10):
        while not log.committed:
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert len(rows.rows) == 2
    assert rows.rows[0] == rows.rows[1]


@pytest.mark.services
@pytest.mark.skipif(KAFKA != "apache", reason="the embedded broker knows no transactions")
async def test_who_waits_for_the_archive_waits_not_for_ever_for_the_end_of_a_transaction(fresh_broker: str) -> None:
    await ensure_topics(fresh_broker, [TopicSpec(FIRST.topic, 1)])
    async with clients.transactional_producer(fresh_broker, "test-archive") as producer, producer.transaction():
        await producer.send(*FIRST[:1], event(), partition=FIRST.partition)
    ends = await end_offsets(fresh_broker, [TopicPartition(*FIRST)])
    assert ends == {TopicPartition(*FIRST): 2}
    settings = Settings(kafka=fresh_broker, session_timeout_ms=6_000)
    source = KafkaEventSource(settings, settings.sources, SystemClock(), ROLE)
    await source.start()
    rows = Rows()
    parts = ArchiveParts(
        source, rows, Nobody(), RememberedDeadLetters(), {FIRST.topic: PlainCodec(Limits())}, SystemClock()
    )
    archiving = asyncio.create_task(Archive(parts).run())
    archived = ArchivedOffsets(fresh_broker, clients.group_of(settings, ROLE), [FIRST.topic])
    try:
        async with asyncio.timeout(DEADLINE_S):
            while await archived.awaited({FIRST: 2}, 0):
                await asyncio.sleep(0.1)
    finally:
        archiving.cancel()
        await source.stop()
    assert len(rows.rows) == 1
