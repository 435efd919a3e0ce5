"""One contract for the sources of definitions: the topic on a broker, and the twin."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import msgspec
import pytest

from cohort_store.errors import Retry
from cohort_store.kafka import clients
from cohort_store.kafka.registry_source import TopicRegistrySource
from cohort_store.kafka.registry_topic import KEY
from cohort_store.kafka.topics import REGISTRY, ensure_topics, muster_topics
from cohort_store.memory import MemoryMirror
from cohort_store.registry import Registry, decode_registry, encode_registry
from evaluator.definitions.registry import RegistrySource
from tests.evaluator.building import flag, registry_of
from tests.evaluator.serving import NO_BROKER

DEADLINE_S = 30.0


@dataclass
class Log:
    """A source, and the way to put a registry where it finds it."""

    source: RegistrySource
    write: Callable[[Registry], Awaitable[None]]


def _registry(version: int) -> Registry:
    return msgspec.structs.replace(registry_of([flag(f"f{version}")]), version=version)


@pytest.fixture(params=["memory", "topic"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    if request.param == "memory":
        mirror = MemoryMirror()
        yield Log(mirror, lambda registry: mirror.publish(encode_registry(registry), registry.version))
        return
    bootstrap = str(request.getfixturevalue("fresh_broker"))
    await ensure_topics(bootstrap, [spec for spec in muster_topics() if spec.name == REGISTRY])
    producer = clients.producer(bootstrap)
    await producer.start()
    source = TopicRegistrySource(bootstrap)

    async def write(registry: Registry) -> None:
        await producer.send_and_wait(REGISTRY, encode_registry(registry), key=KEY, partition=0)

    try:
        yield Log(source, write)
    finally:
        await producer.stop()
        await source.aclose()


async def _version(source: RegistrySource) -> int | None:
    raw = await source.fetch()
    return None if raw is None else decode_registry(raw).version


async def test_where_nothing_was_written_there_is_none_and_then_the_newest(log: Log) -> None:
    async with asyncio.timeout(DEADLINE_S):
        assert await log.source.fetch() is None
        for version in (1, 2):
            await log.write(_registry(version))
        assert await log.source.changed(DEADLINE_S)
        while await _version(log.source) != 2:
            await log.source.changed(DEADLINE_S)


async def test_a_new_source_finds_what_was_written_before(log: Log) -> None:
    for version in (1, 2, 3):
        await log.write(_registry(version))
    assert await _version(log.source) == 3


async def test_waiting_ends_by_itself_where_nothing_changes(log: Log) -> None:
    await log.write(_registry(1))
    assert await _version(log.source) == 1
    async with asyncio.timeout(DEADLINE_S):
        assert not await log.source.changed(0.05)


async def test_an_older_registry_that_comes_later_is_not_the_newest(log: Log) -> None:
    for version in (1, 3, 2):
        await log.write(_registry(version))
    assert await _version(log.source) == 3


async def test_a_broker_that_is_not_there_is_a_retry() -> None:
    source = TopicRegistrySource(NO_BROKER)
    with pytest.raises(Retry, match="cannot be read"):
        await source.fetch()
    await source.aclose()


async def test_a_topic_that_is_not_there_is_a_retry_and_is_not_created_by_the_question(fresh_broker: str) -> None:
    source = TopicRegistrySource(fresh_broker)
    with pytest.raises(Retry, match="muster control creates it"):
        await source.fetch()
    await source.aclose()
    created = await ensure_topics(fresh_broker, muster_topics())
    assert REGISTRY in created
