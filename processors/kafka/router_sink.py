"""The router's sink over aiokafka, see ``processors.router.ports.DeltaSink``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from cohort_store.errors import Retry
from cohort_store.kafka.topics import DELTAS
from processors.router.packing import Packed


class KafkaDeltaSink:
    """`muster.deltas`, over a producer that its caller starts and stops."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def send(self, messages: Sequence[Packed]) -> None:
        """Return when all are acknowledged."""
        try:
            acknowledgements = [
                await self._producer.send(DELTAS, message.value, partition=message.partition) for message in messages
            ]
            await asyncio.gather(*acknowledgements)
        except KafkaError as error:
            raise Retry(f"{len(messages)} messages could not be written to {DELTAS}: {error!r}") from error
