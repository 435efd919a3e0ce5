"""What contract tests are written with: subjects of a shard, and an owner who commits to it."""

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from cohort_store.ports import (
    MembershipReader,
    MembershipStore,
    Outcome,
    Position,
    RecordWrite,
    ShardCommit,
)
from cohort_store.subjects import Subject, shard_of

SHARDS = 16
START_MS = 1_768_222_800_000
DEADLINE_S = 40.0


class View(NamedTuple):
    """Both sides of one view, and its server's address (empty in memory)."""

    store: MembershipStore
    reader: MembershipReader
    url: str


def fresh_commit_id() -> bytes:
    return os.urandom(16)


def position(**fields: Any) -> Position:
    """A position with a new commit id."""
    usual: dict[str, Any] = {"partition": 0, "partitions": 8, "now_ms": START_MS, "ready": 1}
    return Position(**{"commit_id": fresh_commit_id(), **usual, **fields})


def uuid_persons(shard: int, seed: int = 0) -> Iterator[Subject]:
    """Persons of that shard, with UUIDs for ids; for ever."""
    random = Random(seed * SHARDS + shard)
    while True:
        person = Subject(1, 0, str(uuid.UUID(int=random.getrandbits(128), version=4)))
        if shard_of(person, SHARDS) == shard:
            yield person


def person(shard: int, seed: int = 0) -> Subject:
    return next(uuid_persons(shard, seed))


def write(subject: Subject, record: bytes | None = b"record", **fields: Any) -> RecordWrite:
    return RecordWrite(subject, record, **fields)


@dataclass
class Owner:
    """Who owns a shard, and knows the commit id that she wrote last."""

    store: MembershipStore
    shard: int = 0
    last: bytes | None = None

    async def commit(
        self, *records: RecordWrite, position_fields: dict[str, Any] | None = None, **fields: Any
    ) -> Outcome:
        """Commit with a new position; remembers its id where it was committed."""
        commit = self.prepare(*records, position_fields=position_fields, **fields)
        (outcome,) = await self.store.commit([commit])
        if outcome is Outcome.COMMITTED:
            self.last = commit.position.commit_id
        return outcome

    def prepare(
        self, *records: RecordWrite, position_fields: dict[str, Any] | None = None, **fields: Any
    ) -> ShardCommit:
        return ShardCommit(self.shard, self.last, position(**position_fields or {}), records=records, **fields)
