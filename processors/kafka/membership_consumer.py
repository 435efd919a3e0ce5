"""The membership worker's consumer of `muster.deltas`, over aiokafka."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError

from cohort_store.errors import Retry
from cohort_store.kafka import clients
from cohort_store.kafka.topics import DELTAS
from cohort_store.settings import Settings
from processors.membership.worker import Fetched

FETCH_TIMEOUT_MS = 20
MESSAGES_MAX = 500
ACKNOWLEDGE_S = 1.0
ACKNOWLEDGE_DEADLINE_S = 1.0
"""How long folding waits for the group to take offsets that only lag tools read."""

_log = logging.getLogger(__name__)


class Assignable(Protocol):
    """Who is told what the group decides."""

    async def assign(self, partitions: Collection[int]) -> None: ...

    async def revoke(self, partitions: Collection[int]) -> None: ...


class DeltasConsumer:
    """See `processors.membership.worker.Deltas`."""

    def __init__(self, settings: Settings) -> None:
        self._consumer: AIOKafkaConsumer = clients.group_consumer(settings, "membership")
        self._acknowledged: dict[int, int] = {}
        self._acknowledge_at = 0.0

    async def start(self, told: Assignable) -> None:
        """Join the group; `told` hears of every assignment from here on."""
        self._consumer.subscribe([DELTAS], listener=_Listener(told))
        await self._consumer.start()

    async def stop(self) -> None:
        """Leave the group."""
        await clients.stop(self._consumer)

    async def fetch(self) -> Sequence[Fetched]:
        try:
            found = await self._consumer.getmany(timeout_ms=FETCH_TIMEOUT_MS, max_records=MESSAGES_MAX)
        except KafkaError as error:
            raise Retry(f"{DELTAS} cannot be read: {error!r}") from error
        return [
            Fetched(tp.partition, message.offset, message.timestamp, message.value)
            for tp, messages in found.items()
            for message in messages
        ]

    def seek(self, partition: int, offset: int) -> None:
        tp = TopicPartition(DELTAS, partition)
        if tp in self._consumer.assignment():
            self._consumer.seek(tp, offset)

    def pause(self, partitions: Collection[int]) -> None:
        paused = self._consumer.paused()
        wanted = {tp for tp in self._consumer.assignment() if tp.partition in partitions}
        if paused - wanted:
            self._consumer.resume(*(paused - wanted))
        if wanted - paused:
            self._consumer.pause(*(wanted - paused))

    async def acknowledge(self, offsets: Mapping[int, int]) -> None:
        now = asyncio.get_running_loop().time()
        assigned = {tp.partition for tp in self._consumer.assignment()}
        fresh = {n: o for n, o in offsets.items() if n in assigned and self._acknowledged.get(n) != o}
        if not fresh or now < self._acknowledge_at:
            return
        self._acknowledge_at = now + ACKNOWLEDGE_S
        try:
            async with asyncio.timeout(ACKNOWLEDGE_DEADLINE_S):
                await self._consumer.commit({TopicPartition(DELTAS, n): offset for n, offset in fresh.items()})
            self._acknowledged.update(fresh)
        except (KafkaError, TimeoutError) as error:
            _log.info("membership: the group did not take the offsets, which only lag tools read: %s", error)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, told: Assignable) -> None:
        self._told = told

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        await self._told.revoke([tp.partition for tp in revoked])

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        await self._told.assign([tp.partition for tp in assigned])
