"""A backfill beside live events, and a whole rebuild.

How much later live events are visible while a new cohort's history is filled in: INTERVAL_S of it and as long without
in turns, in one run, at a rate that is kept. Without means paused, as `muster backfill pause` does it. Each interval
with it is compared with the two around it, so that a machine that becomes slower or faster does not count; the median
of these ratios does. Then how long it takes from a FLUSHALL of Redis until every shard is whole and every member is
there again.

The rate is half of the 39,500 events a second at which nothing is left of two cores for a backfill (p99 was 423 ms
beside one, 53 without): a ratio tells of full cores alone there. The broker is Apache Kafka where it is installed: an
embedded one takes longer for each fetch the more it holds, which makes every interval slower than the one before it.

The backfill runs in a process of its own, as control is one, within the bounds that `muster up` sets. There is no
archive: what is live came with the registry.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import redis
from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer

from benchmarks.ingest import COHORT
from benchmarks.latency import (
    LINGER_MS,
    PARTITIONS,
    POLL_S,
    Load,
    Probes,
    at,
    keep_sending,
    warm_up,
)
from benchmarks.parts import BROKERS, Bench, broker_argument, embedded, installed_broker
from benchmarks.processes import OTHER_CORE, SERVER_CORE, Role, pin
from cohort_store.clickhouse.client import connect
from cohort_store.clocks import SystemClock
from cohort_store.compiling import assign, backfill
from cohort_store.definitions import parse_cohort
from cohort_store.kafka import clients
from cohort_store.kafka.topics import EVENTS, REGISTRY, ensure_topics, muster_topics
from cohort_store.redis.wiring import connect_mirror, connect_reader
from cohort_store.registry import Registry, decode_registry, encode_registry
from cohort_store.settings import Settings
from processors.backfill.asking import Asking
from processors.backfill.filling_in import UNTIL_RESUMED, FillingIn, FillingParts, noted_status
from processors.backfill.wiring import history_of
from processors.clickhouse.events import CREATE_SQL
from processors.embedded.history import EmbeddedHistory
from processors.kafka.activation import MarkedActivations
from processors.kafka.archived import ArchivedOffsets
from processors.kafka.delta_log import KafkaDeltaLog
from processors.up.installation import BESIDE_LIVE_EVENTS

# Longer than all intervals: that probes begin to leave would make later ones unlike those before.
RECENT = {"key": "recent", "when": {"kind": "performed", "event": "probe", "within": "1d"}}
RATE = 20_000
PERSONS = 100_000
EVENTS_EACH = 50
"""All are of the cohort's kind, and N_WANTED of them make a member."""
N_WANTED = 3
BOUGHT = {"key": "bought", "when": {"kind": "count", "event": "bought", "op": "gte", "n": N_WANTED, "within": "30d"}}
INTERVAL_S = 60.0
PROBE_EVERY = 200
RUN_IN_S = 120.0
"""So long a broker on the Java machine takes less of a core from second to second."""
DEADLINE_S = 600.0
# Everybody has the same number of events, spread over 20 days.
_FILL = """
INSERT INTO events
SELECT
    1, 'bought', generateUUIDv4(), '', concat('person-', toString(number % {persons:UInt64})),
    now64(3) - toIntervalSecond(60 + cityHash64(number, 1) % (20 * 86400)),
    '{"price": 12.5, "currency": "EUR", "path": "/checkout/done"}', 'past', 0, number, now64(3)
FROM numbers({events:UInt64})
"""


class Interval(NamedTuple):
    """Latencies in milliseconds, sorted, and how long it lasted."""

    entries: list[float]
    seconds: float


class Pair(NamedTuple):
    """A time with the backfill, and those around it."""

    before: Interval
    beside: Interval
    after: Interval

    def ms(self, share: float) -> tuple[float, float]:
        """That share's latency (without, with) a backfill."""
        return at(sorted(self.before.entries + self.after.entries), share), at(self.beside.entries, share)


class Result(NamedTuple):
    """What one run came to."""

    rate: int
    broker: str
    persons: int
    pairs: list[Pair]
    rebuilt_s: float
    stored: int


