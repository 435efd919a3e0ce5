"""Muster's roles as real processes on real services, with a clock that a test steps, and what must hold in the end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from cohort_store.changes import ENTERED, LEFT, decode_change
from cohort_store.clocks import FileClock
from cohort_store.compiling import assign
from cohort_store.definitions import parse_cohort
from cohort_store.kafka.ends import end_offsets
from cohort_store.kafka.topics import DEAD_LETTERS, EVENTS, MEMBERSHIP_CHANGES, REGISTRY, ensure_topics, muster_topics
from cohort_store.redis.wiring import connect_reader, connect_store
from cohort_store.registry import Registry, encode_registry
from cohort_store.settings import Settings
from cohort_store.subjects import Subject
from processors.embedded.child import LOOPBACK, ChildProcess, ChildSpec
from tests.oracle.membership import Event, members_at

START_MS = 1_700_000_000_000
SECOND = 1_000
SHARDS, PARTITIONS = 16, 4
SETTLE_S = 60.0
POLL_S = 0.1

Plain = dict[str, Any]
PERSONS = 60
DEFINITIONS: list[Plain] = [
    {"key": "recent", "when": {"kind": "performed", "event": "buy", "within": "13s"}},
    {"key": "often", "when": {"kind": "count", "event": "buy", "op": "gte", "n": 3, "within": "60s"}},
    {"key": "once", "when": {"kind": "count", "event": "open", "op": "eq", "n": 1, "within": "30s"}},
    {"key": "quiet", "when": {"not": {"kind": "performed", "event": "open", "within": "40s"}}},
]


class Proxy:
    """Stands between clients and a broker that names the proxy's port as its own; `cut` drops every connection."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_down = False

    async def start(self, port: int) -> None:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, port)

    def cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def stop(self) -> None:
        self.cut()
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_down:
            writer.transport.abort()
            return
        try:
            other_reader, other_writer = await asyncio.open_connection(LOOPBACK, self._broker_port)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, other_writer}
        self._open |= ends
        try:
            async with asyncio.TaskGroup() as group:
                for source, sink in ((reader, other_writer), (other_reader, writer)):
                    self._tasks.add(group.create_task(_pump(source, sink)))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()
            self._tasks = {task for task in self._tasks if not task.done()}


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65_536):
        sink.write(data)
        await sink.drain()
    raise ConnectionResetError


