"""Push: idle streams on one evaluator, from a change to its event, and the in-process provider.

Every stream is another person's. Changes are committed to the view and published as an owner does it; the time
runs from before the commit until the event is read from the socket. The evaluator has one core; view, broker and
listeners share the other.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from openfeature.evaluation_context import EvaluationContext

from benchmarks.parts import TOKEN, Bench, embedded, registry_of
from benchmarks.processes import SERVER_CORE, Role
from cohort_store.changes import ENTERED, LEFT, Change, encode_change
from cohort_store.kafka import clients
from cohort_store.kafka.topics import MEMBERSHIP_CHANGES, ensure_topics, muster_topics
from cohort_store.ports import COMMIT_RECORDS_MAX, Outcome, Position, RecordWrite, ShardCommit
from cohort_store.records import Record, encode_record
from cohort_store.redis.wiring import connect_mirror, connect_store
from cohort_store.registry import encode_registry
from cohort_store.subjects import PERSON, Subject, shard_of
from evaluator.muster_openfeature import MusterProvider
from evaluator.wiring import OTHER_FILES_MAX, allow_files
from processors.embedded.child import choose_port

STREAMS = 5_000
OPENING_AT_ONCE = 100
CHANGES = 1_000
CHANGES_A_SECOND = 100
EVALUATIONS = 100_000
FLAGS = 20
SECRET = "the-owners-key-of-this-measurement-0000000"
MEGABYTE = 1_000_000
COHORT = {"key": "buyers", "when": {"kind": "performed", "event": "purchase", "within": "7d"}}


class Result(NamedTuple):
    """What was seen."""

    before_mb: float
    after_mb: float
    opening_s: float
    latencies_ms: list[float]
    evaluation_us: float


def _flag(number: int) -> dict[str, object]:
    asked = [{"key": "id", "type": "cohort", "operator": "in", "value": "buyers"}] if number % 4 == 0 else []
    return {"key": f"flag-{number}", "active": True, "filters": {"groups": [{"properties": asked}]}}


class _Listener(asyncio.Protocol):
    """One stream: `seen` is when its last event came."""

    def __init__(self, port: int, person: str) -> None:
        self._request = (
            f"GET /sse/flags?distinct_id={person}&token={TOKEN} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
        ).encode()
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.changed: asyncio.Future[float] | None = None
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            self._head += data
            if b"event: state" in self._head:
                self.opened.set_result(None)
        elif b"event: change" in data and self.changed is not None and not self.changed.done():
            self.changed.set_result(time.perf_counter())

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(RuntimeError(f"refused: {self._head[:300]!r}"))


class _Owner:
    """Commits and publishes the changes of one registry's cohort."""

    def __init__(self, bench: Bench, handle: int, ready: int) -> None:
        self._settings = bench.settings
        self._store = connect_store(bench.settings)
        self.producer = clients.producer(bench.settings.kafka)
        self._handle = handle
        self._ready = ready
        self._held: dict[int, bytes] = {}
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def commit(self, persons: dict[str, bool]) -> None:
        """Put persons into the cohort, or take them out of it."""
        of_shard: dict[int, list[RecordWrite]] = {shard: [] for shard in range(self._settings.shards)}
        for person, member in persons.items():
            subject = Subject(1, PERSON, person)
            moved = ((self._handle,), ()) if member else ((), (self._handle,))
            record = encode_record(Record(frozenset(moved[0]), {}))
            of_shard[shard_of(subject, self._settings.shards)].append(RecordWrite(subject, record, *moved))
        everybody = len(persons) > 1
        for shard, writes in of_shard.items():
            for at in range(0, max(len(writes), int(everybody)), COMMIT_RECORDS_MAX):
                await self._commit(shard, tuple(writes[at : at + COMMIT_RECORDS_MAX]))

    async def change(self, person: str, member: bool) -> None:
        """One person enters or leaves."""
        await self.commit({person: member})
        shard = shard_of(Subject(1, PERSON, person), self._settings.shards)
        told = Change(
            person, 1, 1, ENTERED if member else LEFT, "", "buyers", 1, "event", shard, time.time_ns() // 1_000
        )
        await self.producer.send_and_wait(
            MEMBERSHIP_CHANGES, encode_change(told), partition=shard % self._settings.partitions
        )

    async def aclose(self) -> None:
        await self.producer.stop()
        await self._store.aclose()

    async def _commit(self, shard: int, writes: tuple[RecordWrite, ...]) -> None:
        partitions = self._settings.partitions
        async with self._turns[shard]:
            fresh = os.urandom(16)
            position = Position(fresh, shard % partitions, partitions, time.time_ns() // 1_000_000, self._ready)
            outcomes = await self._store.commit([ShardCommit(shard, self._held.get(shard), position, writes)])
            self._held[shard] = fresh
        if outcomes != [Outcome.COMMITTED]:
            raise RuntimeError(f"a commit of shard {shard} came to nothing")


async def measure(streams: int = STREAMS) -> Result:
    """Open the streams one batch after another, then have random persons enter and leave at a steady rate."""
    allow_files(streams + OTHER_FILES_MAX)
    port = choose_port(None)
    with embedded({"evaluator_port": port}) as bench:
        registry = registry_of([COHORT], [_flag(number) for number in range(FLAGS)])
        await ensure_topics(bench.settings.kafka, muster_topics(bench.settings.partitions))
        owner = _Owner(bench, registry.team(1).cohorts[0].versions[0].handle, registry.version)
        await owner.producer.start()
        persons = [f"person-{number}" for number in range(streams)]
        await owner.commit(dict.fromkeys(persons, False))
        mirror = connect_mirror(bench.settings)
        await mirror.publish(encode_registry(registry), registry.version)
        await mirror.aclose()
        log = bench.folder / "evaluator.log"
        key = bench.folder / "secret-key"
        key.write_text(SECRET)
        environment = {**bench.environment, "MUSTER_SECRET_KEY_FILE": str(key)}
        server = Role(["-m", "processors.cli", "evaluator"], environment, SERVER_CORE, log)
        try:
            await _until_ready(port)
            before = _megabytes(server.pid)
            began = time.perf_counter()
            listeners = await _listen(port, persons)
            opening = time.perf_counter() - began
            await _warm_up(owner, listeners)
            latencies = await _changes(owner, listeners)
            after = _megabytes(server.pid)
            each_us = await asyncio.to_thread(_evaluate, port)
            for listener in listeners.values():
                listener.transport.close()
            return Result(before, after, opening, latencies, each_us)
        finally:
            server.stop()
            await owner.aclose()


async def _listen(port: int, persons: list[str]) -> dict[str, _Listener]:
    loop = asyncio.get_running_loop()
    listeners = {person: _Listener(port, person) for person in persons}
    for at in range(0, len(persons), OPENING_AT_ONCE):
        batch = [listeners[person] for person in persons[at : at + OPENING_AT_ONCE]]
        await asyncio.gather(*(loop.create_connection(lambda each=each: each, "127.0.0.1", port) for each in batch))  # type: ignore[misc]
        await asyncio.gather(*(each.opened for each in batch))
    return listeners


async def _warm_up(owner: _Owner, listeners: dict[str, _Listener]) -> None:
    """Return when changes come through."""
    person, listener = next(iter(listeners.items()))
    member = False
    async with asyncio.timeout(60):
        while True:
            member = not member
            listener.changed = asyncio.get_running_loop().create_future()
            await owner.change(person, member)
            try:
                await asyncio.wait_for(listener.changed, 1)
            except TimeoutError:
                continue
            if not member:
                return


async def _changes(owner: _Owner, listeners: dict[str, _Listener]) -> list[float]:
    chosen = random.Random(1).sample(sorted(listeners), min(CHANGES, len(listeners)))
    began = time.perf_counter()
    waiting = []
    for number, person in enumerate(chosen):
        await asyncio.sleep(max(0.0, began + number / CHANGES_A_SECOND - time.perf_counter()))
        listeners[person].changed = asyncio.get_running_loop().create_future()
        waiting.append(asyncio.create_task(_one(owner, person, listeners[person])))
    return [1_000 * seconds for seconds in await asyncio.gather(*waiting)]


async def _one(owner: _Owner, person: str, listener: _Listener) -> float:
    assert listener.changed is not None
    began = time.perf_counter()
    await owner.change(person, True)
    return await asyncio.wait_for(listener.changed, 20) - began


def _evaluate(port: int) -> float:
    """CPU microseconds an evaluation of a flag on a cohort, in this process."""
    provider = MusterProvider(f"http://127.0.0.1:{port}", SECRET)
    context = EvaluationContext("person-1")
    provider.initialize(context)
    try:
        provider.resolve_boolean_details("flag-0", False, context)
        rounds = []
        for _ in range(5):
            began = time.thread_time()
            for _ in range(EVALUATIONS // 5):
                provider.resolve_boolean_details("flag-0", False, context)
            rounds.append((time.thread_time() - began) / (EVALUATIONS // 5) * 1e6)
        return statistics.median(rounds)
    finally:
        provider.shutdown()


def _megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


async def _until_ready(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = await reader.read()
                writer.close()
                if b" 200 " in answer[:20] and json.loads(answer.partition(b"\r\n\r\n")[2])["registry_version"]:
                    return
            except OSError:
                pass
            await asyncio.sleep(0.1)


def report(found: Result) -> None:
    """The figures, as they are quoted."""
    latencies = sorted(found.latencies_ms)
    count = len(latencies)
    print(
        f"push, {STREAMS:,} streams of as many persons on one evaluator; {FLAGS} flags, a quarter of them on a cohort"
    )
    print(
        f"  memory {found.before_mb:.0f} MB before and {found.after_mb:.0f} MB after, of which a stream takes "
        f"{(found.after_mb - found.before_mb) * 1_000 / STREAMS:.0f} kB; goal 300 MB; opened in {found.opening_s:.1f} s"
    )
    print(
        f"  change to event, {CHANGES_A_SECOND} changes/s: p50 {latencies[count // 2]:.0f} ms, "
        f"p99 {latencies[int(count * 0.99)]:.0f} ms, worst {latencies[-1]:.0f} ms; goal 500 ms"
    )
    print(f"  in-process provider: {found.evaluation_us:.1f} CPU µs an evaluation, membership included; goal 10 µs")


if __name__ == "__main__":
    report(asyncio.run(measure()))
