"""Where partitions end, asked so that every broker answers the truth.

Apache Kafka's answer to a request for the latest offset is the end. Tansu's is one more than the first offset of
the last batch: too low by what else the batch held. The high-water mark that comes with a fetch is right on both,
so it is fetched at the listed offset, which is never beyond the end.
"""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from cohort_store.kafka.clients import stop

DEADLINE_S = 30.0
_FETCH_WAIT_MS = 20


async def end_offsets(
    bootstrap: str, partitions: Collection[TopicPartition], *, connection: Mapping[str, Any] | None = None
) -> dict[TopicPartition, int]:
    """The offset that the next message of each partition will get. TimeoutError after DEADLINE_S."""
    if not partitions:
        return {}
    reader = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=_FETCH_WAIT_MS,
        max_partition_fetch_bytes=1,
        **(connection or {}),
    )
    async with asyncio.timeout(DEADLINE_S):
        try:
            await reader.start()
            return await _high_waters(reader, partitions)
        finally:
            await stop(reader)


async def _high_waters(reader: AIOKafkaConsumer, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
    reader.assign(list(partitions))
    for partition, offset in (await reader.end_offsets(list(partitions))).items():
        reader.seek(partition, offset)
    marks: dict[TopicPartition, int] = {}
    while len(marks) < len(partitions):
        await reader.getmany(timeout_ms=_FETCH_WAIT_MS)
        for partition in partitions:
            if (mark := reader.highwater(partition)) is not None:
                marks.setdefault(partition, mark)
    return marks
