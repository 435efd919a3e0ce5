"""Load for an HTTP server: as much as it takes, or so much a second, over connections that stay open.

Latency at a given rate counts from the instant at which a request was due, so that a server that stalls is not asked
less often while it does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple, cast

from benchmarks.processes import cpu_seconds

CONNECTIONS = 64
HEADERS_END = b"\r\n\r\n"


class Round(NamedTuple):
    """What a server did for some seconds."""

    rate: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


class Question(NamedTuple):
    """Requests that cost the same, to be asked in turn, and the status that each must have."""

    name: str
    requests: Sequence[bytes]
    status: int = 200


def http_request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """One HTTP/1.1 request; underscores in a header's name are hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", "content-type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


async def load(
    port: int, pid: int, question: Question, seconds: float, *, rate: float = 0, connections: int = CONNECTIONS
) -> Round:
    """Ask for so many seconds: `rate` a second, or where that is 0 each time as soon as it is answered."""
    loop = asyncio.get_running_loop()
    began, began_cpu = time.perf_counter(), cpu_seconds(pid)
    clients = []
    for first in range(connections):
        mine = question.requests[first::connections] or question.requests
        pace = connections / rate if rate else 0.0
        client = _Client(mine, question.status, began + seconds, pace, began + pace * first / connections)
        clients.append(client)
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    latencies = sorted(chain.from_iterable(await asyncio.gather(*(client.done for client in clients))))
    took, cpu = time.perf_counter() - began, cpu_seconds(pid) - began_cpu
    count = len(latencies)
    return Round(count / took, cpu / count * 1e6, latencies[count // 2] * 1e3, latencies[int(count * 0.99)] * 1e3)


async def exchange(port: int, request: bytes) -> tuple[bytes, bytes]:
    """One request on a connection of its own: the answer's head and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        head = await reader.readuntil(HEADERS_END)
        return head, await reader.readexactly(_length(head))
    finally:
        writer.close()


async def until_served(port: int, path: str) -> None:
    """Return once that path is answered with 200."""
    async with asyncio.timeout(60):
        while True:
            try:
                if (await exchange(port, http_request("GET", path)))[0].startswith(b"HTTP/1.1 200"):
                    return
            except (OSError, asyncio.IncompleteReadError):
                pass
            await asyncio.sleep(0.1)


class _Client(asyncio.Protocol):
    """One connection, with one request under way at a time."""

    def __init__(self, requests: Sequence[bytes], status: int, stop_at: float, pace: float, due: float) -> None:
        self._requests = requests
        self._expected = f"HTTP/1.1 {status}".encode()
        self._stop_at = stop_at
        self._pace = pace
        self._due = due
        self._buffer = b""
        self._missing = 0
        self._loop = asyncio.get_running_loop()
        self.latencies: list[float] = []
        self.done: asyncio.Future[list[float]] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        if self._missing > len(data):
            self._missing -= len(data)
            return
        if not self._missing:
            self._buffer += data
            end = self._buffer.find(HEADERS_END)
            if end < 0:
                return
            if not self._buffer.startswith(self._expected):
                self.done.set_exception(RuntimeError(f"answered with {self._buffer[:80]!r}"))
                self._transport.close()
                return
            missing = end + len(HEADERS_END) + _length(self._buffer[: end + 2]) - len(self._buffer)
            self._buffer = b""
            if missing > 0:
                self._missing = missing
                return
        self._missing = 0
        self.latencies.append(time.perf_counter() - self._due)
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            if self.latencies:
                self.done.set_result(self.latencies)
            else:
                self.done.set_exception(RuntimeError(f"the server closed a connection without an answer: {error}"))

    def _next(self) -> None:
        now = time.perf_counter()
        if now >= self._stop_at and self.latencies:
            self._transport.close()
        elif not self._pace:
            self._due = now
            self._ask()
        else:
            self._due += self._pace
            self._loop.call_later(max(0.0, self._due - now), self._ask)

    def _ask(self) -> None:
        self._transport.write(self._requests[len(self.latencies) % len(self._requests)])


def _length(head: bytes) -> int:
    found = head.lower().partition(b"content-length:")[2]
    return int(found.split(b"\r\n", 1)[0]) if found else 0
