"""Latency: from an event's acknowledgement by the broker to a membership that readers see, and exits by timer.

Events come at a steady rate (half of what ingest took in the same run, where all benchmarks are run); one in fifty is
a probe: the one event of a new person, whose membership is then asked for every few milliseconds. She is a member
for WINDOW_MS after it; how much later her exit is seen is the timer's lateness. What polling adds is in the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from benchmarks.parts import BROKERS, Bench, broker_argument, embedded, registry_of
from benchmarks.processes import SERVER_CORE, Role
from cohort_store.ports import MembershipReader
from cohort_store.redis.wiring import connect_reader
from cohort_store.registry import encode_registry
from cohort_store.subjects import PERSON, Subject
from processors.kafka.topics import EVENTS, REGISTRY, ensure_topics, muster_topics

RATE_DEFAULT = 5_000
SECONDS = 30.0
WINDOW_MS = 4_000
PROBE_EVERY = 50
WANTED_EVERY = 7
TICK_S = 0.005
POLL_S = 0.004
JOIN_S = 60.0
PARTITIONS = 8
COHORT = {"key": "recent", "when": {"kind": "performed", "event": "purchase", "within": f"{WINDOW_MS}ms"}}
PADDING = "x" * 600


class Result(NamedTuple):
    """Milliseconds, sorted."""

    rate: int
    entries: list[float]
    exits: list[float]
    never: int
    broker: str = "tansu"


@dataclass
class Probes:
    """The new persons whose membership is waited for, and what was seen."""

    handle: int
    waiting: dict[Subject, float] = field(default_factory=dict)
    """Subject → when her event was acknowledged, on the monotonic clock."""
    members: dict[Subject, float] = field(default_factory=dict)
    """Subject → when her window ends, on the wall clock."""
    ends: dict[Subject, float] = field(default_factory=dict)
    entries: list[float] = field(default_factory=list)
    exits: list[float] = field(default_factory=list)

    async def look(self, reader: MembershipReader) -> None:
        """Ask once for everybody who is waited for."""
        asked = [*self.waiting, *(s for s, end in self.members.items() if end <= time.time())]
        found = await reader.memberships(asked)
        for subject, membership in zip(asked, found, strict=True):
            is_in = self.handle in membership.handles
            if subject in self.waiting and is_in:
                self.entries.append((time.perf_counter() - self.waiting.pop(subject)) * 1e3)
                self.members[subject] = self.ends.pop(subject)
            elif subject in self.members and not is_in:
                self.exits.append((time.time() - self.members.pop(subject)) * 1e3)


async def measure(rate: int = RATE_DEFAULT, seconds: float = SECONDS, *, broker: str = "tansu") -> Result:
    """Start both roles, wait until a first probe is seen, then keep the rate for so long."""
    with embedded({"partitions": PARTITIONS}, broker=broker) as bench:
        await ensure_topics(bench.settings.kafka, muster_topics(PARTITIONS))
        handle = await _define(bench)
        roles = [
            Role(["-m", "processors.cli", role], bench.environment, SERVER_CORE, bench.folder / f"{role}.log")
            for role in ("membership", "router")
        ]
        reader = connect_reader(bench.settings)
        producer = AIOKafkaProducer(bootstrap_servers=bench.settings.kafka, linger_ms=2)
        await producer.start()
        try:
            await _warm_up(producer, reader, handle)
            found = await _play(producer, reader, Probes(handle), rate, seconds)
            return found._replace(broker=broker)
        finally:
            await producer.stop()
            await reader.aclose()
            for role in roles:
                role.stop()


async def _define(bench: Bench) -> int:
    registry = registry_of([COHORT], sources={EVENTS: tuple(range(PARTITIONS))})
    producer = AIOKafkaProducer(bootstrap_servers=bench.settings.kafka)
    await producer.start()
    await producer.send_and_wait(REGISTRY, encode_registry(registry), key=b"registry")
    await producer.stop()
    return registry.team(1).cohorts[0].versions[0].handle


async def _warm_up(producer: AIOKafkaProducer, reader: MembershipReader, handle: int) -> None:
    """Send probes until one is seen on every partition of the deltas: then every group has joined."""
    async with asyncio.timeout(JOIN_S):
        seen = 0
        while seen < 3 * PARTITIONS:
            probes = Probes(handle)
            await asyncio.gather(*(_probe(producer, probes) for _ in range(3 * PARTITIONS)))
            await asyncio.sleep(0.5)
            await probes.look(reader)
            seen = len(probes.entries)


async def _play(
    producer: AIOKafkaProducer, reader: MembershipReader, probes: Probes, rate: int, seconds: float
) -> Result:
    sending = asyncio.create_task(_send(producer, probes, rate, seconds))
    deadline = time.perf_counter() + seconds + WINDOW_MS / 1e3 + 10
    while time.perf_counter() < deadline and not (sending.done() and not probes.waiting and not probes.members):
        await probes.look(reader)
        await asyncio.sleep(POLL_S)
    await sending
    return Result(rate, sorted(probes.entries), sorted(probes.exits), len(probes.waiting) + len(probes.members))


async def _send(producer: AIOKafkaProducer, probes: Probes, rate: int, seconds: float) -> None:
    """Keep the rate in small ticks; what a tick is late with comes with the next one."""
    began, number = time.perf_counter(), 0
    acknowledged: set[asyncio.Task[None]] = set()
    while (elapsed := time.perf_counter() - began) < seconds:
        while number < elapsed * rate:
            number += 1
            if number % PROBE_EVERY == 0:
                task = asyncio.create_task(_probe(producer, probes))
                acknowledged.add(task)
                task.add_done_callback(acknowledged.discard)
            else:
                name = "purchase" if number % WANTED_EVERY == 0 else "view"
                await producer.send(EVENTS, _event(name, f"regular-{number % 20_000}", time.time()))
        await asyncio.sleep(TICK_S)
    await asyncio.gather(*acknowledged)


async def _probe(producer: AIOKafkaProducer, probes: Probes) -> None:
    """The one event of a new person."""
    subject, now = Subject(1, PERSON, str(uuid.uuid4())), time.time()
    await producer.send_and_wait(EVENTS, _event("purchase", subject.id, now))
    probes.ends[subject] = (int(now * 1e3) + WINDOW_MS) / 1e3
    probes.waiting[subject] = time.perf_counter()


def _event(name: str, person: str, now: float) -> bytes:
    event = {"uuid": str(uuid.uuid4()), "event": name, "person_id": person, "timestamp": int(now * 1e3)}
    return json.dumps({**event, "properties": {"padding": PADDING}}).encode()


def _at(sorted_ms: list[float], share: float) -> float:
    return sorted_ms[min(len(sorted_ms) - 1, int(share * len(sorted_ms)))]


def report(found: Result) -> None:
    """The figures, as they are quoted."""
    entered, left = found.entries, found.exits
    print(
        f"latency at {found.rate:,} events/s; router and membership on one core; broker {BROKERS[found.broker]}, "
        "Valkey and load on the other"
    )
    print(
        f"  event to visible membership: p50 {_at(entered, 0.5):.0f} ms (goal 50), p99 {_at(entered, 0.99):.0f} ms",
        end="",
    )
    print(f" (goal 300), {len(entered):,} probes")
    print(f"  exit by timer, late by: p50 {_at(left, 0.5):.0f} ms, p99 {_at(left, 0.99):.0f} ms (goal 1,000)")
    if found.never:
        print(f"  NOT SEEN in time to enter or leave: {found.never:,} probes; the figures are too good by those")


if __name__ == "__main__":
    chooser = argparse.ArgumentParser(description=__doc__)
    broker_argument(chooser)
    chooser.add_argument("--rate", type=int, default=RATE_DEFAULT, help=f"events a second; default: {RATE_DEFAULT:,}")
    chosen = chooser.parse_args()
    report(asyncio.run(measure(chosen.rate, broker=chosen.broker)))
