"""The router on a real broker: what is refused is kept, what is killed loses nothing, and who owns what is told."""

import asyncio
import contextlib
import json
import random
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from cohort_store.clocks import SystemClock
from cohort_store.deltas import DeltaMessage, decode_message
from cohort_store.kafka import clients
from cohort_store.kafka.topics import DEAD_LETTERS, DELTAS, EVENTS, REGISTRY, TopicSpec, ensure_topics, muster_topics
from cohort_store.ports import DistinctIdWrite, Outcome, Position, ShardCommit
from cohort_store.redis.wiring import connect_store
from cohort_store.registry import encode_registry
from cohort_store.settings import Settings
from cohort_store.subjects import DISTINCT_ID, PERSON, Subject, shard_of
from cohort_store.timelines import tag_of
from processors.embedded.child import ChildProcess, ChildSpec
from processors.kafka import event_source
from processors.kafka.event_source import KafkaEventSource
from processors.router.progress import Source
from processors.router.wiring import serve
from tests.codecs.bad_messages import ARRIVAL_MS, BAD
from tests.conftest import PROFILE
from tests.router.building import registry

POSTHOG = "clickhouse_events_json"
SHARDS, PARTITIONS = 16, 4
DEADLINE_S = 60
KILLS = 100 if PROFILE == "long" else 5


@pytest.fixture
async def settings(fresh_broker: str) -> Settings:
    """An installation with two source topics, and one cohort that wants `purchase` of teams 1 and 2."""
    await ensure_topics(fresh_broker, muster_topics(PARTITIONS))
    await ensure_topics(fresh_broker, [TopicSpec(POSTHOG, 2, bytes_max=4_194_304)])
    defined = registry({"event": "purchase"}, before=registry({"event": "purchase"}, team=2))
    async with clients.producer(fresh_broker) as producer:
        await producer.send_and_wait(REGISTRY, encode_registry(defined), key=b"registry")
    return reading(fresh_broker, {EVENTS: "plain", POSTHOG: "posthog"})


def reading(broker: str, sources: dict[str, Any]) -> Settings:
    """An installation on a broker that reads these topics with these codecs."""
    return Settings(
        kafka=broker,
        sources=sources,
        shards=SHARDS,
        partitions=PARTITIONS,
        session_timeout_ms=1_500,
        mark_interval_ms=50,
    )


@contextlib.asynccontextmanager
async def routing(settings: Settings) -> AsyncIterator[None]:
    task = asyncio.create_task(serve(settings))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


def good(number: int) -> bytes:
    event = {"event": "purchase", "person_id": f"p{number}", "timestamp": ARRIVAL_MS + number, "uuid": _uuid(number)}
    return json.dumps(event).encode()


def _uuid(number: int) -> str:
    return str(uuid.UUID(int=number))


async def read_until(settings: Settings, topic: str, enough: Callable[[list[ConsumerRecord]], bool]) -> list[Any]:
    """Every message of a topic, from its beginning until there is enough."""
    found: list[ConsumerRecord] = []
    async with AIOKafkaConsumer(topic, bootstrap_servers=settings.kafka, auto_offset_reset="earliest") as consumer:
        async with asyncio.timeout(DEADLINE_S):
            while not enough(found):
                for messages in (await consumer.getmany(timeout_ms=200)).values():
                    found += messages
    return found


def decoded(messages: list[ConsumerRecord]) -> list[DeltaMessage]:
    return [decode_message(message.value) for message in messages]


def tags(messages: list[ConsumerRecord]) -> set[int]:
    return {entry.tag for message in decoded(messages) for delta in message.deltas for entry in delta.entries}


async def test_every_bad_message_lands_in_the_dead_letters_and_its_neighbours_are_routed(settings: Settings) -> None:
    sent: dict[tuple[str, int, int], tuple[bytes, str]] = {}
    async with clients.producer(settings.kafka) as producer:
        for number, (_, codec, raw, reason) in enumerate(BAD):
            topic = EVENTS if codec == "plain" else POSTHOG
            await producer.send_and_wait(EVENTS, good(number), partition=number % PARTITIONS, timestamp_ms=ARRIVAL_MS)
            place = await producer.send_and_wait(topic, raw, partition=number % 2, timestamp_ms=ARRIVAL_MS)
            sent[place.topic, place.partition, place.offset] = (raw, reason)
    async with routing(settings):
        letters = await read_until(settings, DEAD_LETTERS, lambda found: len(found) >= len(BAD))
        wanted = {tag_of(_uuid(number)) for number in range(len(BAD))}
        await read_until(settings, DELTAS, lambda found: tags(found) >= wanted)
    buried = {}
    for letter in letters:
        headers = {key: value.decode() for key, value in letter.headers}
        place = (headers["source_topic"], int(headers["source_partition"]), int(headers["source_offset"]))
        buried[place] = (letter.value, headers["reason"])
        assert headers["detail"]
        assert int(headers["at_ms"]) > 0
    assert buried == sent


