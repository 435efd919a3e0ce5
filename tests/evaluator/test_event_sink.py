"""The contract of an event sink, held by the twin and by Kafka; and the bound and the deadline before it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from cohort_store.errors import Retry
from cohort_store.kafka.topics import TopicSpec, ensure_topics
from evaluator.capture.event_sink import EventIntake, EventSink, Full, Message, Outcome, RememberedEvents
from evaluator.kafka.event_sink import CLOSE_DEADLINE_S, KafkaEventSink
from processors.embedded.broker import EmbeddedBroker
from processors.embedded.child import LOOPBACK, choose_port
from tests.sdks.topics import messages_of

NOW = 1_768_222_800_000
SERVER = pytest.param("kafka", marks=pytest.mark.services)


@pytest.fixture(params=["memory", SERVER])
async def sink_and_topic(request: pytest.FixtureRequest) -> tuple[EventSink, str]:
    if request.param == "memory":
        return RememberedEvents(), "events"
    bootstrap: str = request.getfixturevalue("broker")
    topic = f"test.{request.node.name}".replace("[", "-").replace("]", "")
    await ensure_topics(bootstrap, [TopicSpec(topic, 4)])
    sink = KafkaEventSink(bootstrap)
    return sink, topic


def message(topic: str, number: int, size: int = 1) -> Message:
    return Message(topic, f"1:{number}".encode(), f"{number}".encode() * size, (("reason", b"why"),))


async def kept(sink: EventSink, topic: str, request: pytest.FixtureRequest) -> list[bytes]:
    if isinstance(sink, RememberedEvents):
        return sorted(each.value for each in sink.messages)
    return sorted(each.value for each in await messages_of(request.getfixturevalue("broker"), topic))


async def test_what_is_acknowledged_is_in_the_log(
    sink_and_topic: tuple[EventSink, str], request: pytest.FixtureRequest
) -> None:
    sink, topic = sink_and_topic
    try:
        assert await sink.send([message(topic, n) for n in range(5)], NOW) == [Outcome.KEPT] * 5
        assert await sink.send([], NOW) == []
        assert await kept(sink, topic, request) == [b"0", b"1", b"2", b"3", b"4"]
    finally:
        await sink.aclose()
        await sink.aclose()


async def test_several_requests_at_once_are_all_kept(
    sink_and_topic: tuple[EventSink, str], request: pytest.FixtureRequest
) -> None:
    sink, topic = sink_and_topic
    try:
        await asyncio.gather(*(sink.send([message(topic, n)], NOW) for n in range(20)))
        assert len(await kept(sink, topic, request)) == 20
    finally:
        await sink.aclose()


async def test_without_kafka_whoever_sends_is_told_so_soon_and_again_at_once() -> None:
    sink = KafkaEventSink(f"{LOOPBACK}:{choose_port(None)}")
    async with asyncio.timeout(5):
        for _ in range(3):
            with pytest.raises(Retry, match="cannot be reached"):
                await sink.send([message("events", 1)], NOW)
    await sink.aclose()


@pytest.mark.slow
@pytest.mark.services
async def test_closing_does_not_wait_for_a_kafka_that_went_away(tmp_path: Path) -> None:
    port = choose_port(None)
    sink = KafkaEventSink(f"{LOOPBACK}:{port}")
    with EmbeddedBroker(tmp_path / "broker", port) as broker:
        await ensure_topics(broker.bootstrap, [TopicSpec("events", 1)])
        assert await sink.send([message("events", 1)], NOW) == [Outcome.KEPT]
    sending = asyncio.ensure_future(EventIntake(sink, deadline_s=0.2).take([message("events", 2)], NOW))
    with pytest.raises(Retry):
        await sending
    async with asyncio.timeout(2 * CLOSE_DEADLINE_S):
        await sink.aclose()


class Slow(RememberedEvents):
    """Acknowledges when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()

    async def send(self, messages: Sequence[Message], now_ms: int) -> Sequence[Outcome]:
        await self.let.wait()
        return await super().send(messages, now_ms)


@pytest.mark.parametrize(("size", "fits"), [(49, True), (50, True), (51, False)])
async def test_what_waits_for_kafka_is_bounded(size: int, fits: bool) -> None:
    slow = Slow()
    intake = EventIntake(slow, waiting_bytes_max=100)
    first = asyncio.ensure_future(intake.take([Message("events", None, b"x" * 50)], NOW))
    await asyncio.sleep(0)
    assert intake.waiting_bytes == 50
    second = asyncio.ensure_future(intake.take([Message("events", None, b"x" * size)], NOW))
    await asyncio.sleep(0)
    slow.let.set()
    await first
    if fits:
        assert await second == [Outcome.KEPT]
    else:
        with pytest.raises(Full, match="at most 100"):
            await second
    assert intake.waiting_bytes == 0


async def test_one_request_longer_than_the_bound_is_let_through_alone() -> None:
    assert await EventIntake(RememberedEvents(), waiting_bytes_max=10).take([message("events", 1, 50)], NOW)


async def test_a_log_that_does_not_answer_is_given_up_at_the_deadline() -> None:
    intake = EventIntake(Slow(), deadline_s=0.01)
    with pytest.raises(Retry, match="nothing within"):
        await intake.take([message("events", 1)], NOW)
    assert intake.waiting_bytes == 0
