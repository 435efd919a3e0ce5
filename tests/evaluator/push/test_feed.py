"""Changes of membership: the topic and its in-memory twin keep the same promises."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from cohort_store.changes import Change, encode_change
from cohort_store.errors import Retry
from cohort_store.kafka import clients
from cohort_store.kafka.topics import MEMBERSHIP_CHANGES, ensure_topics, muster_topics
from evaluator.kafka.changes import KafkaChanges
from evaluator.push.feed import ChangeFeed, RememberedFeed
from processors.embedded.broker import EmbeddedBroker
from processors.embedded.child import choose_port

PARTITIONS = 2
DEADLINE_S = 60.0


@dataclass
class Topic:
    """A feed, and how changes get into it."""

    feed: ChangeFeed
    publish: Callable[[Change], Awaitable[None]]


def change(person: str, sequence: int = 1, shard: int = 0, status: str = "entered") -> Change:
    return Change(person, 1, 7, status, "2026-01-12 12:00:00.000000", "buyers", 1, "event", shard, sequence)


async def _into_memory(feed: RememberedFeed, told: Change) -> None:
    feed.publish(told)


@pytest.fixture(params=["memory", "kafka"])
async def topic(request: pytest.FixtureRequest) -> AsyncIterator[Topic]:
    if request.param == "memory":
        remembered = RememberedFeed()
        yield Topic(remembered, lambda told: _into_memory(remembered, told))
        return
    bootstrap: str = request.getfixturevalue("fresh_broker")
    await ensure_topics(bootstrap, muster_topics(PARTITIONS))
    feed = KafkaChanges(bootstrap, PARTITIONS)
    async with clients.producer(bootstrap) as producer:
        yield Topic(feed, lambda told: _into_kafka(producer, told))
    await feed.detach()


async def _into_kafka(producer: AIOKafkaProducer, told: Change) -> None:
    await producer.send_and_wait(MEMBERSHIP_CHANGES, encode_change(told), partition=told.shard % PARTITIONS)


async def _until_told(feed: ChangeFeed, count: int) -> list[Change]:
    found: list[Change] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < count:
            found += await feed.batch()
    return found


async def test_nothing_is_told_before_it_is_attached_to(topic: Topic) -> None:
    with pytest.raises(Retry):
        await topic.feed.batch()


async def test_what_came_before_attaching_is_not_told_and_what_comes_after_is(topic: Topic) -> None:
    await topic.publish(change("before"))
    await topic.feed.attach()
    for number in range(3):
        await topic.publish(change(f"after-{number}", shard=number))
    found = await _until_told(topic.feed, 3)
    assert {each.person_id for each in found} == {"after-0", "after-1", "after-2"}


async def test_changes_of_one_shard_come_in_their_order(topic: Topic) -> None:
    await topic.feed.attach()
    for number in range(20):
        await topic.publish(change("ada", number))
    assert [each.sequence for each in await _until_told(topic.feed, 20)] == list(range(20))


async def test_attaching_again_begins_at_the_end_of_then(topic: Topic) -> None:
    await topic.feed.attach()
    await topic.feed.detach()
    await topic.publish(change("meanwhile"))
    await topic.feed.attach()
    await topic.publish(change("after"))
    assert [each.person_id for each in await _until_told(topic.feed, 1)] == ["after"]
    await topic.feed.detach()
    await topic.feed.detach()


async def test_a_broker_that_is_not_there_is_a_reason_to_try_again() -> None:
    with pytest.raises(Retry, match=r"muster\.membership-changes at 127\.0\.0\.1:1"):
        await KafkaChanges("127.0.0.1:1", PARTITIONS).attach()


@pytest.mark.slow
async def test_a_broker_that_goes_away_is_noticed_while_nothing_comes_and_found_again(tmp_path: Path) -> None:
    port = choose_port(None)
    with EmbeddedBroker(tmp_path / "first", port=port) as broker:
        await ensure_topics(broker.bootstrap, muster_topics(PARTITIONS))
        feed = KafkaChanges(broker.bootstrap, PARTITIONS)
        await feed.attach()
    with pytest.raises(Retry):
        await _until_told(feed, 1)
    with EmbeddedBroker(tmp_path / "second", port=port) as broker:
        await ensure_topics(broker.bootstrap, muster_topics(PARTITIONS))
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with suppress(Retry):
                    await feed.attach()
                    break
        async with clients.producer(broker.bootstrap) as producer:
            await _into_kafka(producer, change("ada"))
        assert [each.person_id for each in await _until_told(feed, 1)] == ["ada"]
        await feed.detach()


async def test_a_message_that_is_no_change_is_passed_over(fresh_broker: str) -> None:
    await ensure_topics(fresh_broker, muster_topics(PARTITIONS))
    feed = KafkaChanges(fresh_broker, PARTITIONS)
    await feed.attach()
    async with clients.producer(fresh_broker) as producer:
        await producer.send_and_wait(MEMBERSHIP_CHANGES, b"not ours", partition=0)
        await _into_kafka(producer, change("ada"))
    assert [each.person_id for each in await _until_told(feed, 1)] == ["ada"]
    await feed.detach()
