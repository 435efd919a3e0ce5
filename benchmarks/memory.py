"""Memory: bytes in Valkey a membership, with the member lists and without, and a record.

100,000 persons with UUIDs, three events each, in 1 and in 10 cohorts; what an empty record costs is told apart by
filling the view in three ways and taking differences of `used_memory`.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import NamedTuple

from redis.asyncio import Redis

from benchmarks.parts import embedded
from cohort_store.ports import COMMIT_RECORDS_MAX, Position, RecordWrite, ShardCommit
from cohort_store.records import Record, encode_record
from cohort_store.redis.keys import ShardKeys
from cohort_store.redis.wiring import connect_reader, connect_store
from cohort_store.settings import Settings
from cohort_store.subjects import PERSON, Subject, shard_of

PERSONS = 100_000
NOW_MS = 1_760_000_000_000
HOUR_MS = 3_600_000
FIRST_HANDLE = 100


class Result(NamedTuple):
    """Bytes; memberships' by the number of cohorts a person is in."""

    record: float
    timer: float
    unlisted: dict[int, float]
    listed: dict[int, float]


async def measure() -> Result:
    """Fill the view five times."""
    bare, timers = await _filled(0, listed=False)
    empty, _ = await _filled(0, listed=False, persons=0)
    unlisted, listed = {}, {}
    for cohorts in (1, 10):
        unlisted[cohorts] = ((await _filled(cohorts, listed=False))[0] - bare) / PERSONS / cohorts
        listed[cohorts] = ((await _filled(cohorts, listed=True))[0] - bare) / PERSONS / cohorts
    return Result((bare - empty - timers) / PERSONS, timers / PERSONS, unlisted, listed)


async def _filled(cohorts: int, *, listed: bool, persons: int = PERSONS) -> tuple[int, int]:
    """Bytes that the view uses with so many persons in so many cohorts each, and those of the shards' timers in it."""
    handles = tuple(range(FIRST_HANDLE, FIRST_HANDLE + cohorts))
    with embedded({}, broker=None) as bench:
        store, shards = connect_store(bench.settings), bench.settings.shards
        writes: dict[int, list[RecordWrite]] = {shard: [] for shard in range(shards)}
        for number in range(persons):
            subject = Subject(1, PERSON, str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))))
            line = tuple((NOW_MS - hours * HOUR_MS, number % 99_991) for hours in (50, 20, 1))
            record = encode_record(Record(frozenset(handles), {1: line}))
            writes[shard_of(subject, shards)].append(RecordWrite(subject, record, handles, (), NOW_MS + number))
        for shard, of_shard in writes.items():
            expected = None
            for first in range(0, max(1, len(of_shard)), COMMIT_RECORDS_MAX):
                commit_id = b"%d" % first
                position = Position(commit_id, shard % 8, 8, NOW_MS, 1)
                some = tuple(of_shard[first : first + COMMIT_RECORDS_MAX])
                unlisted = frozenset() if listed else frozenset(handles)
                await store.commit([ShardCommit(shard, expected, position, some, unlisted=unlisted)])
                expected = commit_id
        await store.aclose()
        await _check(bench.settings, handles, persons)
        client = Redis.from_url(bench.settings.redis)
        used: int = (await client.info("memory"))["used_memory"]
        sizes = [await client.memory_usage(ShardKeys(bench.settings.redis_prefix, n).timers, 0) for n in range(shards)]
        await client.aclose()
        return used, sum(size or 0 for size in sizes)


async def _check(settings: Settings, handles: tuple[int, ...], persons: int) -> None:
    """Every cohort has every person."""
    reader = connect_reader(settings)
    sizes = [await reader.size(handle) for handle in handles]
    await reader.aclose()
    if sizes != [persons] * len(handles):
        raise RuntimeError(f"cohorts hold {sizes} persons, not {persons} each")


def report(found: Result) -> None:
    """The figures, as they are quoted."""
    print(f"memory, {PERSONS:,} persons with UUIDs in Valkey")
    print(
        f"  a record of three events, with its key: {found.record:.0f} bytes (goal 150); its timer: {found.timer:.0f}"
    )
    for cohorts in found.listed:
        print(
            f"  a membership, {cohorts} a person: {found.unlisted[cohorts]:.1f} bytes without the list (goal 15), "
            f"{found.listed[cohorts]:.1f} with it (goal 35)"
        )


if __name__ == "__main__":
    report(asyncio.run(measure()))
