"""One history of the registry, however many think that they may write."""

import msgspec
import pytest

from cohort_store.errors import Crash
from cohort_store.registry import Registry
from processors.control.registry_log import KEY, RegistryLog
from processors.topic_log import RememberedLog, RememberedTopic


def with_handles(registry: Registry, next_handle: int) -> Registry:
    return msgspec.structs.replace(registry, version=registry.version + 1, next_handle=next_handle)


async def test_of_two_writers_of_one_version_the_first_message_counts() -> None:
    topic = RememberedTopic()
    first, second = RegistryLog(RememberedLog(topic)), RegistryLog(RememberedLog(topic))
    of_first, of_second = with_handles(Registry(), 10), with_handles(Registry(), 20)
    assert await first.write(of_first)
    assert not await second.write(of_second)
    assert first.current == await second.catch_up() == of_first


async def test_a_writer_that_was_overtaken_goes_on_from_the_others_version() -> None:
    topic = RememberedTopic()
    first, second = RegistryLog(RememberedLog(topic)), RegistryLog(RememberedLog(topic))
    await first.write(with_handles(Registry(), 10))
    await second.write(with_handles(Registry(), 20))
    assert await second.write(with_handles(second.current, 30))
    assert (await first.catch_up()).version == 2
    assert first.current.next_handle == 30


async def test_a_void_message_at_the_end_is_noticed() -> None:
    topic = RememberedTopic()
    writer, sleeper = RegistryLog(RememberedLog(topic)), RegistryLog(RememberedLog(topic))
    await writer.write(with_handles(Registry(), 10))
    assert not writer.last_is_void
    await sleeper.write(with_handles(Registry(), 20))
    await writer.catch_up()
    assert writer.last_is_void


async def test_bytes_that_are_no_registry_stop_the_process() -> None:
    topic = RememberedTopic()
    await RememberedLog(topic).append([(KEY, b"nonsense")])
    with pytest.raises(Crash, match="message 0 of the registry's topic is no registry"):
        await RegistryLog(RememberedLog(topic)).catch_up()


async def test_each_of_the_last_applies_can_be_found_though_newer_ones_came() -> None:
    log = RegistryLog(RememberedLog(RememberedTopic()))
    for number in range(1, 4):
        await log.write(Registry(version=number, applied=f"apply {number}"))
    found = log.find("apply 2")
    assert found is not None
    assert found.version == 2
    assert log.find("apply 9") is None
