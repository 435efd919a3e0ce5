"""Latency: from an event's being given to its producer to a membership that readers see, and exits by timer.

Events come at a steady rate (half of what ingest took in the same run, where all benchmarks are run), one in seven
wanted by the cohort of the ingest benchmark; one in 500 is a probe: the one event of a new person, whose membership is
then asked for every few milliseconds. She is a member for WINDOW_MS after it; how much later her exit is seen is the
timer's lateness. What polling adds is in the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer

from benchmarks.ingest import COHORT
from benchmarks.parts import BROKERS, Bench, broker_argument, embedded, registry_of
from benchmarks.processes import OTHER_CORE, SERVER_CORE, Role, pin
from cohort_store.kafka.topics import EVENTS, REGISTRY, ensure_topics, muster_topics
from cohort_store.ports import MembershipReader
from cohort_store.redis.wiring import connect_reader
from cohort_store.registry import encode_registry
from cohort_store.subjects import PERSON, Subject

RATE_DEFAULT = 5_000
SECONDS = 30.0
WINDOW_MS = 4_000
PROBE_EVERY = 500
WANTED_EVERY = 7
TICK_S = 0.01
POLL_S = 0.005
JOIN_S = 60.0
PARTITIONS = 8
LINGER_MS = 2
RECENT = {"key": "recent", "when": {"kind": "performed", "event": "probe", "within": f"{WINDOW_MS}ms"}}
EVENT = (
    b'{"uuid": "00000000-0000-4000-8000-%012x", "event": "%b", "person_id": "%b", "timestamp": %d, '
    b'"properties": {"padding": "' + b"x" * 600 + b'"}}'
)
REGULARS = [str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))).encode() for number in range(100_000)]


class Result(NamedTuple):
    """Latencies in milliseconds, sorted; rates in events a second."""

    rate: int
    sent: float
    """The rate that came about."""
    entries: list[float]
    exits: list[float]
    never: int
    broker: str = "tansu"


@dataclass
class Probes:
    """The new persons whose membership is waited for, and what was seen."""

    handle: int
    watches_exits: bool = True
    """Else whoever was seen to be a member is asked for no more."""
    waiting: dict[Subject, float] = field(default_factory=dict)
    """Subject → when her event was given to the producer, on the monotonic clock."""
    members: dict[Subject, float] = field(default_factory=dict)
    """Subject → when her window ends, on the wall clock."""
    ends: dict[Subject, float] = field(default_factory=dict)
    entries: list[float] = field(default_factory=list)
    exits: list[float] = field(default_factory=list)

    async def look(self, reader: MembershipReader) -> None:
        """Ask once for everybody who is waited for."""
        asked = [*self.waiting, *(s for s, end in self.members.items() if end <= time.time())]
        if not asked:
            return
        found = await reader.memberships(asked)
        for subject, membership in zip(asked, found, strict=True):
            is_in = self.handle in membership.handles
            if subject in self.waiting and is_in:
                self.entries.append((time.perf_counter() - self.waiting.pop(subject)) * 1e3)
                end_s = self.ends.pop(subject)
                if self.watches_exits:
                    self.members[subject] = end_s
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
        load = Load(Producer({"bootstrap.servers": bench.settings.kafka, "linger.ms": LINGER_MS}), Probes(handle))
        pin(os.getpid(), OTHER_CORE)
        try:
            await warm_up(load, reader)
            found = await _play(load, reader, rate, seconds)
            return found._replace(broker=broker)
        finally:
            load.producer.flush(JOIN_S)
            await reader.aclose()
            for role in roles:
                role.stop()


async def _define(bench: Bench) -> int:
    registry = registry_of([RECENT, COHORT], sources={EVENTS: tuple(range(PARTITIONS))})
    producer = AIOKafkaProducer(bootstrap_servers=bench.settings.kafka)
    await producer.start()
    await producer.send_and_wait(REGISTRY, encode_registry(registry), key=b"registry")
    await producer.stop()
    return registry.team(1).cohorts[0].versions[0].handle


async def warm_up(load: Load, reader: MembershipReader) -> None:
    """Send probes until one is seen on every partition of the deltas: then every group has joined."""
    async with asyncio.timeout(JOIN_S):
        seen = 0
        while seen < 3 * PARTITIONS:
            load.probes = Probes(load.probes.handle)
            load.send(3 * PARTITIONS, 1)
            await asyncio.sleep(0.5)
            await load.probes.look(reader)
            seen = len(load.probes.entries)


async def _play(load: Load, reader: MembershipReader, rate: int, seconds: float) -> Result:
    probes = load.probes = Probes(load.probes.handle)
    load.count = 0
    sending = asyncio.create_task(keep_sending(load, rate, lambda elapsed_s: elapsed_s >= seconds))
    deadline = time.perf_counter() + seconds + WINDOW_MS / 1e3 + 10
    while time.perf_counter() < deadline and not (sending.done() and not probes.waiting and not probes.members):
        await probes.look(reader)
        await asyncio.sleep(POLL_S)
    await sending
    never = len(probes.waiting) + len(probes.members)
    return Result(rate, load.count / seconds, sorted(probes.entries), sorted(probes.exits), never)


async def keep_sending(
    load: Load, rate: int, is_over: Callable[[float], bool], *, probe_every: int = PROBE_EVERY
) -> None:
    """Keep the rate in small ticks until so many seconds are over; what a tick is late with comes with the next one."""
    began = time.perf_counter()
    while not is_over(elapsed := time.perf_counter() - began):
        load.send(int(elapsed * rate) - load.count, probe_every)
        await asyncio.sleep(TICK_S)


@dataclass
class Load:
    """What events are sent with: librdkafka, since a producer in Python would take all of the core that it shares."""

    producer: Producer
    probes: Probes
    count: int = 0
    partition: int = 0

    def send(self, events: int, probe_every: int) -> None:
        """Send so many to one partition, and the next ones to the next; one of `probe_every` is a probe."""
        self.partition = partition = (self.partition + 1) % PARTITIONS
        now_ms, now_s = int(time.time() * 1e3), time.perf_counter()
        for number in range(self.count + 1, self.count + events + 1):
            name, person = b"purchase" if number % WANTED_EVERY == 0 else b"view", REGULARS[number % len(REGULARS)]
            if number % probe_every == 0:
                subject = Subject(1, PERSON, str(uuid.uuid4()))
                name, person = b"probe", subject.id.encode()
                self.probes.waiting[subject], self.probes.ends[subject] = now_s, (now_ms + WINDOW_MS) / 1e3
            self.producer.produce(EVENTS, EVENT % (number, name, person, now_ms), partition=partition)
        self.producer.poll(0)
        self.count += events


def at(sorted_ms: list[float], share: float) -> float:
    return sorted_ms[min(len(sorted_ms) - 1, int(share * len(sorted_ms)))]


def report(found: Result) -> None:
    """The figures, as they are quoted."""
    entered, left = found.entries, found.exits
    print(
        f"latency at {found.sent:,.0f} of {found.rate:,} events/s; router and membership on one core; "
        f"broker {BROKERS[found.broker]}, Valkey and load on the other"
    )
    print(
        f"  event to visible membership: p50 {at(entered, 0.5):.0f} ms (goal 50), p99 {at(entered, 0.99):.0f} ms",
        end="",
    )
    print(f" (goal 300), {len(entered):,} probes")
    print(f"  exit by timer, late by: p50 {at(left, 0.5):.0f} ms, p99 {at(left, 0.99):.0f} ms (goal 1,000)")
    if found.never:
        print(f"  NOT SEEN in time to enter or leave: {found.never:,} probes; the figures are too good by those")


if __name__ == "__main__":
    chooser = argparse.ArgumentParser(description=__doc__)
    broker_argument(chooser)
    chooser.add_argument("--rate", type=int, default=RATE_DEFAULT, help=f"events a second; default: {RATE_DEFAULT:,}")
    chosen = chooser.parse_args()
    report(asyncio.run(measure(chosen.rate, broker=chosen.broker)))
