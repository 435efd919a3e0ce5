"""A backfill beside live events, and a whole rebuild.

How much later live events are visible while a new cohort's history is filled in: PAIRS intervals with a backfill and
without in turns, in one run, at a rate that is kept; the medians of the ratios of each pair count. One without lasts
as long as the backfill before it took, so that both see what comes about once in a while. Then how long it takes from
a FLUSHALL of Redis until every shard is whole and every member is there again.

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
from collections.abc import Mapping
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
from processors.backfill.filling_in import FillingIn, FillingParts
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
PAIRS = 5
PERSONS = 20_000
EVENTS_EACH = 10
"""Of each cohort's kind; N_WANTED of them make a member."""
N_WANTED = 3
PROBE_EVERY = 200
RUN_IN_S = 60.0
"""So long a broker on the Java machine takes less of a core from second to second."""
SETTLE_S = 2.0
DEADLINE_S = 600.0
# Of each kind of event everybody has the same number, spread over 20 days.
_FILL = """
INSERT INTO events
SELECT
    1, concat('bought-', toString(number % {kinds:UInt64})), generateUUIDv4(), '',
    concat('person-', toString(intDiv(number, {kinds:UInt64}) % {persons:UInt64})),
    now64(3) - toIntervalSecond(60 + cityHash64(number, 1) % (20 * 86400)),
    '{"price": 12.5, "currency": "EUR", "path": "/checkout/done"}', 'past', 0, number, now64(3)
FROM numbers({events:UInt64})
"""


class Interval(NamedTuple):
    """Latencies in milliseconds, sorted, and how long it lasted."""

    entries: list[float]
    seconds: float


class Result(NamedTuple):
    """What one run came to."""

    rate: int
    broker: str
    persons: int
    pairs: list[tuple[Interval, Interval]]
    """(without, with) a backfill."""
    rebuilt_s: float
    stored: int
    expected: int


def bought(number: int) -> dict[str, Any]:
    """A cohort of which everybody in the history is a member; each number reads events of its own."""
    when = {"kind": "count", "event": f"bought-{number}", "op": "gte", "n": N_WANTED, "within": "30d"}
    return {"key": f"bought-{number}", "when": when}


async def measure(rate: int = RATE, persons: int = PERSONS, pairs: int = PAIRS, *, broker: str | None = None) -> Result:
    """Fill the table, let everything run in; then measure the pairs, then the rebuild."""
    broker = broker or installed_broker()
    with tempfile.TemporaryDirectory(prefix="muster-bench-history-") as name, EmbeddedHistory(Path(name)) as history:
        pin(history.process.pid, OTHER_CORE)
        url = f"http://{history.host}:{history.port}"
        client = await connect(url)
        await client.command(CREATE_SQL)
        await client.command(_FILL, {"events": persons * EVENTS_EACH * pairs, "persons": persons, "kinds": pairs})
        await client.close()
        with embedded({"partitions": PARTITIONS, "clickhouse": url, **BESIDE_LIVE_EVENTS}, broker=broker) as bench:
            await ensure_topics(bench.settings.kafka, muster_topics(PARTITIONS))
            async with AsyncExitStack() as stack:
                run = _Run(bench, stack)
                await run.define(RECENT, COHORT)
                run.start()
                load = Load(Producer({"bootstrap.servers": bench.settings.kafka, "linger.ms": LINGER_MS}), run.probes)
                pin(os.getpid(), OTHER_CORE)
                stack.callback(load.producer.flush, DEADLINE_S)
                await warm_up(load, run.reader)
                await run.fill()
                await _interval(run, load, rate, _for_s(RUN_IN_S))
                found: list[tuple[Interval, Interval]] = []
                for number in range(pairs):
                    await run.define(bought(number))
                    beside = await _interval(run, load, rate, asyncio.create_task(run.fill()))
                    found.append((await _interval(run, load, rate, _for_s(beside.seconds)), beside))
                rebuilt_s = await run.rebuild(persons)
                handles = [cohort.versions[-1].handle for cohort in run.registry.team(1).cohorts[2:]]
                stored = sum(await run.reader.sizes(handles))
                return Result(rate, broker, persons, found, rebuilt_s, stored, persons * pairs)


def _for_s(seconds: float) -> asyncio.Task[None]:
    return asyncio.create_task(asyncio.sleep(seconds))


async def _interval(run: _Run, load: Load, rate: int, until: asyncio.Task[None]) -> Interval:
    """Keep the rate until that is done; then wait for whoever is still to be seen."""
    probes = load.probes = Probes(run.probes.handle, watches_exits=False)
    load.count = 0
    began = time.perf_counter()
    sending = asyncio.create_task(keep_sending(load, rate, lambda _: until.done(), probe_every=PROBE_EVERY))
    while not (sending.done() and not probes.waiting):
        await probes.look(run.reader)
        await asyncio.sleep(POLL_S)
        if time.perf_counter() - began > DEADLINE_S:
            raise RuntimeError(f"{len(probes.waiting)} probes were not seen within {DEADLINE_S} s")
    await sending
    await until
    seconds = time.perf_counter() - began
    await asyncio.sleep(SETTLE_S)
    return Interval(sorted(probes.entries), seconds)


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
        self.probes = Probes(0)

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
        self.probes = Probes(self.registry.team(1).cohorts[0].versions[0].handle)

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
        handle = self.registry.team(1).cohorts[-1].versions[-1].handle
        async with asyncio.timeout(DEADLINE_S):
            while True:
                await self.fill()
                positions = await self.reader.positions(range(settings.shards))
                is_whole = len(positions) == settings.shards and not any(p.warm_from_ms for p in positions.values())
                if is_whole and (await self.reader.sizes([handle]))[0] >= persons:
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
        pairs = [(at(without.entries, share), at(beside.entries, share)) for without, beside in found.pairs]
        shown = ", ".join(f"{without:.0f} → {beside:.0f}" for without, beside in pairs)
        ratio = statistics.median(beside / without for without, beside in pairs)
        print(f"  event to visible membership, {name}: {ratio:.2f} of that without (goal 1.2); ms: {shown}")
    took = ", ".join(f"{beside.seconds:.0f}" for _, beside in found.pairs)
    print(f"  the backfills took {took} s")
    print(f"  from FLUSHALL to complete membership: {found.rebuilt_s:.1f} s")
    print(f"  members {found.stored:,} of {found.expected:,}")


if __name__ == "__main__":
    chooser = argparse.ArgumentParser(description=__doc__)
    broker_argument(chooser, default=installed_broker())
    chooser.add_argument("--rate", type=int, default=RATE, help=f"events a second; default: {RATE:,}")
    chooser.add_argument("--persons", type=int, default=PERSONS)
    chooser.add_argument("--pairs", type=int, default=PAIRS)
    chooser.add_argument("--fill", action="store_true", help="be the process that fills in")
    chosen = chooser.parse_args()
    if chosen.fill:
        asyncio.run(fill_on_demand(Settings()))
    else:
        report(asyncio.run(measure(chosen.rate, chosen.persons, chosen.pairs, broker=chosen.broker)))
