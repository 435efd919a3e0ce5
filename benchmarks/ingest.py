"""Ingest: router and membership on one core, broker and Valkey on the other, until the membership is complete."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.parts import BROKERS, Bench, broker_argument, embedded, registry_of
from benchmarks.processes import SERVER_CORE, Role, cpu_seconds
from benchmarks.workload import END_MS, Account, Workload
from cohort_store.changes import decode_change
from cohort_store.clocks import FileClock
from cohort_store.kafka.ends import end_offsets
from cohort_store.kafka.topics import MEMBERSHIP_CHANGES, REGISTRY, TopicSpec, ensure_topics, muster_topics
from cohort_store.ports import MembershipReader, Position
from cohort_store.redis.wiring import connect_reader
from cohort_store.registry import encode_registry
from cohort_store.settings import Settings

TOPIC = "clickhouse_events_json"
PARTITIONS = 8
BATCH_BYTES = 1_000_000
"""What a producer sends at once: librdkafka's default `batch.size`, and what writes `clickhouse_events_json` is
PostHog's ingestion, over librdkafka. aiokafka's and the Java client's default is 16,384: then both the floor and the
router cost more, and Tansu, whose fetches get slower with every batch in a partition, more than either."""
REQUEST_BYTES = 4_194_304
SHARDS = 256
DEADLINE_S = 900.0
COHORT = {"key": "buyers", "when": {"kind": "count", "event": "purchase", "op": "gte", "n": 3, "within": "7d"}}


class Load(NamedTuple):
    """What is measured."""

    events: int = 2_000_000
    persons: int = 100_000
    batch_bytes: int = BATCH_BYTES
    broker: str = "tansu"


class Taken(NamedTuple):
    """Seconds by the clock, and CPU seconds of each process."""

    seconds: float
    router_cpu_s: float
    membership_cpu_s: float
    floor_s: float
    floor_cpu_s: float


class Result(NamedTuple):
    """What one run came to."""

    load: Load
    taken: Taken
    entries: int
    exits: int
    account: Account
    wrong: int

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.load.events / self.taken.seconds


async def measure(load: Load) -> Result:
    """Load the topic, measure the floor, then run router and membership from the beginning to the end."""
    workload = Workload.draw(load.events, load.persons, PARTITIONS, seed=1)
    with tempfile.TemporaryDirectory(prefix="muster-bench-clock-") as name:
        clock = Path(name) / "clock"
        FileClock(clock).set(END_MS)
        chosen = {"sources": {TOPIC: "posthog"}, "clock": f"file:{clock}", "partitions": PARTITIONS}
        with embedded(chosen, broker=load.broker) as bench:
            bootstrap = bench.settings.kafka
            await ensure_topics(bootstrap, [*muster_topics(PARTITIONS), TopicSpec(TOPIC, PARTITIONS)])
            await fill(bootstrap, workload, load.batch_bytes)
            floor = measure_floor(bootstrap, load.events)
            await define(bench.settings)
            return await result(bench.settings, workload, load, Taken(*await run(bench), *floor))


async def fill(bootstrap: str, workload: Workload, batch_bytes: int) -> None:
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
    registry = registry_of([COHORT], now=END_MS, sources={TOPIC: tuple(range(PARTITIONS))})
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


async def run(bench: Bench) -> tuple[float, float, float]:
    """Seconds from the first folded event until every shard stands at the end, and both roles' CPU seconds in them.

    Starting and joining the groups is left out on both sides; what is folded by the first look is less than 1 %.
    """
    folder, reader = bench.folder, connect_reader(bench.settings)
    roles = [
        Role(["-m", "processors.cli", role], bench.environment, SERVER_CORE, folder / f"{role}.log")
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


async def result(settings: Settings, workload: Workload, load: Load, taken: Taken) -> Result:
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
    return Result(load, taken, entries, exits, account, len(members ^ account.members))


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
    """The figures, as they are quoted: rates in events a second, costs in CPU µs an event."""
    load, taken = found.load, found.taken
    floor_rate = load.events / taken.floor_s
    router, membership, floor = (
        1e6 * cpu_s / load.events for cpu_s in (taken.router_cpu_s, taken.membership_cpu_s, taken.floor_cpu_s)
    )
    print(
        f"ingest, {load.events:,} events in batches of {load.batch_bytes:,} bytes; router and membership on one core, "
        f"broker {BROKERS[load.broker]} and view Valkey on the other"
    )
    print(
        f"  router + membership  {found.rate:>10,.0f} events/s   {router + membership:6.2f} CPU µs/event"
        f"   (router {router:.2f}, membership {membership:.2f})"
    )
    print(f"  floor                {floor_rate:>10,.0f} events/s   {floor:6.2f} CPU µs/event")
    print(f"  ratio of rates {found.rate / floor_rate:.2f} (goal 0.35), of costs {(router + membership) / floor:.2f}")
    account = found.account
    print(
        f"  members {len(account.members):,}, wrong {found.wrong}; entered {found.entries:,} of {account.entries:,}, "
        f"left {found.exits:,} of {account.exits:,} (the rest: stays that one commit nets out)"
    )


def load_arguments(parser: argparse.ArgumentParser) -> None:
    """What a command line may choose of the load."""
    default = Load()
    broker_argument(parser)
    parser.add_argument("--events", type=int, default=default.events, help=f"default: {default.events:,}")
    parser.add_argument("--persons", type=int, default=default.persons, help=f"default: {default.persons:,}")
    parser.add_argument(
        "--batch-bytes", type=int, default=default.batch_bytes, help=f"a producer's batch; default: {BATCH_BYTES:,}"
    )


def load_of(arguments: argparse.Namespace) -> Load:
    """What was chosen."""
    return Load(arguments.events, arguments.persons, arguments.batch_bytes, arguments.broker)


if __name__ == "__main__":
    chooser = argparse.ArgumentParser(description=__doc__)
    load_arguments(chooser)
    report(asyncio.run(measure(load_of(chooser.parse_args()))))
