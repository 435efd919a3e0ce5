"""A topic of one partition as a log: read forward to its end, appended to in batches that land whole.

Used for `muster.definitions` and `muster.registry`. Groups play no part: every reader sees every message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from cohort_store.errors import Crash, Retry
from cohort_store.kafka import clients
from cohort_store.kafka.ends import end_offsets
from cohort_store.kafka.topics import MESSAGE_BYTES_MAX, REGISTRY_BYTES_MAX, BrokerUnreachable
from processors.topic_log import LogRecord

READ_DEADLINE_S = 30.0
BATCH_BYTES_MAX = MESSAGE_BYTES_MAX - 4_096
"""What one batch holds, its own header and the broker's limit considered."""

_POLL_MS = 100


class TopicReplaced(Crash):
    """The topic ends before what was read of it: it is another topic by the same name."""


class SinglePartitionLog:
    """One reader's place in the topic, and a way to append. Not for two tasks at once."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap = bootstrap
        self._partition = TopicPartition(topic, 0)
        self._consumer: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Connect, and stand before the first message. Raises Retry when the broker cannot be reached."""
        consumer = clients.partition_consumer(self._bootstrap, wait_ms=clients.TAIL_WAIT_MS)
        try:
            await consumer.start()
        except (KafkaError, OSError) as error:
            await clients.stop(consumer)
            raise BrokerUnreachable(
                f"no broker answers at {self._bootstrap} ({error!r}): is one running there?"
            ) from error
        consumer.assign([self._partition])
        await consumer.seek_to_beginning(self._partition)
        self._consumer = consumer

    async def stop(self) -> None:
        """Disconnect. Doing it twice is harmless."""
        consumer, producer = self._consumer, self._producer
        self._consumer = self._producer = None
        if consumer is not None:
            await clients.stop(consumer)
        if producer is not None:
            await producer.stop()

    async def read(self, timeout_s: float) -> list[LogRecord]:
        """What came since the last read; empty where nothing did within the time-out."""
        try:
            batches = await self._reader.getmany(self._partition, timeout_ms=int(timeout_s * 1_000))
        except KafkaError as error:
            raise BrokerUnreachable(f"{self._partition.topic} could not be read ({error!r})") from error
        return [
            LogRecord(record.offset, record.key or b"", record.value) for record in batches.get(self._partition, ())
        ]

    async def read_to_end(self) -> list[LogRecord]:
        """Everything up to the end that the topic has at the time of the call.

        Raises Retry where that cannot be had in READ_DEADLINE_S, Crash where the topic is another one.
        """
        found: list[LogRecord] = []
        try:
            async with asyncio.timeout(READ_DEADLINE_S):
                end = (await end_offsets(self._bootstrap, [self._partition]))[self._partition]
                position = await self._reader.position(self._partition)
                if end < position:
                    raise TopicReplaced(
                        f"{self._partition.topic} ends at {end} and was read to {position}: "
                        "the broker lost it, so this process must start again"
                    )
                while position < end:
                    found += await self.read(_POLL_MS / 1_000)
                    position = await self._reader.position(self._partition)
        except (KafkaError, BrokerUnreachable, TimeoutError) as error:
            problem = f"{self._partition.topic} could not be read to its end within {READ_DEADLINE_S:g} s"
            raise BrokerUnreachable(f"{problem} ({error!r}): is the broker well?") from error
        return found

    async def append(self, messages: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Append in order.

        All that fit into BATCH_BYTES_MAX are one batch, which a broker stores whole or not at all and nobody's
        messages come between; more than that are several batches in a row, and a longer message is one alone.
        Raises Retry where it is not known to be stored (then it may be, and reading tells).
        """
        producer = await self._writer()
        batch = producer.create_batch()
        try:
            for key, value in messages:
                if not _fits(batch, key, value):
                    await self._send(producer, batch)
                    batch = producer.create_batch()
                    _fits(batch, key, value)
            await self._send(producer, batch)
        except KafkaError as error:
            raise Retry(f"{self._partition.topic} could not be written ({error!r})") from error

    async def _send(self, producer: AIOKafkaProducer, batch: Any) -> None:
        if batch.record_count():
            await (await producer.send_batch(batch, self._partition.topic, partition=0))

    async def _writer(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap,
                acks="all",
                max_batch_size=BATCH_BYTES_MAX,
                max_request_size=REGISTRY_BYTES_MAX,
            )
            try:
                await producer.start()
            except (KafkaError, OSError) as error:
                await producer.stop()
                raise BrokerUnreachable(f"no broker answers at {self._bootstrap} ({error!r})") from error
            self._producer = producer
        return self._producer

    @property
    def _reader(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise ValueError(f"the log of {self._partition.topic} has not been started")
        return self._consumer


def _fits(batch: Any, key: bytes, value: bytes | None) -> bool:
    """Add the message to the batch where it has room for it; an empty one always has."""
    added: object = batch.append(key=key, value=value, timestamp=None)
    return added is not None
