"""What membership asks of a real broker: ids and bounds, changes that were published, and claims upon partitions."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition

from cohort_store.changes import Change, encode_change
from cohort_store.deltas import DeltaMessage, encode_message
from cohort_store.kafka import clients
from cohort_store.kafka.topics import DELTAS, MEMBERSHIP_CHANGES, ensure_topics, muster_topics
from cohort_store.settings import Settings
from processors.embedded.broker import EmbeddedBroker
from processors.kafka.change_publisher import ChangePublisher
from processors.kafka.membership_consumer import ACKNOWLEDGE_DEADLINE_S, DeltasConsumer
from processors.kafka.membership_log import MembershipLog
from processors.membership.relay import Displaced
from processors.membership.resume import UNREADABLE_ID, Bounds

RETRY_BACKOFF_S = 0.1
"""How long aiokafka waits before it tries a fetch again."""
HAS_TRANSACTIONS = os.environ.get("MUSTER_TEST_KAFKA", "embedded") == "apache"


@pytest.fixture
async def producer(fresh_broker: str) -> AsyncIterator[AIOKafkaProducer]:
    await ensure_topics(fresh_broker, muster_topics(2))
    async with clients.producer(fresh_broker) as producer:
        yield producer


def _change(person: str, sequence: int, status: str = "entered") -> Change:
    return Change(person, 1, 7, status, "2026-01-12 12:00:00.000000", "buyers", 1, "event", 0, sequence)


def _encoded(*changes: Change) -> list[bytes]:
    return [encode_change(change) for change in changes]


async def test_bounds_and_ids_are_those_of_the_messages_in_each_partition(
    fresh_broker: str, producer: AIOKafkaProducer
) -> None:
    log = MembershipLog(fresh_broker)
    assert await log.bounds([0, 1]) == {0: Bounds(0, 0), 1: Bounds(0, 0)}
    for number in range(3):
        await producer.send_and_wait(DELTAS, encode_message(DeltaMessage(b"id-%d" % number, 1)), partition=0)
    await producer.send_and_wait(DELTAS, b"not ours", partition=1)
    assert await log.bounds([0, 1]) == {0: Bounds(0, 3), 1: Bounds(0, 1)}
    assert await log.message_ids({0: 1, 1: 0}) == {0: b"id-1", 1: UNREADABLE_ID}


async def test_of_the_changes_that_were_published_the_last_of_each_subject_is_told(
    fresh_broker: str, producer: AIOKafkaProducer
) -> None:
    publisher = ChangePublisher(fresh_broker, "test", producer)
    await publisher.claim(0)
    first = await publisher.publish(0, _encoded(_change("ada", 1), _change("bea", 2)))
    second = await publisher.publish(0, _encoded(_change("ada", 3, "left")))
    assert 2 <= first < second
    log = MembershipLog(fresh_broker)
    changes, behind = await log.changes(0, 0)
    assert {(change.person_id, change.sequence) for change in changes} == {("ada", 3), ("bea", 2)}
    assert behind >= second
    changes, _ = await log.changes(0, first)
    assert [change.person_id for change in changes] == ["ada"]
    assert await log.changes(0, behind) == ([], behind)
    assert await log.changes(1, 5) == ([], 0), "an offset beyond the end belongs to another topic"
    await publisher.stop()


async def test_changes_of_many_batches_are_read_in_their_order(fresh_broker: str, producer: AIOKafkaProducer) -> None:
    publisher = ChangePublisher(fresh_broker, "test", producer)
    await publisher.claim(0)
    told = _encoded(*(_change(f"person-{number}", number) for number in range(1, 3_001)))
    assert sum(map(len, told)) > 2 * clients.BATCH_BYTES_MAX, "they take several batches"
    behind = await publisher.publish(0, told)
    changes, read = await MembershipLog(fresh_broker).changes(0, 0)
    assert [change.sequence for change in changes] == list(range(1, 3_001))
    assert behind <= read <= behind + 1, "but for the marker of a transaction's end"
    await publisher.stop()


async def test_a_group_members_messages_are_not_copied_and_others_are(
    fresh_broker: str, producer: AIOKafkaProducer
) -> None:
    await producer.send_and_wait(DELTAS, b"value", key=b"key", partition=0, timestamp_ms=1_700_000_000_000)
    member = clients.group_consumer(Settings(kafka=fresh_broker), "test")
    for consumer, is_copied in ((member, False), (clients.partition_consumer(fresh_broker), True)):
        await consumer.start()
        consumer.assign([TopicPartition(DELTAS, 0)])
        await consumer.seek_to_beginning()
        message = await consumer.getone()
        assert isinstance(message, ConsumerRecord) is is_copied
        assert (message.offset, message.timestamp, message.key) == (0, 1_700_000_000_000, b"key")
        assert message.value == b"value"
        await clients.stop(consumer)


async def test_nothing_can_be_published_to_a_partition_that_was_not_claimed(
    fresh_broker: str, producer: AIOKafkaProducer
) -> None:
    publisher = ChangePublisher(fresh_broker, "test", producer)
    with pytest.raises(Displaced):
        await publisher.publish(0, _encoded(_change("ada", 1)))


@pytest.mark.skipif(not HAS_TRANSACTIONS, reason="the embedded broker knows no transactions")
async def test_whoever_claims_a_partition_shuts_the_one_before_out(
    fresh_broker: str, producer: AIOKafkaProducer
) -> None:
    old, new = (ChangePublisher(fresh_broker, "test", producer) for _ in range(2))
    await old.claim(0)
    await old.publish(0, _encoded(_change("ada", 1)))
    await new.claim(0)
    with pytest.raises(Displaced):
        await old.publish(0, _encoded(_change("ada", 2)))
    behind = await new.publish(0, _encoded(_change("ada", 3)))
    changes, _ = await MembershipLog(fresh_broker).changes(0, 0)
    assert [change.sequence for change in changes] == [3]
    await old.claim(0)
    assert await old.publish(0, _encoded(_change("ada", 4))) > behind
    await old.stop()
    await new.stop()


@pytest.mark.skipif(not HAS_TRANSACTIONS, reason="the embedded broker knows no transactions")
async def test_a_change_of_a_transaction_that_a_claim_aborts_counts_as_told(
    fresh_broker: str, producer: AIOKafkaProducer
) -> None:
    dying = clients.transactional_producer(fresh_broker, "test-membership-changes-0")
    await dying.start()
    await dying.begin_transaction()
    await dying.send_and_wait(MEMBERSHIP_CHANGES, _encoded(_change("ada", 1))[0], partition=0)
    publisher = ChangePublisher(fresh_broker, "test", producer)
    await publisher.claim(0)
    changes, behind = await MembershipLog(fresh_broker).changes(0, 0)
    assert [change.sequence for change in changes] == [1], "a consumer that reads uncommitted ones has it"
    assert await publisher.publish(0, _encoded(_change("ada", 2))) > behind - 1
    await publisher.stop()
    await dying.stop()


async def test_stopping_a_consumer_whose_fetch_is_about_to_be_tried_again_is_no_cancellation(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as broker:
        await ensure_topics(broker.bootstrap, muster_topics(2))
        consumer = clients.partition_consumer(broker.bootstrap)
        await consumer.start()
        consumer.assign([TopicPartition(DELTAS, 0)])
        consumer.seek(TopicPartition(DELTAS, 0), 0)
        await consumer.getmany(timeout_ms=50)
        broker.process.kill()
        while not consumer._fetcher._in_flight:
            await asyncio.sleep(0)
        await asyncio.sleep(RETRY_BACKOFF_S / 3)
        await clients.stop(consumer)


class Told:
    """Hears what the group decides."""

    def __init__(self) -> None:
        self.assigned: set[int] = set()

    async def assign(self, partitions: Collection[int]) -> None:
        self.assigned |= set(partitions)

    async def revoke(self, partitions: Collection[int]) -> None:
        self.assigned -= set(partitions)


async def test_a_group_that_does_not_answer_holds_folding_up_for_no_longer_than_the_deadline(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as broker:
        await ensure_topics(broker.bootstrap, muster_topics(2))
        deltas, told = DeltasConsumer(Settings(kafka=broker.bootstrap, session_timeout_ms=12_000)), Told()
        await deltas.start(told)
        async with asyncio.timeout(60):
            while told.assigned != {0, 1}:
                await deltas.fetch()
        os.kill(broker.process.pid, signal.SIGSTOP)
        try:
            began_s = time.monotonic()
            await deltas.acknowledge({0: 1})
            assert time.monotonic() - began_s < 5 * ACKNOWLEDGE_DEADLINE_S
        finally:
            os.kill(broker.process.pid, signal.SIGCONT)
        await deltas.stop()
