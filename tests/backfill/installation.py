"""An installation with a past that only ClickHouse knows, and its backfill, as control runs it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import clickhouse_connect
import msgspec
from aiokafka import AIOKafkaProducer

from cohort_store.clocks import SystemClock
from cohort_store.errors import Retry
from cohort_store.kafka import clients
from cohort_store.kafka.topics import DELTAS, REGISTRY, ensure_topics, muster_topics
from cohort_store.redis.wiring import connect_mirror
from cohort_store.registry import encode_registry
from cohort_store.subjects import Subject
from processors.backfill.filling_in import FillingIn, FillingParts, noted_status
from processors.backfill.ports import FillingStatus
from processors.backfill.seeds import GATHERED_MAX
from processors.clickhouse.events import CREATE_SQL
from processors.clickhouse.seed_history import SeedHistory
from processors.kafka.activation import MarkedActivations
from processors.kafka.archived import ArchivedOffsets
from processors.kafka.delta_log import KafkaDeltaLog
from tests.membership.processes import PARTITIONS, SECOND, SHARDS, START_MS, Installation
from tests.oracle.membership import Event, members_at
from tests.services.fixtures import ClickHouse

MEMORY_BYTES = 2**30
DEADLINE_S = 100.0
AGAIN_S = 0.2


class FilledInstallation(Installation):
    """Has `persons` in its history, of whom no event ever came live."""

    def __init__(self, folder: Path, kafka: str, redis: str, clickhouse: ClickHouse, *, persons: int = 1_000) -> None:
        super().__init__(folder, kafka, redis)
        self.database = clickhouse
        self.url = f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}"
        self.persons = persons
        self.part_persons = persons // 10
        self.gathered_max = GATHERED_MAX
        self.memory_bytes = MEMORY_BYTES
        self.request_timeout_ms = 40_000
        self.troubles: list[str] = []
        """What the backfill was tried again for, as control's log has it."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.mirror = connect_mirror(self.settings)
        self._stack.push_async_callback(self.mirror.aclose)
        await asyncio.to_thread(self._remember)
        for role in ("router", "membership"):
            self.start(role, role)
        return self

    def _remember(self) -> None:
        """Everybody bought once to four times, in the last half minute before the start."""
        rows = []
        for number in range(self.persons):
            person = f"past-{number:05}"
            times = [START_MS - (1 + (7 * number + 3 * each) % 30) * SECOND for each in range(1 + number % 4)]
            uuids = [f"00000000-0000-4000-8000-{number:08x}{each:04x}" for each in range(len(times))]
            self.events[person] = [Event(*pair) for pair in zip(uuids, ["buy"] * len(times), times, strict=True)]
            rows += [_row(person, event) for event in self.events[person]]
        database = self.database
        with clickhouse_connect.get_client(
            host=database.host, port=database.port, database=database.database
        ) as client:
            client.command(CREATE_SQL)
            client.raw_insert("events", insert_block=msgspec.json.Encoder().encode_lines(rows), fmt="JSONEachRow")

    async def begin_anew(self) -> None:
        """After the broker lost everything: topics and registry, as control makes them."""
        await ensure_topics(self.settings.kafka, muster_topics(PARTITIONS))
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka)
        await producer.start()
        await producer.send_and_wait(REGISTRY, encode_registry(self.registry), key=b"registry")
        await producer.stop()

    async def fill_in(self, url: str = "") -> dict[int, int | None]:
        """Until it is done, as control does: what fails is tried again."""
        # Nothing of the sources has to be archived: what came live did so with this registry.
        archived = ArchivedOffsets(self.settings.kafka, clients.group_of(self.settings, "archive"), [])
        producer = AIOKafkaProducer(
            bootstrap_servers=self.settings.kafka, acks="all", request_timeout_ms=self.request_timeout_ms
        )
        await producer.start()
        parts = FillingParts(
            history=SeedHistory(url or self.url, 2, self.memory_bytes),
            activations=MarkedActivations(self.settings.kafka, self.settings.mark_interval_ms),
            archived=archived,
            deltas=KafkaDeltaLog(self.settings.kafka, producer),
            notes=self.mirror,
            reader=self.reader,
            clock=SystemClock(),
            shards=SHARDS,
            partitions=PARTITIONS,
            part_persons=self.part_persons,
            gathered_max=self.gathered_max,
        )
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    try:
                        return dict((await FillingIn(parts).fill(self.registry)).begins_ms)
                    except Retry as error:
                        self.troubles.append(str(error))
                        self.revive()
                        await asyncio.sleep(AGAIN_S)
        finally:
            await producer.stop()

    async def until_noted(self, wanted: Callable[[FillingStatus], bool]) -> FillingStatus:
        """The first status of the backfill that is as wanted."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            status = await noted_status(self.mirror)
            if status is not None and wanted(status):
                return status
            assert time.monotonic() < deadline, f"still {status}; logs in {self.folder}"
            await asyncio.sleep(0.01)

    async def check_members(self) -> None:
        """Everybody is in what the oracle says, now, and in a while."""
        for by_ms in (0, 5 * SECOND, 20 * SECOND):
            self.clock.set(self.clock.now_ms() + by_ms)
            await self.settle()
            wrong = await self.wrong()
            assert not wrong, f"{len(wrong)} of {len(self.events)}, {wrong[:3]}; logs in {self.folder}"

    async def wrong(self) -> list[str]:
        """Whose memberships are not the oracle's."""
        now_ms, persons = self.clock.now_ms(), sorted(self.events)
        active = {cohort.key: cohort.versions[-1] for cohort in self.registry.team(1).cohorts}
        wrong = []
        found = await self.reader.memberships([Subject(1, 0, person) for person in persons])
        for person, membership in zip(persons, found, strict=True):
            expected = members_at(self.definitions, self.events[person], now_ms)
            stored = {key: (each.handle in membership.handles) is not each.complemented for key, each in active.items()}
            if stored != expected:
                wrong.append(f"{person}: {stored}, oracle {expected}")
        return wrong

    async def folded(self) -> int:
        """How many messages of deltas are folded."""
        positions = await self.reader.positions(range(PARTITIONS))
        return sum(position.offsets[DELTAS].next for position in positions.values() if DELTAS in position.offsets)


def _row(person: str, event: Event) -> dict[str, object]:
    time_text = datetime.fromtimestamp(event.time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S.000")
    return {
        "team_id": 1,
        "event": event.event,
        "uuid": event.uuid,
        "distinct_id": "",
        "person_id": person,
        "timestamp": time_text,
        "properties": "{}",
        "_topic": "past",
        "_partition": 0,
        "_offset": 0,
        "_timestamp": time_text,
    }
