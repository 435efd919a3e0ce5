"""Where control sends static lists and seeds: see ``processors.backfill.ports.DeltaLog``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from cohort_store.errors import Retry
from cohort_store.kafka.ends import end_offsets
from cohort_store.kafka.topics import DELTAS
from processors.router.packing import Packed


class KafkaDeltaLog:
    """`muster.deltas`, over a producer that its caller starts and stops."""

    def __init__(self, bootstrap: str, producer: AIOKafkaProducer) -> None:
        self._bootstrap = bootstrap
        self._producer = producer

    async def send(self, messages: Sequence[Packed]) -> dict[int, int]:
        """By partition, the offset behind the messages, once all are acknowledged."""
        behind: dict[int, int] = {}
        try:
            sent = [
                await self._producer.send(DELTAS, message.value, partition=message.partition) for message in messages
            ]
            for written in await asyncio.gather(*sent):
                behind[written.partition] = max(behind.get(written.partition, 0), written.offset + 1)
        except KafkaError as error:
            raise Retry(f"{len(messages)} messages could not be written to {DELTAS}: {error!r}") from error
        return behind

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """By partition, the offset of its next message."""
        return await ends_of_deltas(self._bootstrap, partitions)


async def ends_of_deltas(bootstrap: str, partitions: Iterable[int]) -> dict[int, int]:
    """By partition of `muster.deltas`, the offset of its next message. Raises Retry."""
    try:
        ends = await end_offsets(bootstrap, [TopicPartition(DELTAS, number) for number in partitions])
    except (KafkaError, OSError, TimeoutError) as error:
        raise Retry(f"the ends of {DELTAS} cannot be looked up ({error!r})") from error
    return {partition.partition: end for partition, end in ends.items()}
