"""Flags: `POST /flags?v=2` with one cohort read a request, over the same server's empty handler.

The server has one core; 64 connections and Valkey share the other. Both servers run at once and are loaded in
turns, so that the machine's noise meets both.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from itertools import chain
from typing import NamedTuple

from benchmarks.parts import TOKEN, Bench, embedded, registry_of
from benchmarks.processes import SERVER_CORE, Role, cpu_seconds
from cohort_store.ports import Position, RecordWrite, ShardCommit
from cohort_store.records import Record, encode_record
from cohort_store.redis.wiring import connect_mirror, connect_store
from cohort_store.registry import Registry, encode_registry
from cohort_store.subjects import PERSON, Subject, shard_of
from processors.embedded.child import choose_port

CONNECTIONS = 64
ROUNDS = 5
SECONDS_A_ROUND = 3.0
PERSONS = 1_000
COHORT = {"key": "buyers", "when": {"kind": "performed", "event": "purchase", "within": "7d"}}
FLAG = {
    "key": "for-buyers",
    "active": True,
    "filters": {
        "groups": [{"properties": [{"key": "id", "type": "cohort", "operator": "in", "value": "buyers"}]}],
    },
}


class Round(NamedTuple):
    """One server's share of a round."""

    rate: float
    cpu_us: float
    p99_ms: float


class Result(NamedTuple):
    """The rounds of both servers, in pairs."""

    flags: list[Round]
    empty: list[Round]


async def measure() -> Result:
    """Start both servers on the view, check an answer of each person's kind, then load them in turns."""
    ports = choose_port(None), choose_port(None)
    with embedded({"evaluator_port": ports[0]}, broker=None) as bench:
        await _fill(bench)
        empty = {**bench.environment, "MUSTER_EVALUATOR_PORT": str(ports[1])}
        servers = [
            Role(["-m", "processors.cli", "evaluator"], bench.environment, SERVER_CORE, bench.folder / "flags.log"),
            Role(["-m", "benchmarks.empty_server"], empty, SERVER_CORE, bench.folder / "empty.log"),
        ]
        try:
            for port, path in ((ports[0], "/ready"), (ports[1], "/")):
                await _until_served(port, path)
            await _check(ports[0])
            rounds: list[list[Round]] = [[], []]
            for _ in range(ROUNDS):
                for server, port, found in zip(servers, ports, rounds, strict=True):
                    found.append(await _load(port, server.pid))
            return Result(*rounds)
        finally:
            for server in servers:
                server.stop()


async def _fill(bench: Bench) -> None:
    """Half of the persons are members."""
    settings = bench.settings
    registry = registry_of([COHORT], [FLAG])
    (cohort,) = registry.team(1).cohorts
    await _commit_persons(bench, registry, cohort.versions[0].handle)
    mirror = connect_mirror(settings)
    await mirror.publish(encode_registry(registry), registry.version)
    await mirror.aclose()


async def _commit_persons(bench: Bench, registry: Registry, handle: int) -> None:
    settings, now = bench.settings, time.time_ns() // 1_000_000
    store = connect_store(settings)
    writes: dict[int, list[RecordWrite]] = {shard: [] for shard in range(settings.shards)}
    selector = next(iter(registry.team(1).selectors.values()))
    for number in range(0, PERSONS, 2):
        subject = Subject(1, PERSON, f"person-{number}")
        record = encode_record(Record(frozenset({handle}), {selector: ((now, number),)}))
        writes[shard_of(subject, settings.shards)].append(RecordWrite(subject, record, (handle,)))
    for shard, of_shard in writes.items():
        position = Position(b"bench", shard % settings.partitions, settings.partitions, now, registry.version)
        await store.commit([ShardCommit(shard, None, position, tuple(of_shard))])
    await store.aclose()


def _request(port: int, number: int) -> bytes:
    body = json.dumps({"token": TOKEN, "distinct_id": f"person-{number}"}).encode()
    head = f"POST /flags?v=2 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


class _Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, requests: list[bytes], stop_at: float) -> None:
        self._requests = requests
        self._stop_at = stop_at
        self._asked_at = 0.0
        self._buffer = b""
        self.latencies: list[float] = []
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._asked_at = time.perf_counter()
        self._transport.write(self._requests[len(self.latencies) % len(self._requests)])

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(f"answered with {head[:60]!r}"))
            self._transport.close()
            return
        self._buffer = b""
        now = time.perf_counter()
        self.latencies.append(now - self._asked_at)
        if now < self._stop_at:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(self.latencies)


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])


async def _load(port: int, pid: int) -> Round:
    """So many seconds of 64 connections, each with persons of its own."""
    loop = asyncio.get_running_loop()
    began, began_cpu = time.perf_counter(), cpu_seconds(pid)
    clients = []
    for first in range(CONNECTIONS):
        requests = [_request(port, number) for number in range(first, PERSONS, CONNECTIONS)]
        client = _Client(requests, began + SECONDS_A_ROUND)
        clients.append(client)
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    latencies = sorted(chain.from_iterable(await asyncio.gather(*(client.done for client in clients))))
    seconds, cpu = time.perf_counter() - began, cpu_seconds(pid) - began_cpu
    count = len(latencies)
    return Round(count / seconds, cpu / count * 1e6, latencies[int(count * 0.99)] * 1e3)


async def _exchange(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        return head + await reader.readexactly(_length(head))
    finally:
        writer.close()


async def _until_served(port: int, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    async with asyncio.timeout(60):
        while True:
            try:
                if (await _exchange(port, request)).startswith(b"HTTP/1.1 200"):
                    return
            except (OSError, asyncio.IncompleteReadError):
                pass
            await asyncio.sleep(0.1)


async def _check(port: int) -> None:
    """A member's flag is on, another's is off."""
    for number, expected in ((0, True), (1, False)):
        answer = await _exchange(port, _request(port, number))
        flag = json.loads(answer.partition(b"\r\n\r\n")[2])["flags"]["for-buyers"]
        if flag["enabled"] is not expected:
            raise RuntimeError(f"person-{number} should have {expected}: {flag}")


def report(found: Result) -> None:
    """The figures, as they are quoted."""
    ratios = [flags.rate / empty.rate for flags, empty in zip(found.flags, found.empty, strict=True)]
    costs = [empty.cpu_us / flags.cpu_us for flags, empty in zip(found.flags, found.empty, strict=True)]
    print("flags, one cohort read a request, 64 connections; server on one core, load and Valkey on the other")
    for name, rounds in (("POST /flags?v=2", found.flags), ("empty handler", found.empty)):
        rate, cpu, p99 = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"  {name:<16} {rate:>9,.0f} requests/s  {cpu:6.1f} CPU µs/request  p99 {p99:5.1f} ms")
    print(
        f"  ratio of rates {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), "
        f"of CPU {statistics.median(costs):.2f}; goal 0.4"
    )


if __name__ == "__main__":
    report(asyncio.run(measure()))