async def test_progress_goes_on_while_nothing_comes_and_every_partition_hears_of_it(settings: Settings) -> None:
    def heard(messages: list[ConsumerRecord]) -> set[tuple[int, str, int]]:
        return {
            (message.partition, mark.topic, mark.partition)
            for message in messages
            for mark in decode_message(message.value).marks
            if mark.through_ms >= began_ms
        }

    began_ms = SystemClock().now_ms()
    sources = [*((EVENTS, number) for number in range(PARTITIONS)), *((POSTHOG, number) for number in range(2))]
    expected = {(partition, *source) for partition in range(PARTITIONS) for source in sources}
    async with routing(settings):
        found = await read_until(settings, DELTAS, lambda messages: heard(messages) >= expected)
    now_ms = SystemClock().now_ms()
    assert all(mark.through_ms <= now_ms for message in decoded(found) for mark in message.marks)


async def test_an_event_that_names_no_person_goes_to_the_one_that_the_store_knows(
    settings: Settings, view_url: str
) -> None:
    settings = settings.model_copy(update={"redis": view_url})
    await _know_person(settings, "d", "ann")
    async with clients.producer(settings.kafka) as producer:
        for distinct_id in ("d", "stranger"):
            event = {"event": "purchase", "distinct_id": distinct_id, "timestamp": ARRIVAL_MS}
            await producer.send_and_wait(EVENTS, json.dumps(event).encode(), timestamp_ms=ARRIVAL_MS)
    async with routing(settings):
        found = await read_until(settings, DELTAS, lambda messages: len(tags(messages)) == 2)
    subjects = {delta.subject for message in decoded(found) for delta in message.deltas}
    assert subjects == {Subject(1, PERSON, "ann"), Subject(1, PERSON, "stranger")}


async def _know_person(settings: Settings, distinct_id: str, person: str) -> None:
    store = connect_store(settings)
    shard = shard_of(Subject(1, DISTINCT_ID, distinct_id), settings.shards)
    position = Position(b"fresh", 0, settings.partitions, 0, 0)
    pair = DistinctIdWrite(1, distinct_id, person, 5)
    assert await store.commit([ShardCommit(shard, None, position, distinct_ids=(pair,))]) == [Outcome.COMMITTED]
    await store.aclose()


