"""Connections that do what no well-behaved client does, and what the server's process costs meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from processors.embedded.child import LOOPBACK
from tests.evaluator.serving import Evaluator

READ_MAX = 65_536
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def memory_mib(evaluator: Evaluator) -> float:
    """The most memory that the server's process ever had."""
    pid = evaluator.process.pid
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1_024


def head(evaluator: Evaluator, path: str, *lines: str) -> bytes:
    """The head of a POST with these header lines."""
    fields = [f"POST {path} HTTP/1.1", f"Host: {LOOPBACK}:{evaluator.port}", *lines, "", ""]
    return "\r\n".join(fields).encode()


@asynccontextmanager
async def connections(evaluator: Evaluator, count: int) -> AsyncIterator[list[Streams]]:
    """So many open connections."""
    opened: list[Streams] = []
    try:
        for _ in range(count):
            opened.append(await asyncio.open_connection(LOOPBACK, evaluator.port))  # noqa: PERF401 - closed if one fails
        yield opened
    finally:
        for _, writer in opened:
            writer.close()


async def send_until_answered(streams: Streams, chunks: Iterable[bytes]) -> tuple[bytes, int]:
    """What the server says first, and how many bytes it took until it said so or hung up.

    Empty where it hung up on bytes that were still under way: then the system may drop the answer with them.
    """
    reader, writer = streams
    answer = asyncio.create_task(reader.read(READ_MAX))
    sent = 0
    try:
        for chunk in chunks:
            if answer.done():
                break
            writer.write(chunk)
            await writer.drain()
            sent += len(chunk)
        return await answer, sent
    except ConnectionError:
        await asyncio.gather(answer, return_exceptions=True)
        return b"" if answer.exception() else answer.result(), sent


async def closed_after_s(streams: Streams, deadline_s: float) -> float:
    """Seconds until the server hangs up; TimeoutError where it does not."""
    began = time.monotonic()
    async with asyncio.timeout(deadline_s):
        while await streams[0].read(READ_MAX):
            pass
    return time.monotonic() - began
