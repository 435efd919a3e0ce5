"""The floor of ingest: aiokafka's `getmany` with a typed decode of five fields, and nothing else.

Usage: python -m benchmarks.floor BOOTSTRAP TOPIC PARTITIONS EVENTS; prints the seconds and CPU seconds that they took.
"""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition


class _Event(msgspec.Struct):
    uuid: str
    event: str
    timestamp: str
    team_id: int
    person_id: str


async def _consume(bootstrap: str, topic: str, partition_count: int, events: int) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    partitions = [TopicPartition(topic, number) for number in range(partition_count)]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    decode = msgspec.json.Decoder(_Event).decode
    seen = 0
    began, began_cpu = time.perf_counter(), time.process_time()
    while seen < events:
        for messages in (await consumer.getmany(timeout_ms=200)).values():
            for message in messages:
                decode(message.value)
            seen += len(messages)
    print(time.perf_counter() - began, time.process_time() - began_cpu)
    await consumer.stop()


if __name__ == "__main__":
    asyncio.run(_consume(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
