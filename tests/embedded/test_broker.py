"""The embedded broker does what Muster asks of a log, and its known differences are as they are written down."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import UnknownError

from cohort_store.kafka.ends import end_offsets
from cohort_store.kafka.topics import BrokerUnreachable, TopicMismatch, TopicSpec, ensure_topics, muster_topics
from processors.embedded.broker import EmbeddedBroker

WAIT_S = 20

_ASK = """
import asyncio, contextlib, sys
from aiokafka import AIOKafkaConsumer
from processors.cli.invocation import run_async
from processors.process import run_until_signalled

async def ask():
    consumer = AIOKafkaConsumer("nobody.made", bootstrap_servers=sys.argv[1])
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(consumer.start(), 1.0)
    await consumer.stop()

{"role": run_until_signalled, "command": lambda ask: run_async(ask()), "library": lambda ask: asyncio.run(ask())}[
    sys.argv[2]
](ask)
"""

LACKING_S = 2
_LACK = f"""
import asyncio, sys
from aiokafka import AIOKafkaConsumer, TopicPartition
from processors.process import run_until_signalled

async def lack():
    async with AIOKafkaConsumer(bootstrap_servers=sys.argv[1], auto_offset_reset="none") as consumer:
        consumer.assign([TopicPartition("nobody.made", 0)])
        consumer.seek(TopicPartition("nobody.made", 0), 5)
        await asyncio.sleep({LACKING_S})

run_until_signalled(lack)
"""


@pytest.fixture(scope="module")
def tansu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedBroker(tmp_path_factory.mktemp("tansu")) as broker:
        yield broker.bootstrap


@asynccontextmanager
async def _member(bootstrap: str, topic: str, group: str) -> AsyncIterator[AIOKafkaConsumer]:
    member = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        session_timeout_ms=2_000,
        rebalance_timeout_ms=2_000,
        heartbeat_interval_ms=200,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await member.start()
    try:
        yield member
    finally:
        await member.stop()


async def _until_assigned(member: AIOKafkaConsumer, count: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while len(member.assignment()) != count:
            await member.getmany(timeout_ms=50)


@pytest.mark.parametrize(("kind", "made"), [("role", set()), ("command", set()), ("library", {"nobody.made"})])
async def test_a_role_or_command_that_asks_about_a_topic_does_not_have_it_created(
    tmp_path: Path, kind: str, made: set[str]
) -> None:
    with EmbeddedBroker(tmp_path) as broker:
        command = [sys.executable, "-c", _ASK, broker.bootstrap, kind]
        await asyncio.to_thread(subprocess.run, command, check=True, timeout=WAIT_S, capture_output=True)
        async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap) as consumer:
            assert await consumer.topics() == made


async def test_a_role_whose_topic_is_gone_asks_about_it_ten_times_a_second(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as broker:
        command = [sys.executable, "-c", _LACK, broker.bootstrap]
        done = await asyncio.to_thread(
            subprocess.run, command, check=True, timeout=WAIT_S, capture_output=True, text=True
        )
    asked = done.stderr.count("Topic nobody.made not found")
    assert 5 <= asked <= 2 * LACKING_S * 10


async def test_making_sure_of_topics_twice_creates_them_once(tansu: str) -> None:
    specs = [TopicSpec("twice.a", 3), TopicSpec("twice.b", 1, compacted=True)]
    assert await ensure_topics(tansu, specs) == ("twice.a", "twice.b")
    assert await ensure_topics(tansu, specs) == ()


async def test_several_processes_may_make_sure_of_topics_at_once(tansu: str) -> None:
    await asyncio.gather(*(ensure_topics(tansu, muster_topics(8)) for _ in range(5)))
    assert await ensure_topics(tansu, muster_topics(8)) == ()


async def test_a_topic_with_another_partition_count_is_refused(tansu: str) -> None:
    await ensure_topics(tansu, [TopicSpec("refused", 3)])
    with pytest.raises(TopicMismatch, match="topic refused has 3 partitions where 4 are configured"):
        await ensure_topics(tansu, [TopicSpec("refused", 4)])


async def test_a_broker_that_is_not_there_is_named_in_the_error() -> None:
    with pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:1 "):
        await ensure_topics("127.0.0.1:1", muster_topics())


async def test_messages_of_two_megabytes_pass_whole(tansu: str) -> None:
    await ensure_topics(tansu, [TopicSpec("large", 1, bytes_max=4_000_000)])
    async with AIOKafkaProducer(bootstrap_servers=tansu, max_request_size=4_000_000) as producer:
        await producer.send_and_wait("large", b"v" * 2_000_000)
    async with AIOKafkaConsumer("large", bootstrap_servers=tansu, auto_offset_reset="earliest") as consumer:
        message = await asyncio.wait_for(consumer.getone(), WAIT_S)
    assert len(message.value) == 2_000_000


async def test_a_group_shares_its_partitions_when_members_join_and_leave(tansu: str) -> None:
    await ensure_topics(tansu, [TopicSpec("shared", 4)])
    async with _member(tansu, "shared", "sharing") as first:
        await _until_assigned(first, 4)
        async with _member(tansu, "shared", "sharing") as second:
            await asyncio.gather(_until_assigned(first, 2), _until_assigned(second, 2))
            assert first.assignment().isdisjoint(second.assignment())
        await _until_assigned(first, 4)


async def test_an_idempotent_producer_is_refused_as_written_down(tansu: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=tansu, enable_idempotence=True)
    with pytest.raises(UnknownError):
        await producer.start()
    await producer.stop()


async def test_the_listed_end_lies_where_a_batch_holds_several_messages(tansu: str) -> None:
    await ensure_topics(tansu, [TopicSpec("listed", 1)])
    partition = TopicPartition("listed", 0)
    async with AIOKafkaProducer(bootstrap_servers=tansu, linger_ms=100) as producer:
        await asyncio.gather(*[await producer.send("listed", b"x", partition=0) for _ in range(5)])
    async with AIOKafkaConsumer(bootstrap_servers=tansu) as consumer:
        listed = (await consumer.end_offsets([partition]))[partition]
    assert listed < 5
    assert await end_offsets(tansu, [partition]) == {partition: 5}


async def test_asking_about_an_unknown_topic_creates_it_with_four_partitions(tansu: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=tansu)
    await admin.start()
    try:
        await admin.describe_topics(["never.heard.of"])
        described = await admin.describe_topics(["never.heard.of"])
        assert [len(topic["partitions"]) for topic in described] == [4]
    finally:
        await admin.close()


def test_a_broker_leaves_no_process_behind(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as broker:
        pid = broker.process.pid
        assert Path(f"/proc/{pid}").exists()
    assert not Path(f"/proc/{pid}").exists()
