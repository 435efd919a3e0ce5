"""Sending counts of evaluations to `muster.flag-evaluations`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from cohort_store.errors import Retry
from cohort_store.flag_evaluations import FlagEvaluations, encode_evaluations
from cohort_store.kafka import clients
from cohort_store.kafka.topics import (
    BROKERS_DEFAULT,
    FLAG_EVALUATIONS,
    FLAG_EVALUATIONS_PARTITIONS,
    TopicSpec,
    ensure_topics,
)

SEND_DEADLINE_S = 15.0
"""For a whole batch, connecting included."""
CLOSE_DEADLINE_S = 2.0


class KafkaEvaluationLog:
    """Connects when there is something to send. Not for two tasks at once."""

    def __init__(self, bootstrap: str, replication: int = BROKERS_DEFAULT, topic: str = FLAG_EVALUATIONS) -> None:
        """`replication` is for the topic, where it is not there yet."""
        self._bootstrap = bootstrap
        self._replication = replication
        self._topic = topic
        self._is_made = False
        self._producer: AIOKafkaProducer | None = None

    async def send(self, batch: Sequence[FlagEvaluations]) -> None:
        """Return once the broker has acknowledged all. Raises Retry where that is not known.

        The connection outlives a failure: what the client holds of the batch still arrives, or expires.
        """
        try:
            async with asyncio.timeout(SEND_DEADLINE_S):
                await self._make_topic()
                producer = await self._connected()
                waiting = [
                    await producer.send(self._topic, encode_evaluations(each), key=_key(each), partition=0)
                    for each in batch
                ]
                await asyncio.gather(*waiting)
        except (KafkaError, OSError, TimeoutError) as error:
            self._is_made = False
            raise Retry(f"{self._topic} at {self._bootstrap} takes no counts: {error!r}") from error

    async def close(self) -> None:
        """Disconnect. Doing it twice is harmless."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_DEADLINE_S):
                    await producer.stop()

    async def _make_topic(self) -> None:
        """Before a producer asks for it: a broker may make an unknown topic by itself, with other partitions."""
        if not self._is_made:
            spec = TopicSpec(self._topic, FLAG_EVALUATIONS_PARTITIONS)
            await ensure_topics(self._bootstrap, [spec], replication=self._replication)
            self._is_made = True

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = clients.producer(self._bootstrap)
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer


def _key(each: FlagEvaluations) -> bytes:
    return f"{each.team_id}:{each.flag}".encode(errors="replace")
