"""Ingest: router and membership on one core, broker and Valkey on the other, until the membership is complete."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.processes import OTHER_CORE, SERVER_CORE, Role, cpu_seconds, pin
from benchmarks.workload import END_MS, Account, Workload
from cohort_store.changes import decode_change
from cohort_store.clocks import FileClock
from cohort_store.compiling import assign
from cohort_store.definitions import parse_cohort
from cohort_store.ports import MembershipReader, Position
from cohort_store.redis.wiring import connect_reader
from cohort_store.registry import Registry, encode_registry
from cohort_store.settings import Settings
from processors.embedded.broker import EmbeddedBroker
from processors.embedded.view import EmbeddedView
from processors.kafka.ends import end_offsets
from processors.kafka.topics import MEMBERSHIP_CHANGES, REGISTRY, TopicSpec, ensure_topics, muster_topics

TOPIC = "clickhouse_events_json"
PARTITIONS = 8
BATCH_BYTES = 16_384
"""What an ordinary producer sends at once: aiokafka's, and Kafka's own, default."""
REQUEST_BYTES = 4_194_304
SHARDS = 256
DEADLINE_S = 900.0
COHORT = {"key": "buyers", "when": {"kind": "count", "event": "purchase", "op": "gte", "n": 3, "within": "7d"}}


class Result(NamedTuple):
    """What one run came to. Rates are events a second; costs CPU µs an event."""

    events: int
    seconds: float
    router_us: float
    membership_us: float
    floor_seconds: float
    floor_us: float
    entries: int
    exits: int
    account: Account
    wrong: int


async def measure(events: int, persons: int, batch_bytes: int = BATCH_BYTES) -> Result:
    """Load the topic, measure the floor, then run router and membership from the beginning to the end."""
    workload = Workload.draw(events, persons, PARTITIONS, seed=1)
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as name:
        folder = Path(name)
        with EmbeddedBroker(folder) as broker, EmbeddedView(folder) as view:
            pin(broker.process.pid, OTHER_CORE)
            pin(view.process.pid, OTHER_CORE)
            await ensure_topics(broker.bootstrap, [*muster_topics(PARTITIONS), TopicSpec(TOPIC, PARTITIONS)])
            await load(broker.bootstrap, workload, batch_bytes)
            floor_s, floor_cpu_s = measure_floor(broker.bootstrap, events)
            settings, environment = installation(broker.bootstrap, view.url, folder)
            await define(settings)
            seconds, router_s, membership_s = await run(settings, environment, folder)
            return await result(settings, workload, (events, seconds, router_s, membership_s, floor_s, floor_cpu_s))


def installation(bootstrap: str, url: str, folder: Path) -> tuple[Settings, dict[str, str]]:
    """Settings, and the environment that gives them to a child."""
    FileClock(folder / "clock").set(END_MS)
    (folder / "none.toml").touch()
    environment = {
        "MUSTER_KAFKA": bootstrap,
        "MUSTER_REDIS": url,
        "MUSTER_SOURCES": f'{{"{TOPIC}": "posthog"}}',
        "MUSTER_CLOCK": f"file:{folder / 'clock'}",
        "MUSTER_PARTITIONS": str(PARTITIONS),
        "PYTHONPATH": ".",
        "MUSTER_CONFIG": str(folder / "none.toml"),
    }
    settings = Settings(
        kafka=bootstrap,
        redis=url,
        sources={TOPIC: "posthog"},
        clock=environment["MUSTER_CLOCK"],
        partitions=PARTITIONS,
    )
    return settings, environment


async def load(bootstrap: str, workload: Workload, batch_bytes: int) -> None:
    """Put the workload into the topic, each partition's events in batches of at most so many bytes."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=batch_bytes, max_request_size=REQUEST_BYTES)
    await producer.start()
    builders = {number: producer.create_batch() for number in range(PARTITIONS)}
    sent = []
    for partition, time_ms, body in workload.messages():
        if builders[partition].append(key=None, value=body, timestamp=time_ms) is None:
            sent.append(await producer.send_batch(builders[partition], TOPIC, partition=partition))
            builders[partition] = producer.create_batch()
            builders[partition].append(key=None, value=body, timestamp=time_ms)
    for partition, builder in builders.items():
        if builder.record_count():
            sent.append(await producer.send_batch(builder, TOPIC, partition=partition))
    await asyncio.gather(*sent)
    await producer.stop()


async def define(settings: Settings) -> None:
    """Put the one cohort into force, as control would."""
    registry = assign(Registry(), [parse_cohort(COHORT)], {}, applied="bench", now=END_MS)
    registry = msgspec.structs.replace(registry, sources={TOPIC: tuple(range(PARTITIONS))})
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)
    await producer.start()
    await producer.send_and_wait(REGISTRY, encode_registry(registry), key=b"registry")
    await producer.stop()


