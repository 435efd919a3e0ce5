"""Producing the events of a file to Kafka, as fast as it takes them or at a multiple of their own pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from cohort_store.clocks import Clock
from cohort_store.errors import Retry
from processors.event_files import EventLine
from processors.row_files import BadLine

IN_FLIGHT_MAX = 10_000
YIELD_EVERY = 500


@dataclass(slots=True)
class Sent:
    """What became of a file so far."""

    events: int = 0
    refused: int = 0
    first_ms: int | None = None
    last_ms: int | None = None

    def add(self, time_ms: int) -> None:
        self.events += 1
        self.first_ms = time_ms if self.first_ms is None else min(self.first_ms, time_ms)
        self.last_ms = time_ms if self.last_ms is None else max(self.last_ms, time_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How times are moved, and how fast events follow each other: `speed` times their own pace, None for at once."""

    shift_ms: int = 0
    speed: float | None = None


@dataclass(slots=True)
class Sending:
    """One file's way into one topic. `refuse` hears of each line that is not sent, `progress` of each that is."""

    topic: str
    clock: Clock
    pace: Pace
    refuse: Callable[[BadLine], None]
    progress: Callable[[], None] = lambda: None
    sent: Sent = field(default_factory=Sent)
    _in_flight: set[asyncio.Future[Any]] = field(default_factory=set)

    async def run(self, bootstrap: str, lines: Iterable[EventLine | BadLine]) -> Sent:
        """Send them all; on return every event that counts as sent is acknowledged. Raises Retry without a broker.

        A record's own timestamp is the clock's now: that is when the event reached the log, whatever time it
        tells of.
        """
        from aiokafka.errors import KafkaError

        from cohort_store.kafka import clients

        producer = clients.producer(bootstrap)
        try:
            await producer.start()
            await self._all(producer, lines)
            await producer.flush()
        except (KafkaError, OSError) as error:
            raise Retry(
                f"events cannot be sent to {self.topic} at {bootstrap} ({error!r}): is a broker running there?"
            ) from error
        finally:
            await producer.stop()
        return self.sent

    async def _all(self, producer: Any, lines: Iterable[EventLine | BadLine]) -> None:
        loop = asyncio.get_running_loop()
        started_s, first_ms = loop.time(), None
        for index, line in enumerate(lines):
            if isinstance(line, BadLine):
                self._refuse(line)
                continue
            first_ms = line.time_ms if first_ms is None else first_ms
            if self.pace.speed is not None:
                due_s = started_s + (line.time_ms - first_ms) / 1_000 / self.pace.speed
                await asyncio.sleep(max(0.0, due_s - loop.time()))
            await self._one(producer, line)
            if index % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        while self._in_flight:
            await asyncio.wait(self._in_flight)

    async def _one(self, producer: Any, line: EventLine) -> None:
        from aiokafka.errors import MessageSizeTooLargeError

        try:
            acknowledged = await producer.send(
                self.topic, line.moved(self.pace.shift_ms), key=line.key.encode(), timestamp_ms=self.clock.now_ms()
            )
        except MessageSizeTooLargeError as error:
            self._refuse(BadLine(line.number, str(error)))
            return
        self._in_flight.add(acknowledged)
        acknowledged.add_done_callback(lambda done: self._acknowledged(done, line))
        if len(self._in_flight) >= IN_FLIGHT_MAX:
            await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)

    def _acknowledged(self, done: asyncio.Future[Any], line: EventLine) -> None:
        self._in_flight.discard(done)
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            self._refuse(BadLine(line.number, f"the broker refused it: {error!r}"))
            return
        self.sent.add(line.time_ms + self.pace.shift_ms)
        self.progress()

    def _refuse(self, line: BadLine) -> None:
        self.sent.refused += 1
        self.refuse(line)
