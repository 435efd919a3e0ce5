"""Definitions in a file: whole or refused, never in the way, and believed until a live source has a registry."""

import asyncio
import logging
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_store.clocks import SteppedClock
from cohort_store.errors import Retry
from cohort_store.memory import MemoryMirror
from cohort_store.registry import Registry, encode_registry
from evaluator.definitions.registry import MIRROR, SNAPSHOT, RegistryFollower
from evaluator.definitions.snapshot import BadSnapshot, Snapshot, SnapshotFile
from tests.evaluator.building import NOW_MS, SHARDS, flag, registry_of
from tests.examples import aside

RAW = b'{"version":1}'


class AwayMirror(MemoryMirror):
    """The twin of a view that is away."""

    async def fetch(self) -> bytes | None:
        raise Retry("unreachable, as asked for")


def _registry(version: int, *flags: str) -> Registry:
    return msgspec.structs.replace(registry_of([flag(key) for key in flags]), version=version)


def _follower(
    mirror: MemoryMirror, path: Path, clock: SteppedClock | None = None, **others: MemoryMirror
) -> RegistryFollower:
    return RegistryFollower(
        mirror,
        lambda _version, _refused: None,
        SHARDS,
        others=others,
        snapshot=SnapshotFile(path),
        clock=clock or SteppedClock(NOW_MS),
    )


async def _published(registry: Registry) -> MemoryMirror:
    mirror = MemoryMirror()
    await mirror.publish(encode_registry(registry), registry.version)
    return mirror


def test_what_was_saved_is_loaded_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    file = SnapshotFile(tmp_path / "deep" / "registry.snapshot")
    assert file.load() is None
    for raw in (RAW, RAW * 3):
        file.save(Snapshot(raw, NOW_MS))
        assert file.load() == Snapshot(raw, NOW_MS)
    assert [path.name for path in file.path.parent.iterdir()] == ["registry.snapshot"]


@aside()
@given(data=st.data())
def test_a_file_that_was_cut_or_altered_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.snapshot"
    file = SnapshotFile(path)
    file.save(Snapshot(RAW, NOW_MS))
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(
        st.sampled_from([whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :], whole + b" "])
    )
    path.write_bytes(damaged)
    said = ""
    try:
        loaded = file.load()
    except BadSnapshot as error:
        said = str(error)
    else:
        # The instant alone is not guarded: it decides nothing.
        assert loaded is not None
        assert loaded.raw == RAW
    assert not said or (str(path) in said and "delete it" in said)


async def test_what_is_in_force_is_written_down_and_is_there_at_the_next_start_with_every_source_away(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s"
    first = _follower(await _published(_registry(3, "f")), path)
    await first.restore()
    assert (first.loaded, first.snapshot_age_s()) == (False, -1)
    await first.refresh()
    second = _follower(AwayMirror(), path)
    await second.restore()
    assert (second.catalog.version, list(second.catalog.team(1).flags)) == (3, ["f"])
    assert (second.loaded, second.origin) == (True, SNAPSHOT)
    with pytest.raises(Retry):
        await second.refresh()
    assert second.catalog.version == 3


@pytest.mark.parametrize("version", [2, 3, 4])
async def test_a_live_source_takes_the_snapshots_place_even_with_an_older_registry(
    tmp_path: Path, version: int
) -> None:
    path = tmp_path / "s"
    await _follower(await _published(_registry(3, "old")), path).refresh()
    follower = _follower(await _published(_registry(version, "new")), path)
    await follower.restore()
    await follower.refresh()
    assert (follower.catalog.version, list(follower.catalog.team(1).flags)) == (version, ["new"])
    assert follower.origin == MIRROR
    third = _follower(AwayMirror(), path)
    await third.restore()
    assert third.catalog.version == version


async def test_an_empty_mirror_takes_nothing_away(tmp_path: Path) -> None:
    path = tmp_path / "s"
    await _follower(await _published(_registry(3, "f")), path).refresh()
    follower = _follower(MemoryMirror(), path)
    await follower.restore()
    await follower.refresh()
    assert (follower.catalog.version, follower.origin) == (3, SNAPSHOT)


async def test_of_two_sources_the_newer_one_counts_whichever_comes_first(tmp_path: Path) -> None:
    older, newer = await _published(_registry(3, "old")), await _published(_registry(4, "new"))
    for place, (mirror, topic) in enumerate(((older, newer), (newer, older))):
        follower = _follower(mirror, tmp_path / str(place), topic=topic)
        for name, source in ((MIRROR, mirror), ("topic", topic)):
            await follower._refresh(name, source)
        assert list(follower.catalog.team(1).flags) == ["new"]


async def test_a_source_that_is_away_keeps_no_other_from_being_followed(tmp_path: Path) -> None:
    topic = await _published(_registry(3, "f"))
    follower = _follower(AwayMirror(), tmp_path / "s", topic=topic)
    following = asyncio.create_task(follower.follow())
    async with asyncio.timeout(5):
        while follower.catalog.version < 3:
            await asyncio.sleep(0.005)
        await topic.publish(encode_registry(_registry(4)), 4)
        while follower.catalog.version < 4:
            await asyncio.sleep(0.005)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert follower.origin == "topic"


async def test_a_source_that_stays_away_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class CountedMirror(AwayMirror):
        tried = 0

        async def fetch(self) -> bytes | None:
            self.tried += 1
            return await super().fetch()

    mirror = CountedMirror()
    following = asyncio.create_task(_follower(mirror, tmp_path / "s").follow())
    async with asyncio.timeout(10):
        while mirror.tried < 3:
            await asyncio.sleep(0.005)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert caplog.text.count("cannot be read") == 1


async def test_a_damaged_snapshot_is_named_and_does_not_keep_the_evaluator_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "s"
    path.write_bytes(b"nonsense")
    follower = _follower(await _published(_registry(3, "f")), path)
    await follower.restore()
    assert "does not begin as a snapshot" in caplog.text
    await follower.refresh()
    assert follower.catalog.version == 3
    assert follower.snapshot_age_s() == 0


async def test_a_folder_that_cannot_be_written_to_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("where a folder should be")
    follower = _follower(await _published(_registry(3, "f")), tmp_path / "file" / "s")
    with caplog.at_level(logging.WARNING):
        await follower.refresh()
        await follower.refresh()
    assert caplog.text.count("no snapshot of the definitions can be written") == 1
    assert (follower.catalog.version, follower.snapshot_age_s()) == (3, -1)


async def test_the_snapshots_age_counts_from_when_a_source_last_said_the_same(tmp_path: Path) -> None:
    clock = SteppedClock(NOW_MS)
    follower = _follower(await _published(_registry(3, "f")), tmp_path / "s", clock)
    await follower.refresh()
    ages = []
    for _ in range(2):
        clock.set(clock.now_ms() + 90_000)
        ages.append(follower.snapshot_age_s())
        await follower.refresh()
        ages.append(follower.snapshot_age_s())
    assert ages == [90, 0, 90, 0]
