"""The registry's mirror: newest copy wins, and who waits hears of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import monotonic

import pytest

from cohort_store.memory import MemoryMirror, RegistryCopy
from cohort_store.ports import RegistryMirror
from cohort_store.redis.wiring import connect_mirror
from tests.contract.conftest import CLUSTER, SERVER, view_settings

Mirrors = tuple[RegistryMirror, RegistryMirror]


@pytest.fixture(params=["memory", SERVER, CLUSTER])
async def mirrors(request: pytest.FixtureRequest) -> AsyncIterator[Mirrors]:
    """Two mirrors of one registry: control's and a reader's."""
    if request.param == "memory":
        copy = RegistryCopy()
        yield MemoryMirror(copy), MemoryMirror(copy)
        return
    settings = view_settings(request, request.param)
    async with AsyncExitStack() as stack:
        first, second = connect_mirror(settings), connect_mirror(settings)
        stack.push_async_callback(first.aclose)
        stack.push_async_callback(second.aclose)
        yield first, second


async def test_there_is_no_copy_before_the_first_is_published(mirrors: Mirrors) -> None:
    assert await mirrors[1].fetch() is None
    assert not await mirrors[1].changed(0.05)


async def test_the_newest_published_registry_is_the_copy(mirrors: Mirrors) -> None:
    control, reader = mirrors
    await control.publish(b"\x00one", 1)
    await control.publish(b"three", 3)
    assert await reader.fetch() == b"three"


@pytest.mark.parametrize(("version", "copy"), [(2, b"three"), (3, b"again"), (4, b"again"), (10, b"again")])
async def test_an_older_registry_than_the_copy_is_ignored(mirrors: Mirrors, version: int, copy: bytes) -> None:
    control, reader = mirrors
    await control.publish(b"three", 3)
    await control.publish(b"again", version)
    assert await reader.fetch() == copy


async def test_a_reader_who_has_fetched_nothing_hears_of_a_copy_at_once(mirrors: Mirrors) -> None:
    control, reader = mirrors
    await control.publish(b"one", 1)
    assert await reader.changed(5)
    assert await reader.changed(5), "it stays news until it is fetched"
    await reader.fetch()
    assert not await reader.changed(0.05)


async def test_parts_of_lists_are_held_as_last_told_whatever_bytes_they_are(mirrors: Mirrors) -> None:
    control, reader = mirrors
    assert await reader.lists() == {}
    await control.keep_lists({"list:1:a.0": b"\x00[]", "list:1:b.0": b"x" * 500_000})
    await control.keep_lists({"list:1:b.0": b"x" * 500_000, "list:2:c.0": b"[]"})
    assert await reader.lists() == {"list:1:b.0": b"x" * 500_000, "list:2:c.0": b"[]"}
    await control.keep_lists({})
    assert await reader.lists() == {}


async def test_a_note_is_held_until_it_is_taken_away(mirrors: Mirrors) -> None:
    control, other = mirrors
    assert await other.note("n") is None
    await control.keep_note("n", b"\x00[]")
    await control.keep_note("m", b"")
    await control.keep_note("n", b"2")
    assert (await other.note("n"), await other.note("m")) == (b"2", b"")
    await control.keep_note("n", None)
    await control.keep_note("n", None)
    assert (await other.note("n"), await other.note("m")) == (None, b"")


async def test_who_waits_hears_of_a_new_version_before_polling_would_tell(mirrors: Mirrors) -> None:
    control, reader = mirrors
    await control.publish(b"one", 1)
    await reader.fetch()
    assert not await reader.changed(0.05)
    waiting = asyncio.create_task(reader.changed(10))
    await asyncio.sleep(0)
    started = monotonic()
    await control.publish(b"two", 2)
    assert await waiting
    assert monotonic() - started < 5
    assert await reader.fetch() == b"two"


async def test_a_version_that_came_between_fetching_and_waiting_is_not_missed(mirrors: Mirrors) -> None:
    control, reader = mirrors
    await control.publish(b"one", 1)
    await reader.fetch()
    await control.publish(b"two", 2)
    assert await reader.changed(5)
