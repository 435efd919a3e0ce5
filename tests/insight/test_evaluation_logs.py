"""Where counts are sent: one contract for the twin and a real broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from cohort_store.clocks import SteppedClock
from cohort_store.errors import Retry
from cohort_store.flag_evaluations import FlagEvaluations, decode_evaluations
from cohort_store.kafka import clients
from cohort_store.kafka.ends import end_offsets
from cohort_store.kafka.topics import FLAG_EVALUATIONS, TopicMismatch, TopicSpec, ensure_topics
from evaluator.kafka.evaluation_log import KafkaEvaluationLog
from evaluator.usage.evaluation_metrics import EvaluationMetrics
from evaluator.usage.reporting import EvaluationLog, EvaluationReporter, RememberedEvaluationLog
from evaluator.usage.tally import EvaluationTally
from processors.embedded.broker import EmbeddedBroker
from processors.embedded.child import choose_port
from tests.insight.counting import answered, counted

DEADLINE_S = 60.0


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
    log = KafkaEvaluationLog(bootstrap, topic=topic)
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


@pytest.mark.services
async def test_a_topic_that_was_made_with_other_partitions_is_refused_and_left_as_it_is(broker: str) -> None:
    topic = f"test.{uuid4().hex[:12]}"
    await ensure_topics(broker, [TopicSpec(topic, 3)])
    log = KafkaEvaluationLog(broker, topic=topic)
    with pytest.raises(TopicMismatch, match="3 partitions where 1 are configured"):
        await log.send([counted()])
    await log.close()


@pytest.mark.slow
@pytest.mark.services
async def test_counts_that_waited_while_the_broker_was_away_arrive_as_one_sum(tmp_path: Path) -> None:
    port = choose_port(None)
    bootstrap = f"127.0.0.1:{port}"
    tally, log = EvaluationTally("e1"), KafkaEvaluationLog(bootstrap)
    metrics = EvaluationMetrics(CollectorRegistry())
    reporter = EvaluationReporter(tally, log, metrics.folded, SteppedClock(1_000), interval_s=0.05)
    reporting = asyncio.create_task(reporter.run())
    try:
        tally.count(1, [answered("f")])
        while not reporter.is_waiting:
            await asyncio.sleep(0.02)
        for _ in range(4):
            tally.count(1, [answered("f")])
            await asyncio.sleep(0.1)
        with EmbeddedBroker(tmp_path, port):
            async with asyncio.timeout(DEADLINE_S):
                # Not before: a look at a topic that is not there makes this broker make it.
                while reporter.is_waiting:
                    await asyncio.sleep(0.02)
                while sum(each.count for each in await messages(bootstrap, FLAG_EVALUATIONS)) < 5:
                    await asyncio.sleep(0.1)
            found = await messages(bootstrap, FLAG_EVALUATIONS)
            assert {each.sequence: each.count for each in found} == {1: 1, 2: 4}
    finally:
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        await log.close()


async def test_a_broker_that_is_away_is_told_as_such_with_its_address() -> None:
    nowhere = f"127.0.0.1:{choose_port(None)}"
    log = KafkaEvaluationLog(nowhere)
    with pytest.raises(Retry, match=f"at {nowhere} .*is a broker running there"):
        await log.send([counted()])
    await log.close()
