"""Changes of membership out of `muster.membership-changes`, followed without a group: every evaluator reads all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from time import monotonic

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from cohort_store.changes import Change, decode_change
from cohort_store.errors import Retry
from cohort_store.kafka import clients
from cohort_store.kafka.ends import end_offsets
from cohort_store.kafka.topics import MEMBERSHIP_CHANGES as TOPIC

ATTACH_DEADLINE_S = 15.0
LOOK_DEADLINE_S = 3.0
"""A broker that does not say within this where the topic ends is away."""
IDLE_LOOK_MS = 1_000
"""While nothing comes the broker is asked this often whether it is there: a fetch that fails says nothing."""
BATCH_MAX = 2_000

logger = logging.getLogger(__name__)


class KafkaChanges:
    """See ChangeFeed. A message that is no change is logged and passed over."""

    def __init__(self, bootstrap: str, partitions: int) -> None:
        self._bootstrap = bootstrap
        self._partitions = [TopicPartition(TOPIC, number) for number in range(partitions)]
        self._consumer: AIOKafkaConsumer | None = None
        self._looked_at = 0.0

    async def attach(self) -> None:
        await self.detach()
        consumer = clients.partition_consumer(self._bootstrap)
        try:
            async with asyncio.timeout(ATTACH_DEADLINE_S):
                await consumer.start()
                consumer.assign(self._partitions)
                for partition, offset in (await end_offsets(self._bootstrap, self._partitions)).items():
                    consumer.seek(partition, offset)
        except (KafkaError, OSError, TimeoutError) as error:
            await clients.stop(consumer)
            raise self._away(error) from error
        except BaseException:
            await clients.stop(consumer)
            raise
        self._consumer = consumer
        self._looked_at = monotonic()

    async def batch(self) -> Sequence[Change]:
        if self._consumer is None:
            raise Retry(f"{TOPIC} is not being read; attach first")
        try:
            found = await self._consumer.getmany(timeout_ms=IDLE_LOOK_MS, max_records=BATCH_MAX)
            if not found and monotonic() - self._looked_at >= IDLE_LOOK_MS / 1_000:
                await self._look(self._consumer)
        except (KafkaError, OSError, TimeoutError) as error:
            raise self._away(error) from error
        return [change for messages in found.values() for message in messages if (change := _change(message.value))]

    async def detach(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await clients.stop(consumer)

    async def _look(self, consumer: AIOKafkaConsumer) -> None:
        """Raise where the broker is away, or where the topic ends before what was read of it: then it began anew."""
        # Not by asyncio.timeout: aiokafka goes on trying where it is cancelled at some moments.
        looking = asyncio.ensure_future(self._behind(consumer))
        try:
            done, _ = await asyncio.wait([looking], timeout=LOOK_DEADLINE_S)
        finally:
            looking.cancel()
        if not done:
            raise TimeoutError
        behind = looking.result()
        if behind:
            raise Retry(f"{TOPIC}/{behind[0].partition} ends before what was read of it; it is read from its end anew")
        self._looked_at = monotonic()

    async def _behind(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        """The partitions that end before what was read of them. The cheap answer may be too low, so it is confirmed."""
        ends = await consumer.end_offsets(self._partitions)
        behind = [each for each in self._partitions if ends[each] < await consumer.position(each)]
        if behind:
            ends = await end_offsets(self._bootstrap, behind)
        return [each for each in behind if ends[each] < await consumer.position(each)]

    def _away(self, error: BaseException) -> Retry:
        return Retry(f"{TOPIC} at {self._bootstrap} cannot be read: {str(error) or 'no answer in time'}")


def _change(raw: bytes | None) -> Change | None:
    try:
        return None if raw is None else decode_change(raw)
    except msgspec.MsgspecError as error:
        logger.warning("%s holds a message that is no change: %s", TOPIC, error)
        return None
