"""Where counts are sent: one contract for the twin and a real broker."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple
from uuid import uuid4

import pytest
from aiokafka import TopicPartition

from cohort_store.errors import Retry
from cohort_store.flag_evaluations import FlagEvaluations, decode_evaluations
from cohort_store.kafka import clients
from cohort_store.kafka.ends import end_offsets
from cohort_store.kafka.topics import TopicSpec, ensure_topics
from evaluator.kafka.evaluation_log import KafkaEvaluationLog
from evaluator.reporting import EvaluationLog, RememberedEvaluationLog
from processors.embedded.child import choose_port
from tests.insight.counting import counted


class Sent(NamedTuple):
    log: EvaluationLog
    read: Callable[[], Awaitable[list[FlagEvaluations]]]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.services)])
async def sent(request: pytest.FixtureRequest) -> AsyncIterator[Sent]:
    if request.param == "memory":
        twin = RememberedEvaluationLog()

        async def remembered() -> list[FlagEvaluations]:
            return twin.sent

        yield Sent(twin, remembered)
        return
    bootstrap: str = request.getfixturevalue("broker")
    topic = f"test.{uuid4().hex[:12]}"
    await ensure_topics(bootstrap, [TopicSpec(topic, 1)])
    log = KafkaEvaluationLog(bootstrap, topic)
    yield Sent(log, lambda: messages(bootstrap, topic))
    await log.close()


async def messages(bootstrap: str, topic: str) -> list[FlagEvaluations]:
    """Everything in the topic."""
    partition = TopicPartition(topic, 0)
    end = (await end_offsets(bootstrap, [partition]))[partition]
    consumer = clients.partition_consumer(bootstrap)
    await consumer.start()
    try:
        consumer.assign([partition])
        consumer.seek(partition, 0)
        found: list[FlagEvaluations] = []
        while await consumer.position(partition) < end:
            read = (await consumer.getmany(timeout_ms=200)).get(partition, ())
            found += [decode_evaluations(message.value) for message in read]
    finally:
        await clients.stop(consumer)
    return found


async def test_what_is_sent_is_there_in_its_order_when_the_call_returns(sent: Sent) -> None:
    batch = [counted(f"f{number}", sequence=number) for number in range(200)]
    await sent.log.send(batch[:150])
    await sent.log.send(batch[150:])
    assert await sent.read() == batch


async def test_a_log_may_be_closed_twice_and_without_having_been_used(sent: Sent) -> None:
    await sent.log.close()
    await sent.log.send([counted()])
    for _ in range(2):
        await sent.log.close()
    assert await sent.read() == [counted()]


async def test_a_broker_that_is_away_is_told_as_such_with_its_address() -> None:
    nowhere = f"127.0.0.1:{choose_port(None)}"
    log = KafkaEvaluationLog(nowhere)
    with pytest.raises(Retry, match=f"muster.flag-evaluations at {nowhere} takes no counts"):
        await log.send([counted()])
    await log.close()