@pytest.mark.fault
async def test_a_router_that_is_killed_again_and_again_loses_no_event(
    settings: Settings, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    total = 400 * KILLS
    async with clients.producer(settings.kafka) as producer:
        sending = asyncio.create_task(_send(producer, total))
        for kill in range(KILLS):
            router = _process(settings, tmp_path / f"router-{kill}.log")
            router.launch()
            try:
                await asyncio.sleep(rng.uniform(0.5, 3.0))
            finally:
                router.kill()
        offsets = await sending
    async with routing(settings):
        wanted = {tag_of(_uuid(number)) for number in range(total)}
        found = await read_until(settings, DELTAS, lambda messages: is_marked(messages, total // PARTITIONS))
    assert tags(found) == wanted
    check_marks(found, offsets)


def is_marked(found: list[ConsumerRecord], offset: int) -> bool:
    """Whether every partition has been told that every partition of the events is read to that offset."""
    told = {
        (record.partition, mark.partition)
        for record in found
        for mark in decode_message(record.value).marks
        if mark.topic == EVENTS and mark.next_offset >= offset
    }
    return len(told) == PARTITIONS * PARTITIONS


def check_marks(found: list[ConsumerRecord], offsets: dict[int, int]) -> None:
    """Of what a mark says is read, all that belongs into the mark's own partition stands there before it."""
    due: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for number, offset in sorted(offsets.items(), key=lambda item: item[1], reverse=True):
        target = shard_of(Subject(1, PERSON, f"p{number}"), SHARDS) % PARTITIONS
        due.setdefault((target, number % PARTITIONS), []).append((offset, tag_of(_uuid(number))))
    seen: dict[int, set[int]] = {partition: set() for partition in range(PARTITIONS)}
    marks = 0
    for record in found:
        message = decode_message(record.value)
        seen[record.partition] |= {entry.tag for delta in message.deltas for entry in delta.entries}
        for mark in message.marks:
            waiting = due.get((record.partition, mark.partition), []) if mark.topic == EVENTS else []
            while waiting and waiting[-1][0] < mark.next_offset:
                assert waiting.pop()[1] in seen[record.partition]
                marks += 1
    assert marks == len(offsets)


async def _send(producer: AIOKafkaProducer, total: int) -> dict[int, int]:
    """The events, a few at a time, over about the time that the kills take; the offset of each."""
    sent = []
    for number in range(total):
        sent.append(await producer.send(EVENTS, good(number), partition=number % PARTITIONS, timestamp_ms=ARRIVAL_MS))
        if number % 40 == 0:
            await asyncio.sleep(0.1)
    return {number: place.offset for number, place in enumerate(await asyncio.gather(*sent))}


async def test_a_router_that_is_told_to_end_commits_what_it_delivered_and_ends_well(
    settings: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "router.log"
    router = _process(settings, log)
    async with clients.producer(settings.kafka) as producer:
        await asyncio.gather(*[await producer.send(EVENTS, good(n), partition=0) for n in range(50)])
    router.launch()
    wanted = {tag_of(_uuid(number)) for number in range(50)}
    # A delta is seen before the router hears that it was delivered; a mark by itself is sent only after that.
    await read_until(
        settings, DELTAS, lambda messages: tags(messages) >= wanted and _marked_alone(messages, Source(EVENTS, 0), 50)
    )
    await asyncio.to_thread(router.stop)
    assert router.returncode == 0
    member = clients.group_consumer(settings, "router")
    member.subscribe([EVENTS])
    async with member:
        assert await member.committed(TopicPartition(EVENTS, 0)) == 50, log.read_text()


def _marked_alone(messages: list[ConsumerRecord], source: Source, next_offset: int) -> bool:
    """Whether a message without deltas says that everything of the source before the offset was delivered."""
    marks = [mark for message in decoded(messages) if not message.deltas for mark in message.marks]
    return any((mark.topic, mark.partition, mark.next_offset) == (*source, next_offset) for mark in marks)


def _process(settings: Settings, log: Path) -> ChildProcess:
    code = "from cohort_store.settings import Settings; from processors.router.wiring import run; run(Settings())"
    environment = {
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "MUSTER_KAFKA": settings.kafka,
        "MUSTER_SOURCES": json.dumps(settings.sources),
        "MUSTER_SHARDS": str(settings.shards),
        "MUSTER_PARTITIONS": str(settings.partitions),
        "MUSTER_SESSION_TIMEOUT_MS": str(settings.session_timeout_ms),
        "MUSTER_MARK_INTERVAL_MS": str(settings.mark_interval_ms),
    }
    command = [sys.executable, "-c", code]
    return ChildProcess(ChildSpec(name="router", command=command, log=log, ready=lambda: True, environment=environment))


async def test_partitions_that_move_are_told_as_a_new_generation_before_their_messages(settings: Settings) -> None:
    first, second = (KafkaEventSource(settings, settings.sources, SystemClock(), "test") for _ in range(2))
    every = {*(Source(EVENTS, n) for n in range(PARTITIONS)), *(Source(POSTHOG, n) for n in range(2))}
    await first.start()
    try:
        alone = await _settled(first, lambda: first.assigned == every)
        await second.start()
        try:
            async with asyncio.timeout(DEADLINE_S):
                shared, _ = await asyncio.gather(
                    _settled(first, lambda: first.assigned | second.assigned == every and len(first.assigned) == 3),
                    _settled(second, lambda: first.assigned | second.assigned == every and len(second.assigned) == 3),
                )
            assert first.assigned.isdisjoint(second.assigned)
            assert shared > alone
        finally:
            await second.stop()
    finally:
        await first.stop()


async def _settled(source: KafkaEventSource, reached: Callable[[], bool]) -> int:
    """Poll until something is reached; the generation by then."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            polled = await source.poll()
            if reached():
                return polled.generation


async def test_a_source_topic_that_comes_to_be_later_is_read_then_and_keeps_nothing_waiting(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(event_source, "MISSING_LOOK_S", 0.2)
    late = TopicSpec("comes.later", 2)
    source = KafkaEventSource(settings, [EVENTS, late.name], SystemClock(), "test")
    there = {Source(EVENTS, n) for n in range(PARTITIONS)}
    await source.start()
    try:
        assert [record.getMessage() for record in caplog.records if record.name == event_source.__name__] == [
            "test: source topic comes.later does not exist; it is read once it does"
        ]
        await _settled(source, lambda: source.assigned == there)
        await ensure_topics(settings.kafka, [late])
        await _settled(source, lambda: source.assigned == there | {Source(late.name, n) for n in range(2)})
    finally:
        await source.stop()


async def test_where_no_source_topic_exists_the_group_is_joined_once_one_does(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_source, "MISSING_LOOK_S", 0.2)
    late = TopicSpec("comes.first", 1)
    source = KafkaEventSource(settings, [late.name], SystemClock(), "test")
    starting = asyncio.create_task(source.start())
    try:
        done, _ = await asyncio.wait([starting], timeout=1.0)
        assert not done
        await ensure_topics(settings.kafka, [late])
        await asyncio.wait_for(starting, DEADLINE_S)
        await _settled(source, lambda: source.assigned == {Source(late.name, 0)})
    finally:
        starting.cancel()
        await source.stop()
