"""Who can be in a cohort, and which shard keeps her record.

A subject is (team, kind, id). Kind 0 is a person, 1 to 5 a group type, 15 a distinct id.
The shard is Kafka's murmur2 of ``team:kind:id``, modulo the number of shards fixed at installation;
so neither the number of partitions nor of processes ever moves anybody away from her record.
"""

from __future__ import annotations

from functools import lru_cache
from struct import unpack_from
from typing import NamedTuple

PERSON = 0
DISTINCT_ID = 15
SHARDS_DEFAULT = 256
ID_BYTES_MAX = 400


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

    Source: Austin Appleby's MurmurHash2, with the seed 0x9747b28c that Kafka's default partitioner uses.
    """
    length = len(data)
    m = 0x5BD1E995
    h = 0x9747B28C ^ length
    words = length >> 2
    # The two products are cut to 32 bits once, behind the exclusive or: their lower bits do not see the upper ones.
    for k in unpack_from(f"<{words}I", data):
        k = k * m & 0xFFFFFFFF
        h = (h * m ^ (k ^ k >> 24) * m) & 0xFFFFFFFF
    rest = data[words << 2 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & 0xFFFFFFFF
    h = (h ^ h >> 13) * m & 0xFFFFFFFF
    return h ^ h >> 15


@lru_cache(maxsize=1 << 17)
def shard_of(subject: Subject, shards: int) -> int:
    """The shard, 0 to shards - 1, that keeps the subject's record."""
    return (murmur2(str(subject).encode()) & 0x7FFFFFFF) % shards
