"""Moves one person into a cohort, or out of it, as the membership worker's commits do."""

import os

from cohort_store.ports import RecordWrite, ShardCommit
from cohort_store.records import Record, encode_record
from cohort_store.redis.wiring import connect_store
from cohort_store.registry import Registry
from cohort_store.settings import Settings
from cohort_store.subjects import PERSON, Subject, shard_of
from tests.evaluator.building import SHARDS


async def move(url: str, registry: Registry, person: str, cohort: str, *, into: bool) -> None:
    """Commit the person as a member of that cohort alone, or of none. Her shard must have a position."""
    subject = Subject(1, PERSON, person)
    shard = shard_of(subject, SHARDS)
    found = registry.team(1).cohort(cohort)
    assert found is not None
    handle = (found.versions[-1].handle,)
    store = connect_store(Settings(redis=url, shards=SHARDS))
    try:
        before = (await store.positions([shard]))[shard]
        record = encode_record(Record(frozenset(handle if into else ()), {}))
        joined, departed = (handle, ()) if into else ((), handle)
        write = RecordWrite(subject, record, joined=joined, departed=departed)
        position = before._replace(commit_id=os.urandom(16))
        await store.commit([ShardCommit(shard, before.commit_id, position, (write,))])
    finally:
        await store.aclose()
