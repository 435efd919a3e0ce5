"""An answer that goes on: events to one client until either side ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import msgspec
from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]

from evaluator.push.stream import Stream

LINGER_S = 30.0
"""How long a stream that is ended counts as open while its client has not read the rest."""

STREAM_ID = "x-muster-stream"
"""Names a stream in POST /flags/context."""

HEADERS = [
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache, no-transform"),
    ("x-accel-buffering", "no"),
    # So that the connection ends with the stream, and says thereby that all of it was read.
    ("connection", "close"),
]


class EventStream(msgspec.Struct, frozen=True):
    """A stream to be written out. `left` is called once it is over, whoever ended it."""

    stream: Stream
    left: Callable[[Stream], None]
    status: int = 200


class Transport(Protocol):
    """RSGI's way to send a part of an answer."""

    async def send_bytes(self, data: bytes) -> None: ...


class StreamingExchange(Protocol):
    """RSGI's way to answer in parts."""

    async def client_disconnect(self) -> None: ...

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> Transport: ...


async def write_out(response: EventStream, protocol: StreamingExchange, more: tuple[tuple[str, str], ...] = ()) -> None:
    """Send what the stream holds, and what comes, until its end or until the client is gone."""
    stream = response.stream
    leaving = asyncio.create_task(_gone(protocol, stream))
    try:
        headers = [*HEADERS, (STREAM_ID, stream.id), *more]
        await _send(stream, protocol.response_stream(response.status, headers))
        await asyncio.wait([leaving], timeout=LINGER_S)
    finally:
        leaving.cancel()
        response.left(stream)


async def _send(stream: Stream, transport: Transport) -> None:
    # The server ends the answer once nobody holds the transport any more: so it is this function's alone.
    with suppress(ProtocolClosed):
        while chunk := await stream.next():
            await transport.send_bytes(chunk)


async def _gone(protocol: StreamingExchange, stream: Stream) -> None:
    await protocol.client_disconnect()
    stream.abandon()
