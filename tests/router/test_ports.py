"""One contract for each port of the router, kept by its twin in memory and by its adapter on a broker."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, client
from aiokafka.admin import AIOKafkaAdminClient

from cohort_store.clocks import SystemClock
from cohort_store.deltas import Delta, DeltaMessage, Mark, decode_message
from cohort_store.errors import Crash, Retry, WrongShards
from cohort_store.kafka import clients, metadata, registry_topic
from cohort_store.kafka.registry import Plans, RegistryFollower, RememberedPlans
from cohort_store.kafka.topics import DEAD_LETTERS, DELTAS, REGISTRY, TopicSpec, ensure_topics, muster_topics
from cohort_store.registry import Registry, encode_registry
from cohort_store.settings import Settings
from cohort_store.subjects import Subject
from processors.embedded.broker import EmbeddedBroker
from processors.kafka.dead_letters import DeadLetter, DeadLetters, KafkaDeadLetters, RememberedDeadLetters
from processors.kafka.event_source import KafkaEventSource
from processors.kafka.router_sink import KafkaDeltaSink
from processors.router.memory import MemoryLog, MemorySink, MemorySource
from processors.router.packing import Packer, mark_messages
from processors.router.ports import DeltaSink, EventSource, Polled
from processors.router.progress import Source
from tests.router.building import registry
from tests.services.fixtures import KAFKA

DEADLINE_S = 30
PARTITIONS = 2
SHARDS = 8
VERSION_DEADLINE_S = 3.0
ON = pytest.mark.parametrize("on", ["memory", "broker"])


@pytest.fixture
def bootstrap(on: str, request: pytest.FixtureRequest) -> str:
    """The broker, and nothing where the test is in memory."""
    return str(request.getfixturevalue("fresh_broker")) if on == "broker" else ""


@dataclass
class Log:
    """A log that a test writes and a source reads. `append` gives the offset, once the message is there."""

    source: EventSource
    append: Callable[[Source, bytes, int], Awaitable[int]]
    again: Callable[[], Awaitable[EventSource]]
    """Ends the member and starts another one of its group."""


@pytest.fixture
async def log(on: str, bootstrap: str) -> AsyncIterator[Log]:
    if on == "memory":
        yield _memory_log()
        return
    topic = TopicSpec("raw", PARTITIONS)
    await ensure_topics(bootstrap, [topic])
    settings = Settings(kafka=bootstrap, sources={"raw": "plain"}, session_timeout_ms=1_000, mark_interval_ms=20)
    members = [KafkaEventSource(settings, settings.sources, SystemClock(), "test")]

    async def again() -> EventSource:
        await members[-1].stop()
        members.append(KafkaEventSource(settings, settings.sources, SystemClock(), "test"))
        await members[-1].start()
        return members[-1]

    async with clients.producer(bootstrap) as producer:

        async def append(source: Source, value: bytes, timestamp: int) -> int:
            where = await producer.send_and_wait(*source[:1], value, partition=source.partition, timestamp_ms=timestamp)
            return int(where.offset)

        await members[-1].start()
        yield Log(members[-1], append, again)
        await members[-1].stop()


def _memory_log() -> Log:
    stored, clock, every = MemoryLog(), SystemClock(), [Source("raw", number) for number in range(PARTITIONS)]

    def member() -> MemorySource:
        source = MemorySource(stored, clock)
        source.move(every)
        return source

    async def append(source: Source, value: bytes, timestamp: int) -> int:
        return stored.append(source, value, timestamp)

    async def again() -> EventSource:
        return member()

    return Log(member(), append, again)


async def poll_until(source: EventSource, enough: Callable[[Polled], bool]) -> Polled:
    async with asyncio.timeout(DEADLINE_S):
        while not enough(polled := await source.poll()):
            pass
        return polled


async def read_values(source: EventSource, count: int) -> list[Any]:
    """(partition, offset, timestamp, value) of the next messages, as many as that."""
    found: list[Any] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < count:
            for (_, partition), messages in (await source.poll()).messages.items():
                found += [(partition, m.offset, m.timestamp, m.value) for m in messages]
    return found


@ON
async def test_messages_come_once_in_order_with_offset_time_and_bytes(log: Log) -> None:
    for number in range(6):
        await log.append(Source("raw", number % 2), b"%d" % number, 1_700_000_000_000 + number)
    found = await read_values(log.source, 6)
    for partition in (0, 1):
        told = [(offset, time - 1_700_000_000_000, value) for at, offset, time, value in found if at == partition]
        assert told == [(n, 2 * n + partition, b"%d" % (2 * n + partition)) for n in range(3)]


@ON
async def test_the_next_member_reads_on_where_the_last_one_committed(log: Log) -> None:
    first = Source("raw", 0)
    for number in range(4):
        await log.append(first, b"%d" % number, 1)
    await read_values(log.source, 4)
    await log.source.commit({first: 3})
    second = await log.again()
    assert [value for _, _, _, value in await read_values(second, 1)] == [b"3"]


@ON
async def test_a_commit_of_a_partition_that_is_not_owned_is_ignored(log: Log) -> None:
    await poll_until(log.source, lambda _: len(log.source.assigned) == PARTITIONS)
    await log.source.commit({Source("elsewhere", 7): 3})


@ON
async def test_an_empty_partition_is_told_to_be_read_out(log: Log) -> None:
    began_ms = SystemClock().now_ms()
    polled = await poll_until(
        log.source,
        lambda polled: (
            len(polled.read_out) == PARTITIONS and all(end.sent_ms >= began_ms for end in polled.read_out.values())
        ),
    )
    assert {end.next_offset for end in polled.read_out.values()} == {0}


@ON
async def test_read_out_as_of_an_instant_means_that_every_earlier_message_was_handed_out(log: Log, seed: int) -> None:
    rng, first, clock = random.Random(seed), Source("raw", 0), SystemClock()
    written: list[tuple[int, int]] = []
    told: list[tuple[int, int]] = []

    async def write() -> None:
        for _ in range(60):
            offset = await log.append(first, b"x" * rng.randrange(1, 2_000), 1)
            written.append((clock.now_ms(), offset))
            await asyncio.sleep(rng.choice([0, 0, 0.005, 0.05]))

    writing = asyncio.create_task(write())
    while not writing.done() or not told or told[-1][1] < 60:
        polled = await log.source.poll()
        if first in polled.read_out:
            told.append((polled.read_out[first].sent_ms, polled.read_out[first].next_offset))
    for sent_ms, next_offset in told:
        assert [offset for at_ms, offset in written if at_ms < sent_ms and offset >= next_offset] == []


@ON
async def test_a_partition_that_is_held_gives_nothing_until_it_is_held_no_more_and_then_all_of_it(log: Log) -> None:
    first, second = Source("raw", 0), Source("raw", 1)
    await poll_until(log.source, lambda _: len(log.source.assigned) == PARTITIONS)
    log.source.hold({second})
    for number in range(60):
        await log.append(Source("raw", number % 2), b"%d" % number, 1)
        if number % 10 == 9:
            found = await read_values(log.source, 5)
            assert {partition for partition, *_ in found} == {first.partition}
    log.source.hold(())
    found = await read_values(log.source, 30)
    assert [value for _, _, _, value in found] == [b"%d" % number for number in range(1, 60, 2)]


@ON
async def test_deltas_and_marks_arrive_in_their_partition_in_order(on: str, bootstrap: str) -> None:
    packer = Packer(16, PARTITIONS)
    for number in range(20):
        packer.add(Delta(Subject(1, 0, f"p{number}")))
    messages = [*packer.messages(7), *mark_messages(7, [Mark("raw", 0, 1, 2)], PARTITIONS)]
    stored = MemorySink()
    if on == "memory":
        await stored.send(messages)
        found = stored.messages
    else:
        await ensure_topics(bootstrap, muster_topics(PARTITIONS))
        async with clients.producer(bootstrap) as producer:
            sink: DeltaSink = KafkaDeltaSink(producer)
            await sink.send(messages)
        found = await _deltas(bootstrap, len(messages))
    for partition in range(PARTITIONS):
        assert _of(partition, found) == _of(partition, [(m.partition, decode_message(m.value)) for m in messages])


def _of(partition: int, messages: list[tuple[int, DeltaMessage]]) -> list[DeltaMessage]:
    return [message for number, message in messages if number == partition]


async def _deltas(bootstrap: str, count: int) -> list[tuple[int, DeltaMessage]]:
    async with AIOKafkaConsumer(DELTAS, bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        async with asyncio.timeout(DEADLINE_S):
            found = [await consumer.getone() for _ in range(count)]
    return [(message.partition, decode_message(message.value)) for message in found]


async def test_a_letter_that_the_topic_refuses_as_too_large_is_kept_in_part(fresh_broker: str) -> None:
    await ensure_topics(fresh_broker, muster_topics(PARTITIONS))
    async with clients.producer(fresh_broker) as producer:
        producer._max_request_size = 1_000_000
        letters: DeadLetters = KafkaDeadLetters(producer)
        await letters.send([DeadLetter("raw", 1, 2, "too_large", "why", b"x" * 2_000_000, 5)])
    async with AIOKafkaConsumer(DEAD_LETTERS, bootstrap_servers=fresh_broker, auto_offset_reset="earliest") as consumer:
        kept = await asyncio.wait_for(consumer.getone(), DEADLINE_S)
    assert kept.value == b"x" * 262_144
    assert dict(kept.headers)["original_bytes"] == b"2000000"
    remembered: DeadLetters = RememberedDeadLetters()
    await remembered.send([])


@dataclass
class Defined:
    """A registry that a test writes and plans follow."""

    plans: Plans
    define: Callable[[Registry], Awaitable[None]]


@pytest.fixture
async def defined(on: str, bootstrap: str) -> AsyncIterator[Defined]:
    if on == "memory":
        remembered = RememberedPlans(version_deadline_s=VERSION_DEADLINE_S)

        async def define(registry: Registry) -> None:
            remembered.define(registry, seen=False)

        yield Defined(remembered, define)
        return
    await ensure_topics(bootstrap, muster_topics(PARTITIONS))
    follower = RegistryFollower(bootstrap, SHARDS, VERSION_DEADLINE_S)
    await follower.start()
    async with clients.producer(bootstrap) as producer:

        async def write(registry: Registry) -> None:
            await producer.send_and_wait(REGISTRY, encode_registry(registry), key=b"registry")

        yield Defined(follower, write)
    await follower.stop()


@ON
async def test_catching_up_sees_everything_that_was_defined_before(defined: Defined) -> None:
    assert (await defined.plans.catch_up()).version == 0
    latest = Registry()
    for _ in range(3):
        latest = registry({"event": "buy"}, before=latest)
        await defined.define(latest)
        assert (await defined.plans.catch_up()).version == latest.version
        assert defined.plans.plan.version == latest.version


@ON
async def test_a_plan_never_goes_back_to_an_older_registry(defined: Defined) -> None:
    old = registry({"event": "buy"})
    await defined.define(registry({"event": "sign"}, before=old))
    assert (await defined.plans.catch_up()).version == 2
    await defined.define(old)
    assert (await defined.plans.catch_up()).version == 2


@ON
async def test_waiting_for_a_version_ends_when_it_is_defined(defined: Defined) -> None:
    waiting = asyncio.create_task(defined.plans.at_least(1))
    await asyncio.sleep(0)
    assert not waiting.done()
    await defined.define(registry({"event": "buy"}))
    await defined.plans.catch_up()
    assert (await asyncio.wait_for(waiting, DEADLINE_S)).version == 1


@ON
async def test_a_version_that_never_comes_is_waited_for_no_longer_than_the_deadline(defined: Defined) -> None:
    await defined.define(registry({"event": "buy"}))
    await defined.plans.catch_up()
    with pytest.raises(Retry, match=r"version 2, .* none newer than 1 .* muster control"):
        await asyncio.wait_for(defined.plans.at_least(2), DEADLINE_S)
    assert (await defined.plans.at_least(1)).version == 1


@pytest.mark.parametrize("shards", [SHARDS - 1, SHARDS, SHARDS + 1])
async def test_a_registry_of_another_number_of_shards_ends_everyone_who_asks_for_it(
    fresh_broker: str, shards: int
) -> None:
    await ensure_topics(fresh_broker, muster_topics(PARTITIONS))
    follower = RegistryFollower(fresh_broker, shards)
    await follower.start()
    async with clients.producer(fresh_broker) as producer:
        written = msgspec.structs.replace(registry({"event": "buy"}), shards=SHARDS)
        await producer.send_and_wait(REGISTRY, encode_registry(written), key=b"registry")
    if shards == SHARDS:
        assert (await asyncio.wait_for(follower.catch_up(), DEADLINE_S)).version == 1
    else:
        with pytest.raises(WrongShards, match=rf"MUSTER_SHARDS is {shards}, .* set MUSTER_SHARDS={SHARDS}"):
            await asyncio.wait_for(follower.catch_up(), DEADLINE_S)
    await follower.stop()


async def test_a_registry_that_cannot_be_read_ends_everyone_who_asks_for_it(fresh_broker: str) -> None:
    await ensure_topics(fresh_broker, muster_topics(PARTITIONS))
    follower = RegistryFollower(fresh_broker, SHARDS)
    await follower.start()
    waiting = asyncio.create_task(follower.at_least(1))
    async with clients.producer(fresh_broker) as producer:
        await producer.send_and_wait(REGISTRY, b"of a later schema", key=b"registry")
    with pytest.raises(Crash, match="no registry"):
        await asyncio.wait_for(waiting, DEADLINE_S)
    with pytest.raises(Crash, match="no registry"):
        _ = follower.plan
    await follower.stop()


@pytest.mark.services
@pytest.mark.skipif(KAFKA != "apache", reason="the embedded broker says of no offset that it is out of range")
async def test_a_registry_that_was_emptied_and_begun_anew_is_followed_from_its_beginning(fresh_broker: str) -> None:
    await ensure_topics(fresh_broker, muster_topics(PARTITIONS))
    follower = RegistryFollower(fresh_broker, SHARDS, VERSION_DEADLINE_S)
    await follower.start()
    latest = Registry()
    async with clients.producer(fresh_broker) as producer:
        for _ in range(3):
            latest = registry({"event": "buy"}, before=latest)
            await producer.send_and_wait(REGISTRY, encode_registry(latest), key=b"registry")
    assert (await follower.catch_up()).version == latest.version
    admin = AIOKafkaAdminClient(bootstrap_servers=fresh_broker)
    await admin.start()
    await admin.delete_topics([REGISTRY])
    async with asyncio.timeout(DEADLINE_S):
        while REGISTRY in await admin.list_topics():
            await asyncio.sleep(0.1)
    await admin.close()
    await ensure_topics(fresh_broker, muster_topics(PARTITIONS))
    latest = registry({"event": "buy"}, before=latest)
    async with clients.producer(fresh_broker) as producer:
        await producer.send_and_wait(REGISTRY, encode_registry(latest), key=b"registry")
    assert (await asyncio.wait_for(follower.at_least(latest.version), DEADLINE_S)).version == latest.version
    await follower.stop()


async def test_a_registry_in_whose_place_another_of_the_same_length_stands_is_followed_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looked while the topic was not there, or was empty."""
    monkeypatch.setattr(registry_topic, "VERIFY_S", 0.0)
    # As in a role's process, which has no topic created by asking about it; put back at the end.
    for owner, name in ((client, "MetadataRequest"), (client.AIOKafkaClient, "_metadata_update")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    metadata.enable()
    written = registry({"event": "buy"})
    with EmbeddedBroker(tmp_path) as broker:

        async def write(defined: Registry) -> None:
            await ensure_topics(broker.bootstrap, muster_topics(PARTITIONS))
            async with clients.producer(broker.bootstrap) as producer:
                await producer.send_and_wait(REGISTRY, encode_registry(defined), key=b"registry")

        await write(written)
        follower = RegistryFollower(broker.bootstrap, SHARDS, VERSION_DEADLINE_S)
        await follower.start()
        assert (await follower.catch_up()).version == written.version
        broker.process.kill()
        broker.process.start()
        later = registry({"event": "sell"}, before=written)
        await write(later)
        async with asyncio.timeout(DEADLINE_S):
            while follower.plan.version != later.version:
                await asyncio.sleep(0.1)
        await follower.stop()