class Installation:
    """Topics, a registry, and role processes under names; an asynchronous context that ends them all."""

    def __init__(self, folder: Path, kafka: str, redis: str, *, is_cluster: bool = False) -> None:
        self.folder = folder
        self.clock = FileClock(folder / "clock")
        self.clock.set(START_MS)
        self.definitions = DEFINITIONS
        self.settings = Settings(
            kafka=kafka,
            redis=redis,
            redis_cluster=is_cluster,
            shards=SHARDS,
            partitions=PARTITIONS,
            clock=f"file:{folder / 'clock'}",
            mark_interval_ms=100,
            session_timeout_ms=1_000,
        )
        self.events: dict[str, list[Event]] = {}
        self._processes: dict[str, ChildProcess] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        kafka = self.settings.kafka
        await ensure_topics(kafka, muster_topics(PARTITIONS))
        self.producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=False)
        await self._stack.enter_async_context(self.producer)
        self.store, self.reader = connect_store(self.settings), connect_reader(self.settings)
        self._stack.push_async_callback(self.store.aclose)
        self._stack.push_async_callback(self.reader.aclose)
        sources = {EVENTS: tuple(range(PARTITIONS))}
        cohorts = [parse_cohort(each) for each in self.definitions]
        self.registry = assign(Registry(sources=sources), cohorts, {}, applied="a", now=START_MS)
        await self.producer.send_and_wait(REGISTRY, encode_registry(self.registry), key=b"registry")
        return self

    async def __aexit__(self, *error: object) -> None:
        for process in self._processes.values():
            if process.returncode is None:
                process.kill()
        await self._stack.aclose()

    def start(self, name: str, role: str) -> None:
        """Start a role's process under a name; one that runs already is left alone."""
        known = self._processes.get(name)
        if known is None or known.returncode is not None:
            command = [sys.executable, "-m", "processors.cli", role]
            log = self.folder / f"{name}.log"
            self._processes[name] = process = ChildProcess(
                ChildSpec(name=name, command=command, log=log, ready=lambda: True, environment=self._environment())
            )
            process.launch()

    def kill(self, name: str) -> None:
        self._processes[name].kill()

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self._processes[name].pid, number)

    def _environment(self) -> dict[str, str]:
        plain = self.settings.model_dump(mode="json")
        return {f"MUSTER_{k.upper()}": v if isinstance(v, str) else json.dumps(v) for k, v in plain.items()}

    async def happen(self, person: str, name: str, ago_ms: int = 0) -> None:
        """An event of a person reaches Kafka, in whatever partition: it is not keyed by person."""
        known = self.events.setdefault(person, [])
        now_ms = self.clock.now_ms()
        event = Event(str(uuid.uuid5(uuid.NAMESPACE_OID, f"{person}-{len(known)}")), name, now_ms - ago_ms)
        known.append(event)
        wire = {"uuid": event.uuid, "event": name, "timestamp": event.time_ms, "person_id": person}
        wire["distinct_id"] = f"device-of-{person}"
        partition = (len(known) * 7 + len(person)) % PARTITIONS
        await self.producer.send(EVENTS, json.dumps(wire).encode(), partition=partition, timestamp_ms=now_ms)

    async def settle(self) -> None:
        """Return when everything that happened so far is folded, and every change of it published.

        Within its slack a shard's now is the clock, whatever it has read. Beyond, it reaches the clock only when every
        source was read through an instant behind all that happened.
        """
        await self.producer.flush()
        self.clock.set(self.clock.now_ms() + self.settings.clock_slack_ms + 1)
        deadline = time.monotonic() + SETTLE_S
        while waits := await self._waits_for():
            assert time.monotonic() < deadline, f"{waits}; logs in {self.folder}"
            self.revive()
            await asyncio.sleep(POLL_S)

    async def _waits_for(self) -> str:
        positions = await self.reader.positions(range(SHARDS))
        now_ms = self.clock.now_ms()
        behind = {s: now_ms - p.now_ms for s, p in positions.items() if p.now_ms != now_ms}
        if behind or len(positions) < SHARDS:
            return f"{len(positions)} of {SHARDS} shards have a position; behind by ms: {behind}"
        outboxes = await self.store.outbox_sizes(range(SHARDS))
        return f"changes wait: {outboxes}" if any(outboxes.values()) else ""

    def revive(self) -> None:
        """As a supervisor does: start again what gave up, as a role may that finds no broker when it starts."""
        for name, process in self._processes.items():
            if process.returncode is not None:
                assert process.returncode == 1, f"{name} ended with {process.returncode}; its log is in {self.folder}"
                process.launch()

    async def check(self) -> None:
        """Members, records' persons and the change stream say what the oracle says of all events, now."""
        letters = TopicPartition(DEAD_LETTERS, 0)
        assert (await end_offsets(self.settings.kafka, [letters]))[letters] == 0, "every event is a good one"
        told = await self.told()
        now_ms = self.clock.now_ms()
        persons = sorted(self.events)
        found = await self.reader.memberships([Subject(1, 0, person) for person in persons])
        known = await self.reader.persons([(1, f"device-of-{person}") for person in persons])
        assert known == persons, [pair for pair in zip(persons, known, strict=True) if pair[0] != pair[1]]
        wrong = []
        for person, membership in zip(persons, found, strict=True):
            expected = members_at(self.definitions, self.events[person], now_ms)
            for cohort in self.registry.team(1).cohorts:
                active = cohort.versions[-1]
                stored = (active.handle in membership.handles) is not active.complemented
                heard = told.get((cohort.id, person), ENTERED if active.complemented else LEFT) == ENTERED
                if not stored is heard is expected[cohort.key]:
                    wrong.append(f"{person} in {cohort.key}: oracle {expected[cohort.key]}, set {stored}, told {heard}")
        assert not wrong, "\n".join(wrong)

    async def told(self) -> Mapping[tuple[int, str], str]:
        """What a consumer holds that keeps the highest sequence for each (cohort, subject)."""
        partitions = [TopicPartition(MEMBERSHIP_CHANGES, number) for number in range(PARTITIONS)]
        ends = await end_offsets(self.settings.kafka, partitions)
        highest: dict[tuple[int, str], tuple[int, str]] = {}
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka, enable_auto_commit=False, isolation_level="read_committed"
        )
        async with consumer, asyncio.timeout(SETTLE_S):
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
                for messages in (await consumer.getmany(timeout_ms=100)).values():
                    for message in messages:
                        change = decode_change(message.value)
                        key, what = (change.cohort_id, change.person_id), (change.sequence, change.status)
                        highest[key] = max(what, highest.get(key, what))
        return {key: status for key, (_, status) in highest.items()}


class Life:
    """Events, late ones too, while time goes on, until it is over. Every choice is the seed's."""

    def __init__(self, installation: Installation, random: Random) -> None:
        self.installation = installation
        self.random = random
        self.is_over = False

    async def live(self) -> None:
        random, installation = self.random, self.installation
        while not self.is_over:
            for _ in range(random.randint(1, 12)):
                person, name = f"person-{random.randrange(PERSONS):03}", random.choice(("buy", "open"))
                await installation.happen(person, name, random.choice((0, 0, 0, 2, 20)) * SECOND)
            installation.clock.set(installation.clock.now_ms() + random.choice((1, 200, SECOND)))
            await asyncio.sleep(0.05)
