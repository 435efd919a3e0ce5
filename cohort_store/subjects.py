"""Who can be in a cohort, and which shard keeps her record.

A subject is (team, kind, id). Kind 0 is a person, 1 to 5 a group type, 15 a distinct id.
The shard is Kafka's murmur2 of ``team:kind:id``, modulo the number of shards fixed at installation;
so neither the number of partitions nor of processes ever moves anybody away from her record.
"""

from __future__ import annotations

from typing import NamedTuple

from murmurhash2 import murmurhash2

PERSON = 0
DISTINCT_ID = 15
SHARDS_DEFAULT = 256
ID_BYTES_MAX = 400
KAFKA_SEED = 0x9747B28C


class Subject(NamedTuple):
    """Someone (or something) with a record. `id` is the source's own id, as text."""

    team: int
    kind: int
    id: str

    def __str__(self) -> str:
        return f"{self.team}:{self.kind}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> Subject:
        """The inverse of `str()`; ids may contain colons."""
        team, kind, subject_id = text.split(":", 2)
        return cls(int(team), int(kind), subject_id)


def murmur2(data: bytes) -> int:
    """The 32-bit murmur2 hash with Kafka's seed, unsigned.

    Source: Austin Appleby's MurmurHash2, with the seed that Kafka's default partitioner uses.
    """
    return murmurhash2(data, KAFKA_SEED)


def shard_of(subject: Subject, shards: int) -> int:
    """The shard, 0 to shards - 1, that keeps the subject's record."""
    return (murmur2(str(subject).encode()) & 0x7FFFFFFF) % shards