def measure_floor(bootstrap: str, events: int) -> tuple[float, float]:
    """Seconds and CPU seconds of the floor, on the core that router and membership will have."""
    floor = [sys.executable, "-m", "benchmarks.floor", bootstrap, TOPIC, str(PARTITIONS), str(events)]
    command = ["taskset", "-c", str(SERVER_CORE), *floor]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=DEADLINE_S).stdout
    seconds, cpu = map(float, printed.split())
    return seconds, cpu


async def run(settings: Settings, environment: dict[str, str], folder: Path) -> tuple[float, float, float]:
    """Seconds from the first folded event until every shard stands at the end, and both roles' CPU seconds in them.

    Starting and joining the groups is left out on both sides; what is folded by the first look is less than 1 %.
    """
    reader = connect_reader(settings)
    roles = [
        Role(["-m", "processors.cli", role], environment, SERVER_CORE, folder / f"{role}.log")
        for role in ("membership", "router")
    ]
    try:
        await _until(reader, roles, folder, lambda position: any(o.next for o in position.offsets.values()), some=True)
        began, began_cpu = time.perf_counter(), [cpu_seconds(role.pid) for role in roles]
        await _until(reader, roles, folder, lambda position: position.now_ms == END_MS)
        seconds = time.perf_counter() - began
        costs = [cpu_seconds(role.pid) - before for role, before in zip(roles, began_cpu, strict=True)]
        await asyncio.sleep(2.0)
    finally:
        for role in roles:
            role.stop()
        await reader.aclose()
    return seconds, costs[1], costs[0]


async def _until(
    reader: MembershipReader, roles: list[Role], folder: Path, holds: Callable[[Position], bool], *, some: bool = False
) -> None:
    """Wait until every shard's position, or some, is as wanted."""
    deadline = time.perf_counter() + DEADLINE_S
    while True:
        positions = await reader.positions(range(SHARDS))
        found = [holds(position) for position in positions.values()]
        if (some and any(found)) or (len(found) == SHARDS and all(found)):
            return
        if time.perf_counter() > deadline or any(role.process.poll() is not None for role in roles):
            raise RuntimeError(f"not complete: {(folder / 'membership.log').read_text()[-3000:]}")
        await asyncio.sleep(0.1)


async def result(
    settings: Settings, workload: Workload, figures: tuple[int, float, float, float, float, float]
) -> Result:
    """Compare what Muster holds and told with the account."""
    account = workload.account()
    reader = connect_reader(settings)
    members: set[str] = set()
    cursor: str | None = None
    while True:
        page = await reader.members(2, cursor, 1_000)
        members.update(page.ids)
        cursor = page.cursor
        if cursor is None:
            break
    await reader.aclose()
    entries, exits = await told(settings)
    events, seconds, router_s, membership_s, floor_s, floor_cpu_s = figures
    a_event = 1e6 / events
    return Result(
        events,
        seconds,
        router_s * a_event,
        membership_s * a_event,
        floor_s,
        floor_cpu_s * a_event,
        entries,
        exits,
        account,
        len(members ^ account.members),
    )


async def told(settings: Settings) -> tuple[int, int]:
    """How many entries and exits stand in muster.membership-changes."""
    partitions = [TopicPartition(MEMBERSHIP_CHANGES, number) for number in range(PARTITIONS)]
    ends = await end_offsets(settings.kafka, partitions)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, enable_auto_commit=False)
    await consumer.start()
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    seen: dict[tuple[int, int], str] = {}
    while any([await consumer.position(p) < ends[p] for p in partitions]):
        for messages in (await consumer.getmany(timeout_ms=200)).values():
            for message in messages:
                change = decode_change(message.value)
                seen[change.shard, change.sequence] = change.status
    await consumer.stop()
    statuses = list(seen.values())
    return statuses.count("entered"), statuses.count("left")


def report(found: Result) -> None:
    """The figures, as they are quoted."""
    rate, floor_rate = found.events / found.seconds, found.events / found.floor_seconds
    cost = found.router_us + found.membership_us
    print(f"ingest, {found.events:,} events; broker: Tansu (in memory), view: Valkey, both on the other core")
    print(
        f"  router + membership  {rate:>10,.0f} events/s   {cost:6.2f} CPU µs/event"
        f"   (router {found.router_us:.2f}, membership {found.membership_us:.2f})"
    )
    print(f"  floor                {floor_rate:>10,.0f} events/s   {found.floor_us:6.2f} CPU µs/event")
    print(f"  ratio of rates {rate / floor_rate:.2f}, of costs {cost / found.floor_us:.2f}")
    account = found.account
    print(
        f"  members {len(account.members):,}, wrong {found.wrong}; entered {found.entries:,} of {account.entries:,}, "
        f"left {found.exits:,} of {account.exits:,} (the rest: stays that one commit nets out)"
    )


if __name__ == "__main__":
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    persons = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    batch_bytes = int(sys.argv[3]) if len(sys.argv) > 3 else BATCH_BYTES
    report(asyncio.run(measure(events, persons, batch_bytes)))
