"""The layout of the view: names of keys, and the forms of what small values hold. Frozen by golden tests.

Every key of shard s starts with ``{<prefix>:s}:``, which is also the hash tag: a shard lies in one slot.

    p:<subject>          string   the packed record
    u:<subject>          set      handles of the cohort versions that the subject is stored in
    c:<handle>:<bucket>  set      members of a version, at most about 100 a bucket (linear hashing in commit.lua)
    n                    hash     by handle, how many subjects are stored; b<handle>: in how many buckets, if listed
    timers               zset     every subject that has a record; the score is the due time, or +inf
    outbox               stream   changes not yet known to be in Kafka, field c
    pos                  hash     the position
    d:<distinct id>      string   8 bytes of version, then the person's id; with none it is nobody's, and expires
    h:<subject>          hash     by flag, the id in whose place a person came (hash_keys.py); expires unless read
    ack                  string   written before WAIT, so that replicas have something to acknowledge

A subject is written ``team:kind:id`` and a distinct id ``team:id``. An id that is a UUID in canonical text
takes 17 bytes there, 0xFF and the raw value, in place of 36: in each of p, u and timers that saves about 32
bytes of memory. 0xFF never occurs in UTF-8, so no other id looks like it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from cohort_store.ports import Offset, Position
from cohort_store.subjects import Subject

_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UUID_BYTES = 16
_RAW = b"\xff"
_VERSION_BIAS = 1 << 63
_TEXT, _PADDED = 0x40, 0x80
_KIND = 0x0F


class ShardKeys:
    """The keys that a shard has one of, and what all of its keys start with."""

    __slots__ = ("counts", "outbox", "pos", "prefix", "timers")

    def __init__(self, prefix: str, shard: int) -> None:
        self.prefix = b"{%b:%d}:" % (prefix.encode(), shard)
        self.pos = self.prefix + b"pos"
        self.timers = self.prefix + b"timers"
        self.outbox = self.prefix + b"outbox"
        self.counts = self.prefix + b"n"

    def record(self, subject: Subject) -> bytes:
        return self.prefix + b"p:" + pack_subject(subject)

    def memberships(self, subject: Subject) -> bytes:
        return self.prefix + b"u:" + pack_subject(subject)

    def person(self, team: int, distinct_id: str) -> bytes:
        return self.prefix + b"d:" + pack_distinct_id(team, distinct_id)

    def hash_keys(self, subject: Subject) -> bytes:
        return self.prefix + b"h:" + pack_subject(subject)

    def bucket(self, handle: int, bucket: int) -> bytes:
        return b"%bc:%d:%d" % (self.prefix, handle, bucket)


class Layout(dict[int, ShardKeys]):
    """By shard, its keys; made when first asked for, so at most one entry a shard."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix

    def __missing__(self, shard: int) -> ShardKeys:
        made = self[shard] = ShardKeys(self._prefix, shard)
        return made


def pack_id(text: str) -> bytes:
    """An id inside a key."""
    raw = _uuid_bytes(text)
    return text.encode() if raw is None else _RAW + raw


def unpack_id(packed: bytes) -> str:
    """The inverse of `pack_id`."""
    return _uuid_text(packed[1:]) if packed[:1] == _RAW else packed.decode()


@lru_cache(maxsize=1 << 17)
def pack_subject(subject: Subject) -> bytes:
    """A subject inside a key, and in the timers. Cached, since a subject is loaded, committed and read again."""
    return b"%d:%d:%b" % (subject.team, subject.kind, pack_id(subject.id))


def unpack_subject(packed: bytes) -> Subject:
    """The inverse of `pack_subject`."""
    team, kind, packed_id = packed.split(b":", 2)
    return Subject(int(team), int(kind), unpack_id(packed_id))


def pack_distinct_id(team: int, distinct_id: str) -> bytes:
    """A distinct id inside a key."""
    return b"%d:%b" % (team, pack_id(distinct_id))