async def measure(rate: int = RATE, persons: int = PERSONS, *, broker: str | None = None) -> Result:
    """Fill the table, let everything run in; then measure the pairs, then the rebuild."""
    broker = broker or installed_broker()
    with tempfile.TemporaryDirectory(prefix="muster-bench-history-") as name, EmbeddedHistory(Path(name)) as history:
        pin(history.process.pid, OTHER_CORE)
        url = f"http://{history.host}:{history.port}"
        client = await connect(url)
        await client.command(CREATE_SQL)
        await client.command(_FILL, {"events": persons * EVENTS_EACH, "persons": persons})
        await client.close()
        with embedded({"partitions": PARTITIONS, "clickhouse": url, **BESIDE_LIVE_EVENTS}, broker=broker) as bench:
            await ensure_topics(bench.settings.kafka, muster_topics(PARTITIONS))
            async with AsyncExitStack() as stack:
                run = _Run(bench, stack)
                await run.define(RECENT, COHORT)
                run.start()
                load = Load(
                    Producer({"bootstrap.servers": bench.settings.kafka, "linger.ms": LINGER_MS}),
                    Probes(run.registry.team(1).cohorts[0].versions[0].handle),
                )
                pin(os.getpid(), OTHER_CORE)
                stack.callback(load.producer.flush, DEADLINE_S)
                await warm_up(load, run.reader)
                await run.fill()
                pairs = await _pairs(run, load, rate)
                rebuilt_s = await run.rebuild(persons)
                return Result(rate, broker, persons, pairs, rebuilt_s, await run.members())


async def _pairs(run: _Run, load: Load, rate: int) -> list[Pair]:
    """Define the cohort once everything has run in, and fill it in by turns until it is done."""
    load.count = 0
    sending = asyncio.create_task(keep_sending(load, rate, lambda _: False, probe_every=PROBE_EVERY))
    try:
        await _interval(run, load, asyncio.sleep(RUN_IN_S))
        found: list[Pair] = []
        before = await _interval(run, load, asyncio.sleep(INTERVAL_S))
        await run.define(BOUGHT)
        filling = asyncio.create_task(run.fill())
        while not filling.done():
            beside = await _interval(run, load, run.fill_for(INTERVAL_S, filling))
            after = await _interval(run, load, asyncio.sleep(beside.seconds))
            found.append(Pair(before, beside, after))
            before = after
            if sending.done():
                await sending  # It failed.
        await filling
        return found
    finally:
        sending.cancel()
        await asyncio.wait([sending])


async def _interval(run: _Run, load: Load, lasts: Coroutine[Any, Any, None]) -> Interval:
    """Look at probes while that lasts; then wait for whoever is still to be seen. Events come all the time."""
    probes = load.probes = Probes(load.probes.handle, watches_exits=False)
    began = time.perf_counter()
    lasting = asyncio.create_task(lasts)
    while probes.waiting or load.probes is probes:
        await probes.look(run.reader)
        await asyncio.sleep(POLL_S)
        if lasting.done() and load.probes is probes:
            await lasting
            load.probes = Probes(probes.handle)
        if time.perf_counter() - began > DEADLINE_S:
            raise RuntimeError(f"{len(probes.waiting)} probes were not seen within {DEADLINE_S} s")
    return Interval(sorted(probes.entries), time.perf_counter() - began)


