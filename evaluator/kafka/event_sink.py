"""Captured events into Kafka, see `evaluator.capture.event_sink.EventSink`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from cohort_store.errors import Retry
from cohort_store.kafka import clients
from evaluator.capture.event_sink import Message, Outcome

CLOSE_DEADLINE_S = 2.0

CONNECT_AGAIN_S = 1.0
"""After a failure to connect, who sends is told so at once for this long."""


class KafkaEventSink:
    """Connects when somebody sends first, so that an evaluator starts without Kafka."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()
        self._away_until_s = 0.0
        self._why_away = ""

    async def send(self, messages: Sequence[Message], now_ms: int) -> Sequence[Outcome]:
        """What became of each."""
        producer = await self._connected()
        try:
            waiting = [await self._sent(producer, each, now_ms) for each in messages]
            results = await asyncio.gather(*(each for each in waiting if each is not None), return_exceptions=True)
        except KafkaError as error:
            raise Retry(f"events cannot be written to Kafka at {self._bootstrap}: {error!r}") from error
        told = iter(results)
        return [Outcome.TOO_LARGE if each is None else self._outcome(next(told)) for each in waiting]

    async def aclose(self) -> None:
        """Disconnect; what is under way is waited for, but not for long: who sent it was not told that it is kept."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_DEADLINE_S):
                    await producer.stop()

    async def _sent(self, producer: AIOKafkaProducer, each: Message, now_ms: int) -> asyncio.Future[object] | None:
        try:
            under_way: asyncio.Future[object] = await producer.send(
                each.topic, each.value, key=each.key, headers=list(each.headers), timestamp_ms=now_ms
            )
        except MessageSizeTooLargeError:
            return None
        return under_way

    def _outcome(self, result: object) -> Outcome:
        if isinstance(result, MessageSizeTooLargeError):
            return Outcome.TOO_LARGE
        if isinstance(result, KafkaError):
            raise Retry(f"events cannot be written to Kafka at {self._bootstrap}: {result!r}") from result
        if isinstance(result, BaseException):
            raise result
        return Outcome.KEPT

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            async with self._connecting:
                if self._producer is None:
                    self._producer = await self._connect()
        return self._producer

    async def _connect(self) -> AIOKafkaProducer:
        clock = asyncio.get_running_loop()
        if clock.time() < self._away_until_s:
            raise Retry(self._why_away)
        producer = clients.producer(self._bootstrap)
        try:
            await producer.start()
        except BaseException as error:
            await producer.stop()
            if not isinstance(error, (KafkaError, OSError)):
                raise
            self._why_away = f"Kafka at {self._bootstrap} cannot be reached ({error!r})"
            self._away_until_s = clock.time() + CONNECT_AGAIN_S
            raise Retry(self._why_away) from error
        return producer