def pack_member(subject: Subject) -> bytes:
    """A subject inside a version's list. Her team is the version's, so it is not told.

    16 raw bytes are a person whose id is a UUID. Everything else ends with a byte that tells the kind and the
    form (a UUID, a text, a text followed by one byte of padding) and is never 16 bytes long.
    """
    raw = _uuid_bytes(subject.id)
    if raw is not None:
        return raw if subject.kind == 0 else raw + bytes((subject.kind,))
    text = subject.id.encode()
    if len(text) == _UUID_BYTES - 1:
        return text + bytes((0, _PADDED | subject.kind))
    return text + bytes((_TEXT | subject.kind,))


def unpack_member(packed: bytes) -> str:
    """The id of a listed subject."""
    form = packed[-1] & ~_KIND
    if len(packed) == _UUID_BYTES or form == 0:
        return _uuid_text(packed[:_UUID_BYTES])
    return packed[: -2 if form == _PADDED else -1].decode()


def pack_person(version: int, person: str) -> bytes:
    """A distinct id's person. Compared as bytes, the highest (version, person) is the greatest.

    Raises ValueError for a version beyond 64 bits.
    """
    if not -_VERSION_BIAS <= version < _VERSION_BIAS:
        raise ValueError(f"version {version} of person {person!r} does not fit into 64 bits")
    return (version + _VERSION_BIAS).to_bytes(8, "big") + person.encode()


def unpack_person(packed: bytes) -> str | None:
    """The person of a distinct id; None where it is nobody's."""
    return packed[8:].decode() or None


def pack_position(position: Position) -> list[bytes]:
    """The fields of the hash and their values, in turns; the commit id comes first, as commit.lua expects."""
    fields = [
        *(b"commit", position.commit_id),
        *(b"partition", b"%d" % position.partition),
        *(b"partitions", b"%d" % position.partitions),
        *(b"now_ms", b"%d" % position.now_ms),
        *(b"ready", b"%d" % position.ready),
        *(b"sequence", b"%d" % position.sequence),
        *(b"changes_offset", b"%d" % position.changes_offset),
        *(b"stale", b"%d" % position.stale),
        *(b"warm_from_ms", b"%d" % position.warm_from_ms),
    ]
    if position.readers_from:
        fields += (b"readers_from", b"%d" % position.readers_from)
    for topic, offset in position.offsets.items():
        name = topic.encode()
        fields += (b"next:" + name, b"%d" % offset.next, b"last:" + name, offset.last_id)
    return fields


def unpack_position(fields: Sequence[bytes]) -> Position | None:
    """The inverse of `pack_position`, in any order of fields; None for none."""
    if not fields:
        return None
    held = dict(zip(fields[::2], fields[1::2], strict=True))
    return Position(
        commit_id=held[b"commit"],
        partition=int(held[b"partition"]),
        partitions=int(held[b"partitions"]),
        now_ms=int(held[b"now_ms"]),
        ready=int(held[b"ready"]),
        offsets=_offsets(held),
        sequence=int(held[b"sequence"]),
        changes_offset=int(held[b"changes_offset"]),
        stale=held[b"stale"] == b"1",
        warm_from_ms=int(held[b"warm_from_ms"]),
        readers_from=int(held.get(b"readers_from", 0)),
    )


def _offsets(held: Mapping[bytes, bytes]) -> dict[str, Offset]:
    return {
        field[5:].decode(): Offset(int(value), held[b"last:" + field[5:]])
        for field, value in held.items()
        if field.startswith(b"next:")
    }


def _uuid_bytes(text: str) -> bytes | None:
    # Only the canonical form: any other one would not come back as it was.
    if len(text) == 36 and _UUID.fullmatch(text):
        return bytes.fromhex(text.replace("-", ""))
    return None


def _uuid_text(raw: bytes) -> str:
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
