"""How many brokers keep a topic, on two Apache Kafka brokers whose default is two."""

import asyncio
from collections.abc import Iterable, Iterator

import pytest

from cohort_store.kafka.topics import BrokerUnreachable, TopicSpec, ensure_topics, muster_topics
from cohort_store.settings import Settings
from processors.cli.diagnosis import Verdict, topic_findings
from processors.kafka.inspection import ClusterSeen, TopicSeen, look
from tests.services import apache_kafka
from tests.services.fixtures import KAFKA

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(KAFKA != "apache", reason="the embedded broker is one, and keeps one replica of everything"),
]
JOINED_DEADLINE_S = 60


@pytest.fixture(scope="module")
def two_brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    first = apache_kafka.ApacheKafka(tmp_path_factory.mktemp("first"), replication=2)
    second = apache_kafka.ApacheKafka(tmp_path_factory.mktemp("second"), controller=first, replication=2)
    first.start()
    try:
        second.start()
        asyncio.run(_until_joined(first.bootstrap))
        yield first.bootstrap
    finally:
        second.stop()
        first.stop()


async def _until_joined(bootstrap: str) -> None:
    async with asyncio.timeout(JOINED_DEADLINE_S):
        while (await look(bootstrap)).brokers < 2:
            await asyncio.sleep(0.1)


async def _seen(bootstrap: str, topics: Iterable[str]) -> ClusterSeen:
    """The cluster, once whichever broker answers knows these topics: the other one may hear of them later."""
    wanted = list(topics)
    async with asyncio.timeout(JOINED_DEADLINE_S):
        while True:
            seen = await look(bootstrap)
            if all(name in seen.topics and seen.topics[name].replicas for name in wanted):
                return seen
            await asyncio.sleep(0.1)


async def test_a_topic_gets_the_brokers_default_unless_a_number_is_named(two_brokers: str) -> None:
    await ensure_topics(two_brokers, [TopicSpec("by.default", 3)])
    await ensure_topics(two_brokers, [TopicSpec("by.number", 3)], replication=1)
    topics = (await _seen(two_brokers, ["by.default", "by.number"])).topics
    assert (topics["by.default"], topics["by.number"]) == (TopicSeen(3, 2), TopicSeen(3, 1))


async def test_more_replicas_than_brokers_are_refused_with_the_setting_that_says_so(two_brokers: str) -> None:
    with pytest.raises(BrokerUnreachable, match=r"too\.many.*MUSTER_TOPIC_REPLICATION"):
        await ensure_topics(two_brokers, [TopicSpec("too.many", 1)], replication=3)


async def test_doctor_notes_a_topic_that_one_of_two_brokers_keeps(two_brokers: str) -> None:
    first, *others = muster_topics()
    await ensure_topics(two_brokers, [first], replication=1)
    await ensure_topics(two_brokers, others)
    well, noted = topic_findings(Settings(), await _seen(two_brokers, [first.name, *(other.name for other in others)]))
    assert (well.verdict, noted.verdict) == (Verdict.WELL, Verdict.NOTE)
    assert noted.detail.startswith(f"{first.name} has 1, and 2 brokers")
