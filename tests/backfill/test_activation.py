"""From where on live events count, and whether the archive holds all before: pure, and on a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from cohort_store.deltas import DeltaMessage, Mark, encode_message
from cohort_store.kafka import clients
from cohort_store.kafka.topics import DELTAS, TopicSpec, ensure_topics
from processors.kafka.activation import Marked, MarkedActivations
from processors.kafka.archived import ArchivedOffsets
from processors.router.progress import Source
from tests.control.control_process import control_settings

ONE, TWO = Source("muster.events", 0), Source("muster.events", 1)
OTHER = Source("other", 0)


def marks(version: int, **offsets: int) -> DeltaMessage:
    places = {"one": ONE, "two": TWO, "other": OTHER}
    return DeltaMessage(b"id", version, (), tuple(Mark(*places[name], 0, offset) for name, offset in offsets.items()))


@pytest.mark.parametrize(
    ("messages", "offsets"),
    [
        ([], {}),
        ([marks(6, one=5, two=6)], {}),
        ([marks(7, one=5)], {ONE: 5}),
        ([marks(7, one=5, two=6, other=9)], {ONE: 5, TWO: 6}),
        ([marks(6, one=5), marks(7, one=8), marks(8, one=9)], {ONE: 8}),
        # A router that lost the partition still tells of it, while another one is ahead with what it knew before.
        ([marks(7, one=5), marks(6, one=9)], {}),
        ([marks(7, one=5), marks(6, one=9), marks(7, one=12)], {ONE: 12}),
    ],
)
def test_the_first_mark_with_the_version_counts_unless_an_older_one_follows(
    messages: Sequence[DeltaMessage], offsets: dict[Source, int]
) -> None:
    marked = Marked(7, frozenset((ONE, TWO)))
    for message in messages:
        marked.take(message)
    assert marked.offsets == offsets
    assert marked.is_complete is (len(offsets) == 2)


async def test_marks_are_read_from_now_on_until_they_tell_of_every_source(fresh_broker: str) -> None:
    await ensure_topics(fresh_broker, [TopicSpec(DELTAS, 2), TopicSpec(ONE.topic, 2)])
    producer = clients.producer(fresh_broker)
    await producer.start()

    async def tell(message: bytes) -> None:
        await producer.send_and_wait(DELTAS, message, partition=0)

    await tell(encode_message(marks(7, one=1, two=1)))
    asked = asyncio.create_task(MarkedActivations(fresh_broker, 100).of(7, [ONE, TWO]))
    for number in range(200):
        if asked.done():
            break
        await tell(b"\x01nonsense")
        await tell(encode_message(marks(7, one=100 + number)))
        if number > 5:
            await tell(encode_message(marks(8, two=200 + number)))
        await asyncio.sleep(0.1)
    found = await asked
    await producer.stop()
    assert 100 <= found[ONE] < found[TWO] - 100
    assert await MarkedActivations(fresh_broker, 100).of(7, []) == {}


async def test_what_the_sources_hold_when_they_are_asked_about_has_to_come_from_the_history(fresh_broker: str) -> None:
    """A shard that began anew at the end of the deltas may lack it, though a mark that is told later says less."""
    await ensure_topics(fresh_broker, [TopicSpec(DELTAS, 2), TopicSpec(ONE.topic, 2)])
    async with clients.producer(fresh_broker) as producer:
        for _ in range(3):
            await producer.send_and_wait(*ONE[:1], b"event", partition=ONE.partition)
        asked = asyncio.create_task(MarkedActivations(fresh_broker, 100).of(7, [ONE, TWO]))
        while not asked.done():
            await producer.send_and_wait(DELTAS, encode_message(marks(7, one=1, two=4)), partition=0)
            await asyncio.sleep(0.1)
    assert await asked == {ONE: 3, TWO: 4}


async def test_what_the_archives_group_has_not_committed_is_missing(
    fresh_broker: str, view_url: str, tmp_path: Path
) -> None:
    settings = control_settings(fresh_broker, view_url, tmp_path)
    group = clients.group_of(settings, "archive")
    await ensure_topics(fresh_broker, [TopicSpec(ONE.topic, 2)])
    archived = ArchivedOffsets(fresh_broker, group, [ONE.topic])
    wanted = {ONE: 3, TWO: 0, OTHER: 5}
    assert await archived.missing(wanted) == {ONE: 3}
    consumer = AIOKafkaConsumer(bootstrap_servers=fresh_broker, group_id=group, enable_auto_commit=False)
    await consumer.start()
    consumer.assign([TopicPartition(*ONE)])
    for committed, missing in ((2, {ONE: 1}), (3, {}), (9, {})):
        await consumer.commit({TopicPartition(*ONE): committed})
        assert await archived.missing(wanted) == missing
    await consumer.stop()
