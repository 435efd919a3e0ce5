"""Records as aiokafka's parser makes them: offset, timestamp, key, value and headers, and no copy of them.

aiokafka copies each record into a ConsumerRecord, which takes a quarter of what a fetch costs and adds topic and
partition, which every caller of `getmany` has anyway. A consumer with as_parsed for its key deserializer goes without.
A version of aiokafka that calls the hook no more makes ConsumerRecords, which have the same attributes; one that has no
class PartitionRecords fails here, on import.
"""

from __future__ import annotations

from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher


def as_parsed(key: bytes) -> bytes:
    """Marks a consumer; as a key deserializer it does nothing."""
    return key


class _PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    def _consumer_record(self, partition: TopicPartition, record: Any) -> Any:
        if self._key_deserializer is as_parsed:
            return record
        return super()._consumer_record(partition, record)


def enable() -> None:
    """Let consumers of this process that are marked have it. Doing it twice is harmless."""
    fetcher.PartitionRecords = _PartitionRecords
