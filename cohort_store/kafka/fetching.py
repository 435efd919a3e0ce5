"""How consumers in groups fetch: two changes to aiokafka's fetcher, each to a thing that it leaves to chance or copies.

**Turns.** Of several partitions with messages a broker may answer with the first few of the question, and aiokafka
shuffles its question each time: among eight one comes last for thirty fetches in a row once in a while, and owners'
time is that of the partition read least far. Here the one that was answered longest ago is asked for first.

**Parsed records.** aiokafka copies each record into a ConsumerRecord, which takes a quarter of what a fetch costs and
adds topic and partition, which every caller of `getmany` has anyway. A consumer with as_parsed for its key deserializer
is given records as the parser makes them: offset, timestamp, key, value and headers.

A version of aiokafka that does not shuffle, or calls the hook no more, works without either; one that has no class
PartitionRecords fails here, on import.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher

_turns = count(1)
_answered: dict[TopicPartition, int] = {}
"""Partition → the turn at which one of this process's consumers was last given messages of it."""


def as_parsed(key: bytes) -> bytes:
    """Marks a consumer; as a key deserializer it does nothing."""
    return key


class _PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """One partition's part of an answer."""

    def __init__(self, partition: TopicPartition, *arguments: Any) -> None:
        super().__init__(partition, *arguments)
        _answered[partition] = next(_turns)

    def _consumer_record(self, partition: TopicPartition, record: Any) -> Any:
        if self._key_deserializer is as_parsed:
            return record
        return super()._consumer_record(partition, record)


class _InTurn:
    """What the fetcher takes for the module `random`."""

    @staticmethod
    def shuffle(asked: list[tuple[TopicPartition, int]]) -> None:
        """Put the (partition, position) pairs of a question in order."""
        asked.sort(key=lambda each: _answered.get(each[0], 0))


def enable() -> None:
    """Let the consumers of this process fetch so. Doing it twice is harmless."""
    fetcher.PartitionRecords = _PartitionRecords
    fetcher.random = _InTurn
