"""Where control sends static lists: see ``processors.control.filling.DeltaLog``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from cohort_store.errors import Retry
from processors.kafka.topics import DELTAS
from processors.router.packing import Packed


class KafkaDeltaLog:
    """`muster.deltas`, over a producer that its caller starts and stops."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
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
