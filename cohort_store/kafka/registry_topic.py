"""The topic `muster.registry`, read from its beginning on: what workers and evaluators share.

It has one partition and is compacted; each message is a whole registry, and counts by the writers' rule: if it is above
all that stand before it. If another topic turns out to stand there under the same name (Kafka lost what it held), it is
read from its beginning: it ends before what was read, or the last message that was read is another one there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from time import monotonic
from zlib import crc32

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, UnknownTopicOrPartitionError

from cohort_store.errors import Retry
from cohort_store.kafka import clients
from cohort_store.kafka.ends import end_offsets
from cohort_store.kafka.topics import REGISTRY as TOPIC

KEY = b"registry"
START_DEADLINE_S = 30.0
IDLE_LOOK_MS = 1_000
VERIFY_S = 60.0
"""How often, where nothing comes, the last message is read once more; a whole registry may be long."""
SLOW_S = 0.5
"""A look that took longer, or failed: the broker was away, and may have come back with another topic."""

_PARTITION = TopicPartition(TOPIC, 0)
_log = logging.getLogger(__name__)


class RegistryTopic:
    """One reader, from `start` to `stop`."""

    def __init__(self, bootstrap: str, wait_ms: int) -> None:
        self._bootstrap = bootstrap
        self._wait_ms = wait_ms
        self._consumer: AIOKafkaConsumer | None = None
        self.position = 0
        """The offset that is read next."""
        self._last: tuple[int, int, int] | None = None
        """The message before that, by which it is known again."""
        self._is_verifying = False
        self._verify_at_s = 0.0

    async def start(self) -> None:
        """Connect. Raises Retry where the broker or the topic cannot be reached within START_DEADLINE_S."""
        consumer = clients.partition_consumer(self._bootstrap, wait_ms=self._wait_ms)
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                await consumer.start()
                await _see_topic(consumer)
                consumer.assign([_PARTITION])
                await consumer.seek_to_beginning(_PARTITION)
        except (KafkaError, TimeoutError) as error:
            await clients.stop(consumer)
            raise Retry(f"topic {TOPIC} at {self._bootstrap} cannot be read: {error or 'no answer'}") from error
        except BaseException:
            await clients.stop(consumer)
            raise
        self._consumer = consumer

    async def stop(self) -> None:
        """End. Doing it twice, or before `start`, is harmless."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await clients.stop(consumer)

    async def end(self) -> int:
        """The offset that the next message will get. Raises Retry."""
        try:
            return (await end_offsets(self._bootstrap, [_PARTITION]))[_PARTITION]
        except (KafkaError, TimeoutError) as error:
            raise Retry(f"the end of {TOPIC} cannot be looked up: {error or 'no answer'}") from error

    async def read(self) -> list[bytes]:
        """The registries that have come, oldest first; none after IDLE_LOOK_MS. Raises KafkaError or TimeoutError."""
        if self._consumer is None:
            raise ValueError("the reader has not been started")
        try:
            found = (await self._consumer.getmany(timeout_ms=IDLE_LOOK_MS)).get(_PARTITION, [])
        except OffsetOutOfRangeError:
            if self._is_verifying:
                await self._begin_anew(self._consumer, "begins behind the message")
            else:
                await self._look_behind(self._consumer)
            raise
        if not found:
            if not self._is_verifying:
                self.position = await self._consumer.position(_PARTITION)
            await self._look_behind(self._consumer)
            return []
        if self._is_verifying:
            self._is_verifying = False
            if _known_by(found[0]) != self._last:
                await self._begin_anew(self._consumer, "has another message")
                return []
            del found[0]
        if found:
            self._last = _known_by(found[-1])
        self.position = await self._consumer.position(_PARTITION)
        return [m.value for m in found if m.key == KEY and m.value is not None]

    async def _look_behind(self, consumer: AIOKafkaConsumer) -> None:
        """Begin anew where the topic ends before the position. The cheap answer may be too low, so it is confirmed."""
        asked_s, due_s, self._verify_at_s = monotonic(), self._verify_at_s, 0.0
        end = (await consumer.end_offsets([_PARTITION]))[_PARTITION]
        if monotonic() - asked_s < SLOW_S:
            self._verify_at_s = due_s
        if end < self.position and (await end_offsets(self._bootstrap, [_PARTITION]))[_PARTITION] < self.position:
            await self._begin_anew(consumer, "ends")
        elif self._last is not None and monotonic() >= self._verify_at_s:
            self._verify_at_s = monotonic() + VERIFY_S
            self._is_verifying = True
            consumer.seek(_PARTITION, self.position - 1)

    async def _begin_anew(self, consumer: AIOKafkaConsumer, what: str) -> None:
        _log.warning("registry: %s %s before offset %d; reading it from its beginning", TOPIC, what, self.position)
        self.position, self._last, self._is_verifying = 0, None, False
        await consumer.seek_to_beginning(_PARTITION)


def _known_by(message: ConsumerRecord) -> tuple[int, int, int]:
    """What no other message has at its offset: that, its time, and what is in it."""
    return message.offset, message.timestamp, crc32(message.value or b"")


async def _see_topic(consumer: AIOKafkaConsumer) -> None:
    """Raise where the topic is not there. All are asked for: a broker may create the one that it is asked about."""
    if TOPIC not in await consumer.topics():
        raise UnknownTopicOrPartitionError("it is not there yet, and muster control creates it")


class _Heading(msgspec.Struct):
    """All that is decoded of a registry in order to pass it over."""

    version: int = 0


def newest(values: Sequence[bytes], above: int) -> bytes | None:
    """The newest registry above that version; msgspec.MsgspecError for bytes that are none.

    The last message need not be the newest: a second writer that was overtaken leaves a void one.
    """
    found = None
    for value in values:
        version = version_of(value)
        if version > above:
            found, above = value, version
    return found


def version_of(raw: bytes) -> int:
    """The version of an encoded registry; msgspec.MsgspecError for bytes that are none."""
    return msgspec.json.decode(raw, type=_Heading).version
