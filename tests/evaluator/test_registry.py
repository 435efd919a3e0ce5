"""The registry is followed in the background, swapped as a whole, and never lost or put back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from cohort_store.errors import Retry
from cohort_store.memory import MemoryMirror
from cohort_store.registry import Registry, encode_registry
from evaluator.definitions.registry import RegistryFollower
from tests.evaluator.building import SHARDS, flag, registry_of

DEADLINE_S = 5.0


class Versions:
    """What a follower tells of the catalogs that took force."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def __call__(self, version: int, refused: int) -> None:
        self.told.append((version, refused))


class FailingMirror(MemoryMirror):
    """The twin, out of reach for as many fetches as asked for."""

    failures = 0

    def failing_first(self, fetches: int) -> None:
        self.failures = fetches

    async def fetch(self) -> bytes | None:
        if self.failures:
            self.failures -= 1
            raise Retry("unreachable, as asked for")
        return await super().fetch()


def _registry(version: int, *flags: str) -> Registry:
    return msgspec.structs.replace(registry_of([flag(key) for key in flags]), version=version)


async def _publish(mirror: MemoryMirror, registry: Registry) -> None:
    await mirror.publish(encode_registry(registry), registry.version)


@asynccontextmanager
async def _following(mirror: MemoryMirror, versions: Versions | None = None) -> AsyncIterator[RegistryFollower]:
    follower = RegistryFollower(mirror, versions or Versions(), SHARDS)
    task = asyncio.create_task(follower.follow())
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until_version(follower: RegistryFollower, version: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while follower.catalog.version < version:
            await asyncio.sleep(0.005)


async def test_an_empty_mirror_is_an_empty_catalog_that_is_loaded() -> None:
    follower = RegistryFollower(MemoryMirror(), Versions(), SHARDS)
    assert not follower.loaded
    await follower.refresh()
    assert follower.loaded
    assert follower.catalog.version == 0


async def test_a_published_registry_is_in_force_soon_after() -> None:
    mirror, versions = MemoryMirror(), Versions()
    async with _following(mirror, versions) as follower:
        await _publish(mirror, _registry(1, "first"))
        await _until_version(follower, 1)
        await _publish(mirror, _registry(2, "first", "second"))
        await _until_version(follower, 2)
        assert list(follower.catalog.team(1).flags) == ["first", "second"]
    assert versions.told == [(1, 0), (2, 0)]


async def test_a_request_keeps_the_catalog_that_it_began_with() -> None:
    mirror = MemoryMirror()
    follower = RegistryFollower(mirror, Versions(), SHARDS)
    await _publish(mirror, _registry(1, "first"))
    await follower.refresh()
    held = follower.catalog
    await _publish(mirror, _registry(2, "second"))
    await follower.refresh()
    assert list(held.team(1).flags) == ["first"]


async def test_a_mirror_out_of_reach_is_tried_until_it_answers() -> None:
    mirror = FailingMirror()
    mirror.failing_first(2)
    await _publish(mirror, _registry(1))
    async with _following(mirror) as follower:
        await _until_version(follower, 1)


async def test_a_copy_that_cannot_be_read_leaves_the_catalog_in_force(caplog: pytest.LogCaptureFixture) -> None:
    mirror = MemoryMirror()
    follower = RegistryFollower(mirror, Versions(), SHARDS)
    await _publish(mirror, _registry(1, "first"))
    await follower.refresh()
    await mirror.publish(b'{"version": 2, "teams": 7}', 2)
    await follower.refresh()
    assert list(follower.catalog.team(1).flags) == ["first"]
    assert "unreadable" in caplog.text


async def test_an_older_registry_never_replaces_a_newer_one() -> None:
    newer, older = MemoryMirror(), MemoryMirror()
    await _publish(newer, _registry(5, "first"))
    await _publish(older, _registry(4))
    follower = RegistryFollower(newer, Versions(), SHARDS)
    await follower.refresh()
    follower._mirror = older
    await follower.refresh()
    assert follower.catalog.version == 5


async def test_a_registry_of_another_number_of_shards_is_refused_until_one_of_this_number_comes() -> None:
    mirror = MemoryMirror()
    follower = RegistryFollower(mirror, Versions(), SHARDS)
    await _publish(mirror, _registry(1, "f"))
    await follower.refresh()
    assert (follower.catalog.version, follower.refused) == (1, "")
    await _publish(mirror, msgspec.structs.replace(_registry(2, "f"), shards=SHARDS + 1))
    await follower.refresh()
    assert follower.catalog.version == 1
    assert f"MUSTER_SHARDS is {SHARDS}" in follower.refused
    assert f"set MUSTER_SHARDS={SHARDS + 1}" in follower.refused
    await _publish(mirror, msgspec.structs.replace(_registry(3, "f"), shards=SHARDS))
    await follower.refresh()
    assert (follower.catalog.version, follower.refused) == (3, "")
