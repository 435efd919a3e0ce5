"""Publishing changes into `muster.membership-changes`, fenced by a transactional id for each partition.

Claiming a partition starts a producer with its transactional id: the broker then refuses every other producer of
that id, and aborts what it has not committed. A broker without transactions (the embedded one, where one process
tree has one owner) answers UnknownError; there, one ordinary producer serves all partitions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, UnknownError
from aiokafka.producer.message_accumulator import BatchBuilder

from cohort_store.changes import decode_change
from cohort_store.errors import Retry
from cohort_store.kafka import clients
from cohort_store.kafka.topics import MEMBERSHIP_CHANGES
from processors.membership.relay import Displaced

_log = logging.getLogger(__name__)
_sender_log = logging.getLogger("aiokafka.producer.sender")


class ChangePublisher:
    """See `processors.membership.relay.Publisher`. `ordinary` is started and stopped by the caller."""

    def __init__(self, bootstrap: str, group_prefix: str, ordinary: AIOKafkaProducer) -> None:
        self._bootstrap = bootstrap
        self._group_prefix = group_prefix
        self._ordinary = ordinary
        self._claimed: dict[int, AIOKafkaProducer | None] = {}
        """None where the broker knows no transactions."""

    async def stop(self) -> None:
        """Give up every claim."""
        for partition in list(self._claimed):
            await self._give_up(partition)

    async def claim(self, partition: int) -> None:
        await self._give_up(partition)
        name = f"{self._group_prefix}-membership-changes-{partition}"
        producer = clients.transactional_producer(self._bootstrap, name)
        try:
            with _unheard_errors():
                await producer.start()
        except UnknownError:
            await producer.stop()
            _log.info("membership: the broker knows no transactions; partition %d is published without", partition)
            self._claimed[partition] = None
        except (KafkaError, TimeoutError) as error:
            await producer.stop()
            raise Retry(f"{MEMBERSHIP_CHANGES}/{partition} cannot be claimed: {error!r}") from error
        else:
            self._claimed[partition] = producer

    async def publish(self, partition: int, changes: Sequence[bytes]) -> int:
        if partition not in self._claimed:
            raise Displaced(f"{MEMBERSHIP_CHANGES}/{partition} is not claimed")
        producer = self._claimed[partition]
        try:
            if producer is None:
                return await _send(self._ordinary, partition, changes)
            async with producer.transaction():
                return await _send(producer, partition, changes)
        except (KafkaError, TimeoutError) as error:
            problem = f"{len(changes)} changes could not be published to {MEMBERSHIP_CHANGES}/{partition}: {error!r}"
            if producer is None:
                raise Retry(problem) from error
            await self._give_up(partition)
            raise Displaced(problem) from error

    async def _give_up(self, partition: int) -> None:
        producer = self._claimed.pop(partition, None)
        if producer is not None:
            await producer.stop()


@contextmanager
def _unheard_errors() -> Iterator[None]:
    """aiokafka reports as an error what is an answer here: that the broker knows no transactions."""
    level = _sender_log.level
    _sender_log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        _sender_log.setLevel(level)


async def _send(producer: AIOKafkaProducer, partition: int, changes: Sequence[bytes]) -> int:
    """Return the offset behind the last, once all are acknowledged.

    Whole batches are sent, since a message handed over alone costs the producer ten times as much.
    """
    batches = list(_batches(producer, changes))
    sent = [await producer.send_batch(batch, MEMBERSHIP_CHANGES, partition=partition) for batch in batches]
    behind = 0
    for batch, told in zip(batches, await asyncio.gather(*sent, return_exceptions=True), strict=True):
        if isinstance(told, BaseException):
            raise told
        behind = max(behind, told.offset + batch.record_count())
    return behind


def _batches(producer: AIOKafkaProducer, changes: Sequence[bytes]) -> Iterator[BatchBuilder]:
    """The changes in order, as many to a batch as it takes: a change is a small part of one."""
    batch = producer.create_batch()
    for change in changes:
        key = _key(change)
        if batch.append(key=key, value=change, timestamp=None) is None:
            yield batch
            batch = producer.create_batch()
            batch.append(key=key, value=change, timestamp=None)
    if batch.record_count():
        batch.close()
        yield batch


def _key(change: bytes) -> bytes:
    told = decode_change(change)
    return f"{told.team_id}:{told.kind}:{told.person_id}".encode()
