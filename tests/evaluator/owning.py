"""Persons who enter and leave cohorts as an owner would have it: a commit to the store, then a change in the topic."""

import os
import time
from types import TracebackType
from typing import Self

from cohort_store.changes import ENTERED, LEFT, Change, encode_change
from cohort_store.kafka import clients
from cohort_store.kafka.topics import MEMBERSHIP_CHANGES, ensure_topics, muster_topics
from cohort_store.ports import DistinctIdWrite, RecordWrite, ShardCommit
from cohort_store.records import Record, encode_record
from cohort_store.redis.wiring import connect_store
from cohort_store.subjects import DISTINCT_ID, PERSON, Subject, shard_of
from tests.evaluator.building import SHARDS
from tests.evaluator.conftest import view_settings

PARTITIONS = 2


def kafka_at(bootstrap: str) -> dict[str, str]:
    """What an evaluator's environment says of a broker."""
    return {"MUSTER_KAFKA": bootstrap, "MUSTER_PARTITIONS": str(PARTITIONS)}


class Owner:
    """Writes to the view, and publishes what changed; with no broker, it publishes nothing."""

    def __init__(self, view_url: str, bootstrap: str | None) -> None:
        self._store = connect_store(view_settings(view_url))
        self._bootstrap = bootstrap
        self._producer = clients.producer(bootstrap) if bootstrap else None

    async def __aenter__(self) -> Self:
        if self._producer is not None and self._bootstrap is not None:
            await ensure_topics(self._bootstrap, muster_topics(PARTITIONS))
            await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._producer is not None:
            await self._producer.stop()
        await self._store.aclose()

    async def move(self, person: str, handle: int, *, entered: bool, publish: bool = True) -> None:
        """Put a person into the cohort's version, or take her out of it."""
        subject = Subject(1, PERSON, person)
        record = encode_record(Record(frozenset([handle] if entered else []), {}))
        moved = ((handle,), ()) if entered else ((), (handle,))
        await self._commit(shard_of(subject, SHARDS), records=(RecordWrite(subject, record, *moved),))
        if publish:
            await self.publish(person, ENTERED if entered else LEFT, shard_of(subject, SHARDS))

    async def identify(self, distinct_id: str, person: str) -> None:
        """Say whose a distinct id is; no change tells of that."""
        write = DistinctIdWrite(1, distinct_id, person, time.time_ns())
        await self._commit(shard_of(Subject(1, DISTINCT_ID, distinct_id), SHARDS), distinct_ids=(write,))

    async def publish(self, person: str, status: str, shard: int) -> None:
        """Publish a change, whether anything changed or not."""
        assert self._producer is not None
        change = Change(
            person, 1, 1, status, "2026-01-12 12:00:00.000000", "buyers", 1, "event", shard, time.time_ns() // 1_000
        )
        await self._producer.send_and_wait(MEMBERSHIP_CHANGES, encode_change(change), partition=shard % PARTITIONS)

    async def _commit(
        self, shard: int, records: tuple[RecordWrite, ...] = (), distinct_ids: tuple[DistinctIdWrite, ...] = ()
    ) -> None:
        held = (await self._store.positions([shard]))[shard]
        position = held._replace(commit_id=os.urandom(16))
        await self._store.commit([ShardCommit(shard, held.commit_id, position, records, distinct_ids)])
