"""Backfill: a new cohort's history out of ClickHouse and into every shard, over ClickHouse's bare GROUP BY of it."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from clickhouse_connect.driver import AsyncClient

from benchmarks.parts import Bench, embedded
from benchmarks.processes import OTHER_CORE, SERVER_CORE, Role, cpu_seconds, pin
from cohort_store.clickhouse.client import connect
from cohort_store.clocks import SystemClock
from cohort_store.compiling import assign
from cohort_store.definitions import parse_cohort
from cohort_store.kafka import clients
from cohort_store.kafka.topics import EVENTS, REGISTRY, ensure_topics, muster_topics
from cohort_store.ports import MembershipReader
from cohort_store.redis.wiring import connect_mirror, connect_reader
from cohort_store.registry import Registry, encode_registry
from cohort_store.settings import Settings
from processors.backfill.filling_in import FillingIn, FillingParts
from processors.backfill.ports import Part
from processors.backfill.wanted import wanted
from processors.clickhouse.events import CREATE_SQL
from processors.clickhouse.seed_history import SeedHistory
from processors.embedded.history import EmbeddedHistory
from processors.kafka.activation import MarkedActivations
from processors.kafka.archived import ArchivedOffsets
from processors.kafka.delta_log import KafkaDeltaLog
from processors.router.progress import Source

PARTITIONS = 8
DEADLINE_S = 120.0
COHORT = {"key": "buyers", "when": {"kind": "count", "event": "purchase", "op": "gte", "n": 3, "within": "30d"}}
# One event of three is a purchase; of each person they are spread over 60 days.
FILL = """
INSERT INTO events
SELECT
    1, if(number % 3 = 0, 'purchase', 'page view'), generateUUIDv4(), '',
    concat('person-', toString(cityHash64(number) % {persons:UInt64})),
    now64(3) - toIntervalSecond(60 + cityHash64(number, 1) % (60 * 86400)),
    '{"price": 12.5, "currency": "EUR", "path": "/checkout/done"}', 'muster.events', 0, number, now64(3)
