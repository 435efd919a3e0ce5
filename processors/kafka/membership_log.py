"""Looking back into the log: the bounds of partitions, single messages, and the changes that were published."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from cohort_store.changes import Change, decode_change, subject_of
from cohort_store.deltas import decode_message
from cohort_store.errors import Reject, Retry
from cohort_store.kafka import clients
from cohort_store.kafka.ends import end_offsets
from cohort_store.kafka.topics import DELTAS, MEMBERSHIP_CHANGES
from cohort_store.subjects import Subject
from processors.membership.resume import UNREADABLE_ID, Bounds

READ_DEADLINE_S = 10.0
"""How long a read may come no further."""
FETCH_TIMEOUT_MS = 200


class MembershipLog:
    """Reads single messages and whole tails, apart from the consumer group. Raises Retry for a broken connection."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    async def bounds(self, partitions: Sequence[int]) -> dict[int, Bounds]:
        """The bounds of partitions of muster.deltas."""
        wanted = [TopicPartition(DELTAS, number) for number in partitions]
        try:
            async with self._reader() as reader:
                beginnings = await reader.beginning_offsets(wanted)
            ends = await end_offsets(self._bootstrap, wanted)
        except (KafkaError, TimeoutError) as error:
            raise Retry(f"the bounds of {DELTAS} cannot be looked up: {error!r}") from error
        return {tp.partition: Bounds(beginnings[tp], ends[tp]) for tp in wanted}

    async def message_ids(self, offsets: Mapping[int, int]) -> dict[int, bytes | None]:
        """The id of the delta message at each partition's offset, which lies within the partition's bounds.

        UNREADABLE_ID where it is none, None where the log holds nothing at that very offset.
        """
        places = {TopicPartition(DELTAS, number): offset for number, offset in offsets.items()}
        found: dict[TopicPartition, ConsumerRecord] = {}
        try:
            async with self._reader() as reader, asyncio.timeout(READ_DEADLINE_S):
                reader.assign(list(places))
                for tp, offset in places.items():
                    reader.seek(tp, offset)
                while len(found) < len(places):
                    for tp, messages in (await reader.getmany(timeout_ms=FETCH_TIMEOUT_MS)).items():
                        found.setdefault(tp, messages[0])
        except (KafkaError, TimeoutError) as error:
            raise Retry(f"the messages of {DELTAS} at {dict(offsets)} cannot be read: {error!r}") from error
        return {tp.partition: _id_at(offset, found[tp]) for tp, offset in places.items()}

    async def changes(self, partition: int, offset: int) -> tuple[list[Change], int]:
        """The changes published from an offset on, of each (cohort, subject) the last, and the offset behind all.

        Starts later where those are gone. Changes of aborted transactions are among them, since a consumer that
        reads uncommitted ones has taken them in.
        """
        tp = TopicPartition(MEMBERSHIP_CHANGES, partition)
        try:
            end = (await end_offsets(self._bootstrap, [tp]))[tp]
            async with self._reader("read_uncommitted") as reader:
                beginning = (await reader.beginning_offsets([tp]))[tp]
                start = max(offset if offset <= end else 0, beginning)
                return await _read_changes(reader, tp, start, end), end
        except (KafkaError, TimeoutError) as error:
            raise Retry(f"{MEMBERSHIP_CHANGES}/{partition} cannot be read from {offset}: {error!r}") from error

    def _reader(self, isolation: str = "read_committed") -> _Reader:
        return _Reader(clients.partition_consumer(self._bootstrap, isolation=isolation))


class _Reader:
    """A started consumer for the length of a block."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def __aenter__(self) -> AIOKafkaConsumer:
        try:
            await self._consumer.start()
        except BaseException:
            await clients.stop(self._consumer)
            raise
        return self._consumer

    async def __aexit__(self, *error: object) -> None:
        await clients.stop(self._consumer)


def _id_at(offset: int, message: ConsumerRecord) -> bytes | None:
    try:
        return decode_message(message.value).id if message.offset == offset else None
    except Reject:
        return UNREADABLE_ID


async def _read_changes(reader: AIOKafkaConsumer, tp: TopicPartition, start: int, end: int) -> list[Change]:
    """Of each (cohort, subject) the change with the highest sequence: so memory holds no more than the memberships."""
    last: dict[tuple[int, int, Subject], Change] = {}
    reader.assign([tp])
    reader.seek(tp, start)
    while (position := await reader.position(tp)) < end:
        async with asyncio.timeout(READ_DEADLINE_S):
            while await reader.position(tp) == position:
                for messages in (await reader.getmany(timeout_ms=FETCH_TIMEOUT_MS)).values():
                    _keep_last(last, messages)
    return list(last.values())


def _keep_last(last: dict[tuple[int, int, Subject], Change], messages: Sequence[ConsumerRecord]) -> None:
    for message in messages:
        try:
            change = decode_change(message.value)
        except msgspec.MsgspecError:
            continue
        key = (change.shard, change.cohort_id, subject_of(change))
        if key not in last or last[key].sequence < change.sequence:
            last[key] = change
