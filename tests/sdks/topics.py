"""What a topic holds, read from its beginning to its end."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from cohort_store.kafka.ends import end_offsets

DEADLINE_S = 30.0


async def messages_of(bootstrap: str, topic: str) -> list[Any]:
    """Every message of it, in order within each partition."""
    async with asyncio.timeout(DEADLINE_S):
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
        await consumer.start()
        try:
            numbers = consumer.partitions_for_topic(topic) or await _partitions(consumer, topic)
            partitions = [TopicPartition(topic, number) for number in numbers]
            ends = await end_offsets(bootstrap, partitions)
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            found: list[Any] = []
            while any([await consumer.position(each) < ends[each] for each in partitions]):
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found += records
            return found
        finally:
            await consumer.stop()


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client.set_topics([topic])
    numbers: set[int] = consumer.partitions_for_topic(topic) or set()
    return numbers
