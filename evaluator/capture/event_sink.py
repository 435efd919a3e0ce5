"""Where captured events go: a log that acknowledges, and a bound on what waits for it.

`/flags` never waits here: an SDK's events are let through or turned away, and turned away they come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple, Protocol

from cohort_store.errors import Retry

WAITING_BYTES_MAX = 64 * 1024 * 1024
"""Of messages that wait for their acknowledgement; beyond, requests are turned away."""

SEND_DEADLINE_S = 5.0
"""For one request's messages. What was not acknowledged by then may still arrive; to send it again is harmless."""


class Message(NamedTuple):
    """One message, as it goes to its topic."""

    topic: str
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()

    def size(self) -> int:
        """About the bytes that it takes."""
        return len(self.value) + sum(len(value) for _, value in self.headers)


class Outcome(Enum):
    """What became of a message."""

    KEPT = auto()
    """Acknowledged by all replicas."""
    TOO_LARGE = auto()
    """Refused by the topic, for good."""


class EventSink(Protocol):
    """A log of messages."""

    async def send(self, messages: Sequence[Message], now_ms: int) -> Sequence[Outcome]:
        """What became of each, once that is known. `now_ms` is when they reached the log.

        Raises Retry where it is not known of all; sending them again is harmless.
        """
        ...

    async def aclose(self) -> None:
        """Let go of the log. Doing it twice is harmless."""
        ...


class Full(Retry):
    """Too much waits already."""


class EventIntake:
    """A sink behind a bound and a deadline."""

    def __init__(
        self, sink: EventSink, *, waiting_bytes_max: int = WAITING_BYTES_MAX, deadline_s: float = SEND_DEADLINE_S
    ) -> None:
        self._sink = sink
        self._bytes_max = waiting_bytes_max
        self._deadline_s = deadline_s
        self.waiting_bytes = 0

    async def take(self, messages: Sequence[Message], now_ms: int) -> Sequence[Outcome]:
        """As EventSink.send. Raises Full at the bound, before anything is sent, and Retry at the deadline."""
        size = sum(message.size() for message in messages)
        if self.waiting_bytes and self.waiting_bytes + size > self._bytes_max:
            raise Full(f"{self.waiting_bytes} bytes of events wait for Kafka already; at most {self._bytes_max}")
        self.waiting_bytes += size
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._sink.send(messages, now_ms)
        except TimeoutError:
            raise Retry(f"Kafka acknowledged nothing within {self._deadline_s:g} s") from None
        finally:
            self.waiting_bytes -= size


class RememberedEvents:
    """The in-memory twin: a list. Messages above `bytes_max` are refused, and the first `failing` calls fail."""

    def __init__(self, *, bytes_max: int = 1_048_576, failing: int = 0) -> None:
        self.messages: list[Message] = []
        self._bytes_max = bytes_max
        self._failing = failing

    async def send(self, messages: Sequence[Message], now_ms: int) -> Sequence[Outcome]:  # noqa: ARG002 (the port's)
        """Keep them."""
        if self._failing:
            self._failing -= 1
            raise Retry("the log is away")
        outcomes = [Outcome.TOO_LARGE if each.size() > self._bytes_max else Outcome.KEPT for each in messages]
        self.messages += [each for each, outcome in zip(messages, outcomes, strict=True) if outcome is Outcome.KEPT]
        return outcomes

    async def aclose(self) -> None:
        """Nothing to let go of."""
