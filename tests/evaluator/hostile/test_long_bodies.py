"""Bodies far beyond the limit are refused before they are read, and cost next to nothing."""

import asyncio
import gzip
from collections.abc import Iterator

import httpx
import pytest

from evaluator.http.bodies import BODY_BYTES_MAX
from tests.evaluator.hostile.raw import closed_after_s, connections, head, memory_mib, send_until_answered
from tests.evaluator.serving import Evaluator

LONG = 100 * 1_048_576
CHUNK = b" " * 65_536
MEMORY_MIB_MAX = 48
"""What the server may grow by; a body that was read whole would cost 100."""
PATHS = ("/flags", "/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/for-buyers")


def _chunked() -> Iterator[bytes]:
    for _ in range(LONG // len(CHUNK)):
        yield b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("framing", [f"Content-Length: {LONG}", "Transfer-Encoding: chunked"])
async def test_a_body_of_100_mb_is_refused_and_neither_kept_nor_read_to_its_end(
    evaluator: Evaluator, path: str, framing: str
) -> None:
    before = memory_mib(evaluator)
    body = _chunked() if "chunked" in framing else iter([CHUNK] * (LONG // len(CHUNK)))
    async with connections(evaluator, 1) as (streams,):
        streams[1].write(head(evaluator, path, framing))
        answer, sent = await send_until_answered(streams, body)
    assert answer.startswith(b"HTTP/1.1 413") or answer == b"", answer[:200]
    assert sent < LONG / 4
    assert memory_mib(evaluator) - before < MEMORY_MIB_MAX


async def test_twenty_such_bodies_at_once_leave_memory_and_other_callers_alone(evaluator: Evaluator) -> None:
    before = memory_mib(evaluator)
    async with connections(evaluator, 20) as opened:
        for _, writer in opened:
            writer.write(head(evaluator, "/flags", "Transfer-Encoding: chunked"))
        sending = [asyncio.create_task(send_until_answered(streams, _chunked())) for streams in opened]
        flags = await asyncio.to_thread(evaluator.flags, "ada")
        await asyncio.gather(*sending)
    assert flags["flags"]["for-buyers"]["enabled"] is True
    assert memory_mib(evaluator) - before < MEMORY_MIB_MAX + 20 * BODY_BYTES_MAX / 1_048_576


@pytest.mark.parametrize("path", PATHS)
def test_a_small_packed_body_that_becomes_100_mb_is_refused_while_it_is_unpacked(
    evaluator: Evaluator, path: str
) -> None:
    before = memory_mib(evaluator)
    headers = {"Content-Encoding": "gzip", "Authorization": "Bearer phc_test"}
    answer = httpx.post(evaluator.url + path, content=gzip.compress(b" " * LONG), headers=headers, timeout=30)
    assert answer.status_code == 413
    assert memory_mib(evaluator) - before < MEMORY_MIB_MAX


@pytest.mark.parametrize("lines", [["X-Long: " + "x" * 1_048_576], [f"X-{number}: x" for number in range(5_000)]])
async def test_a_head_that_is_too_long_is_refused_and_the_connection_ends(
    evaluator: Evaluator, lines: list[str]
) -> None:
    async with connections(evaluator, 1) as (streams,):
        long_head = head(evaluator, "/flags", "Content-Length: 2", *lines) + b"{}"
        answer, _ = await send_until_answered(streams, [long_head])
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431")) or answer == b"", answer[:200]
        await closed_after_s(streams, 10.0)
    assert evaluator.client.get("/health").status_code == 200
