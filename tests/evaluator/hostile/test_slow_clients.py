"""Clients that send a byte now and then hold their own connection, for a time that is bounded, and nobody else's."""

import asyncio
import time

import pytest

from evaluator.http.reading import BODY_DEADLINE_S
from evaluator.wiring import HEADER_DEADLINE_MS
from tests.evaluator.hostile.raw import Streams, closed_after_s, connections, head
from tests.evaluator.serving import Evaluator

SLOW = 300
BYTE_EVERY_S = 0.5
ANSWER_DEADLINE_S = 2.0
SLACK_S = 8.0
"""By how much a busy machine may be late."""

pytestmark = pytest.mark.slow


async def _drip(streams: Streams) -> None:
    """A byte now and then, for as long as the server listens."""
    try:
        while True:
            streams[1].write(b"x")
            await streams[1].drain()
            await asyncio.sleep(BYTE_EVERY_S)
    except ConnectionError:
        pass


async def _others_are_answered(evaluator: Evaluator) -> None:
    for _ in range(20):
        began = time.monotonic()
        flags = await asyncio.to_thread(evaluator.flags, "ada")
        assert flags["flags"]["for-buyers"]["enabled"] is True
        assert time.monotonic() - began < ANSWER_DEADLINE_S


async def test_bodies_that_drip_are_refused_at_their_deadline_and_others_are_answered_meanwhile(
    evaluator: Evaluator,
) -> None:
    async with connections(evaluator, SLOW) as opened:
        for _, writer in opened:
            writer.write(head(evaluator, "/flags", "Content-Length: 10000"))
        dripping = [asyncio.create_task(_drip(streams)) for streams in opened]
        await _others_are_answered(evaluator)
        answers = await asyncio.wait_for(
            asyncio.gather(*(streams[0].read(65_536) for streams in opened)), BODY_DEADLINE_S + SLACK_S
        )
        assert {answer.split(b"\r\n", 1)[0] for answer in answers} == {b"HTTP/1.1 408 Request Timeout"}
        await asyncio.gather(*(closed_after_s(streams, SLACK_S) for streams in opened))
        for task in dripping:
            task.cancel()
        await asyncio.gather(*dripping, return_exceptions=True)


async def test_heads_that_drip_or_never_come_lose_their_connection_and_others_are_answered_meanwhile(
    evaluator: Evaluator,
) -> None:
    async with connections(evaluator, SLOW) as opened:
        for _, writer in opened[: SLOW // 2]:
            writer.write(b"POST /flags HTTP/1.1\r\nX-Slow: ")
        dripping = [asyncio.create_task(_drip(streams)) for streams in opened[: SLOW // 2]]
        await _others_are_answered(evaluator)
        deadline_s = HEADER_DEADLINE_MS / 1_000 + SLACK_S
        await asyncio.gather(*(closed_after_s(streams, deadline_s) for streams in opened))
        for task in dripping:
            task.cancel()
        await asyncio.gather(*dripping, return_exceptions=True)
    await _others_are_answered(evaluator)


async def test_a_client_that_does_not_read_its_answers_holds_up_nobody(evaluator: Evaluator) -> None:
    body = b'{"token": "phc_test", "distinct_id": "ada"}'
    request = head(evaluator, "/flags", f"Content-Length: {len(body)}") + body
    async with connections(evaluator, 20) as opened:
        for streams in opened:
            streams[0]._transport.pause_reading()  # type: ignore[attr-defined]  # no public way to leave answers unread
            streams[1].write(request * 2_000)
        await _others_are_answered(evaluator)