FROM numbers({events:UInt64})
"""
FLOOR = """
SELECT count(), sum(length(times))
FROM (SELECT person_id, groupArray(timestamp) AS times FROM events WHERE event = 'purchase' GROUP BY person_id)
"""
EXPECTED = """
SELECT count()
FROM (
    SELECT person_id FROM events WHERE event = 'purchase' AND timestamp > now64(3) - INTERVAL 30 DAY
    GROUP BY person_id HAVING count() >= 3
)
"""


class Result(NamedTuple):
    """What one run came to."""

    events: int
    persons: int
    parts: int
    floor_s: float
    sql_s: float
    """What ClickHouse took for the same parts with nobody to send them to."""
    seconds: float
    """From the first question to the last folded seed."""
    membership_cpu_s: float
    stored: int
    expected: int


async def measure(events: int = 5_000_000, persons: int = 100_000) -> Result:
    """Fill the table, measure the floor, then fill the cohort in."""
    with tempfile.TemporaryDirectory(prefix="muster-bench-history-") as name:
        history = EmbeddedHistory(Path(name))
        with history:
            pin(history.process.pid, OTHER_CORE)
            url = f"http://{history.host}:{history.port}"
            with embedded({"clickhouse": url, "partitions": PARTITIONS}) as bench:
                return await _measured(bench, events, persons)


async def _measured(bench: Bench, events: int, persons: int) -> Result:
    settings = bench.settings
    client = await connect(settings.clickhouse, 600)
    await client.command(CREATE_SQL)
    await client.command(FILL, {"persons": persons, "events": events})
    began = time.perf_counter()
    await client.query(FLOOR, settings={"max_threads": settings.backfill_threads})
    floor_s = time.perf_counter() - began
    await ensure_topics(settings.kafka, muster_topics(PARTITIONS))
    roles = [
        Role(["-m", "processors.cli", role], bench.environment, SERVER_CORE, bench.folder / f"{role}.log")
        for role in ("membership", "router")
    ]
    try:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(client.close)
            return await _filled_in(settings, stack, roles, (events, persons, floor_s, client))
    finally:
        for role in roles:
            role.stop()


async def _filled_in(
    settings: Settings, stack: AsyncExitStack, roles: list[Role], known: tuple[int, int, float, AsyncClient]
) -> Result:
    events, persons, floor_s, client = known
    producer = clients.producer(settings.kafka)
    await producer.start()
    stack.push_async_callback(producer.stop)
    mirror, reader = connect_mirror(settings), connect_reader(settings)
    stack.push_async_callback(mirror.aclose)
    stack.push_async_callback(reader.aclose)
    # As on an installation that had nothing defined before.
    await _until_owned(reader, settings.shards)
    sources = {EVENTS: tuple(range(PARTITIONS))}
    now = int(time.time() * 1e3)
    registry = assign(Registry(sources=sources), [parse_cohort(COHORT)], {}, applied="bench", now=now)
    await producer.send_and_wait(REGISTRY, encode_registry(registry), key=b"registry")
    history = SeedHistory(settings.clickhouse, settings.backfill_threads, settings.backfill_memory_bytes)
    timed = _Timed(MarkedActivations(settings.kafka, settings.mark_interval_ms))
    filling = FillingIn(
        FillingParts(
            history=history,
            activations=timed,
            archived=ArchivedOffsets(settings.kafka, clients.group_of(settings, "archive"), [EVENTS]),
            deltas=KafkaDeltaLog(settings.kafka, producer),
            notes=mirror,
            reader=reader,
            clock=SystemClock(),
            shards=settings.shards,
            partitions=settings.partitions,
            part_persons=settings.backfill_part_persons,
        )
    )
    cpu = cpu_seconds(roles[0].pid)
    await filling.fill(registry)
    seconds = time.perf_counter() - timed.begun
    cpu = cpu_seconds(roles[0].pid) - cpu
    # Now: every second some leave, since their window moves on.
    expected = int((await client.query(EXPECTED)).result_rows[0][0])
    (stored,) = await reader.sizes([version.handle for version in registry.team(1).cohorts[0].versions])
    parts = -(-persons // settings.backfill_part_persons)
    sql_s = await _asked(history, registry, parts)
    return Result(events, persons, parts, floor_s, sql_s, seconds, cpu, stored, expected)


class _Timed:
    """Activations, and when they were known: waiting for routers is no work."""

    def __init__(self, activations: MarkedActivations) -> None:
        self._activations = activations
        self.begun = 0.0

    async def of(self, registry_version: int, sources: Iterable[Source]) -> dict[Source, int]:
        found = await self._activations.of(registry_version, sources)
        self.begun = time.perf_counter()
        return found


async def _asked(history: SeedHistory, registry: Registry, parts: int) -> float:
    """How long the same questions take with nobody to send the answers to."""
    (team,) = wanted(registry)
    began = time.perf_counter()
    for number in range(parts):
        async for _ in history.seeds(team, int(time.time() * 1e3), Part(number, parts)):
            pass
    return time.perf_counter() - began


async def _until_owned(reader: MembershipReader, shards: int) -> None:
    deadline = time.perf_counter() + DEADLINE_S
    while len(await reader.positions(range(shards))) < shards:
        if time.perf_counter() > deadline:
            raise RuntimeError("membership does not own every shard")
        await asyncio.sleep(0.1)


def report(found: Result) -> None:
    """The figures, as they are quoted."""
    rate, each = found.persons / found.seconds, 1e6 * found.membership_cpu_s / found.persons
    print(
        f"backfill, {found.events:,} events of {found.persons:,} persons in {found.parts} parts; membership and router "
        "on one core, ClickHouse (chDB), broker Tansu and view Valkey on the other"
    )
    print(
        f"  whole                {found.seconds:>8.2f} s   {rate:>9,.0f} persons/s   membership {each:.1f} CPU µs each"
    )
    print(f"  its SQL alone        {found.sql_s:>8.2f} s   bare GROUP BY {found.floor_s:.2f} s")
    sql, whole = found.sql_s / found.floor_s, found.seconds / found.floor_s
    print(f"  SQL over GROUP BY    {sql:>8.2f}   whole over it {whole:.1f}")
    print(f"  members {found.stored:,} of {found.expected:,}")


if __name__ == "__main__":
    chooser = argparse.ArgumentParser(description=__doc__)
    chooser.add_argument("--events", type=int, default=5_000_000)
    chooser.add_argument("--persons", type=int, default=100_000)
    chosen = chooser.parse_args()
    report(asyncio.run(measure(chosen.events, chosen.persons)))