class _Run:
    """The roles, the registry as control would keep it, and the process that fills in."""

    def __init__(self, bench: Bench, stack: AsyncExitStack) -> None:
        self.bench, self._stack = bench, stack
        self.registry = Registry(sources={EVENTS: tuple(range(PARTITIONS))})
        self.reader = connect_reader(bench.settings)
        self.mirror = connect_mirror(bench.settings)
        stack.push_async_callback(self.reader.aclose)
        stack.push_async_callback(self.mirror.aclose)
        self._cohorts: list[dict[str, Any]] = []
        self._filler: asyncio.subprocess.Process | None = None

    def start(self) -> None:
        bench = self.bench
        for role in ("membership", "router"):
            log = bench.folder / f"{role}.log"
            process = Role(["-m", "processors.cli", role], bench.environment, SERVER_CORE, log)
            self._stack.callback(process.stop)

    async def define(self, *cohorts: Mapping[str, Any]) -> None:
        """Add cohorts, and tell routers and owners."""
        self._cohorts += map(dict, cohorts)
        parsed = [parse_cohort(each) for each in self._cohorts]
        self.registry = assign(self.registry, parsed, {}, applied="bench", now=int(time.time() * 1e3))
        await self._publish()

    async def _publish(self) -> None:
        encoded = encode_registry(self.registry)
        producer = AIOKafkaProducer(bootstrap_servers=self.bench.settings.kafka)
        await producer.start()
        await producer.send_and_wait(REGISTRY, encoded, key=b"registry")
        await producer.stop()
        await self.mirror.publish(encoded, self.registry.version)

    async def fill(self) -> None:
        """Fill in what the registry's versions or shards lack, in the process beside; they lack it no more then."""
        filler = self._filler or await self._start_filler()
        assert filler.stdin is not None
        assert filler.stdout is not None
        filler.stdin.write(b"fill\n")
        await filler.stdin.drain()
        answer = await filler.stdout.readline()
        begins = {int(handle): begins for handle, begins in msgspec.json.decode(answer).items()}
        self.registry = backfill(self.registry, begins)
        await self._publish()

    async def fill_for(self, seconds: float, filling: asyncio.Task[None]) -> None:
        """Let it go on for so long, or until it is done; it rests then."""
        asking = Asking(self.mirror)
        await asking.pause(False)
        await asyncio.wait([filling], timeout=seconds)
        await asking.pause(True)
        while not filling.done():
            status = await noted_status(self.mirror)
            if status is not None and status.waits_for == UNTIL_RESUMED:
                return
            await asyncio.sleep(POLL_S)
        await asking.pause(False)

    async def members(self) -> int:
        """Who is in the cohort that was filled in."""
        return sum(await self.reader.sizes([self.registry.team(1).cohorts[-1].versions[-1].handle]))

    async def _start_filler(self) -> asyncio.subprocess.Process:
        self._filler = filler = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "benchmarks.beside", "--fill"),
            env={**os.environ, **self.bench.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        pin(filler.pid, OTHER_CORE)

        async def end() -> None:
            filler.kill()
            await filler.wait()

        self._stack.push_async_callback(end)
        return filler

    async def rebuild(self, persons: int) -> float:
        """Flush Redis; how long until every shard is whole again and has everybody of the last cohort."""
        settings = self.bench.settings
        with redis.Redis.from_url(settings.redis) as client:
            client.flushall()
        began = time.perf_counter()
        await self.mirror.publish(encode_registry(self.registry), self.registry.version)
        async with asyncio.timeout(DEADLINE_S):
            while True:
                await self.fill()
                positions = await self.reader.positions(range(settings.shards))
                is_whole = len(positions) == settings.shards and not any(p.warm_from_ms for p in positions.values())
                if is_whole and await self.members() >= persons:
                    return time.perf_counter() - began
                await asyncio.sleep(0.2)


async def fill_on_demand(settings: Settings) -> None:
    """At each line of the standard input: fill in what the mirrored registry lacks, and say what was."""
    producer = clients.producer(settings.kafka)
    await producer.start()
    mirror, reader = connect_mirror(settings), connect_reader(settings)
    filling = FillingIn(
        FillingParts(
            history=history_of(settings),
            activations=MarkedActivations(settings.kafka, settings.mark_interval_ms),
            archived=ArchivedOffsets(settings.kafka, clients.group_of(settings, "archive"), []),
            deltas=KafkaDeltaLog(settings.kafka, producer),
            notes=mirror,
            reader=reader,
            clock=SystemClock(),
            shards=settings.shards,
            partitions=settings.partitions,
            part_persons=settings.backfill_part_persons,
        )
    )
    while await asyncio.to_thread(sys.stdin.readline):
        copy = await mirror.fetch()
        assert copy is not None
        begins = (await filling.fill(decode_registry(copy))).begins_ms
        print(msgspec.json.encode({str(handle): each for handle, each in begins.items()}).decode(), flush=True)
    await producer.stop()
    await mirror.aclose()
    await reader.aclose()


def report(found: Result) -> None:
    """The figures, as they are quoted."""
    print(
        f"beside a backfill of {found.persons:,} persons, at {found.rate:,} events/s; router and membership on one "
        f"core, ClickHouse (chDB), broker {BROKERS[found.broker]}, Valkey, the backfill and load on the other"
    )
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        pairs = [pair.ms(share) for pair in found.pairs]
        shown = ", ".join(f"{without:.0f} → {beside:.0f}" for without, beside in pairs)
        ratio = statistics.median(beside / without for without, beside in pairs)
        print(f"  event to visible membership, {name}: {ratio:.2f} of that without (goal 1.2); ms: {shown}")
    print(f"  the backfill took {sum(pair.beside.seconds for pair in found.pairs):.0f} s")
    print(f"  from FLUSHALL to complete membership: {found.rebuilt_s:.1f} s")
    print(f"  members {found.stored:,} of {found.persons:,}")


if __name__ == "__main__":
    chooser = argparse.ArgumentParser(description=__doc__)
    broker_argument(chooser, default=installed_broker())
    chooser.add_argument("--rate", type=int, default=RATE, help=f"events a second; default: {RATE:,}")
    chooser.add_argument("--persons", type=int, default=PERSONS)
    chooser.add_argument("--fill", action="store_true", help="be the process that fills in")
    chosen = chooser.parse_args()
    if chosen.fill:
        asyncio.run(fill_on_demand(Settings()))
    else:
        report(asyncio.run(measure(chosen.rate, chosen.persons, broker=chosen.broker)))
