"""Deltas: what travels from the router (and backfill, and merges) to the owners of records.

A delta is about one subject: entries for its timelines and writes to its registers. Folding is a union,
so any bigger union of true events is a delta too, and a redelivered one is harmless.

A message on `muster.deltas` packs many deltas of one partition, with the random id by
which a redelivery is known, the registry version it was made with, and the sender's progress marks.
Layout (frozen by golden tests): the byte 1, then msgpack
``[id, registry_version, [[shard, [delta, …]], …], marks]`` with
delta ``[[team, kind, id], [[selector, time_ms, tag, value | nil], …], [[name, version, value], …], arrival_ms | nil]``
and mark ``[topic, partition, through_ms, next_offset]``: the tuples below as they are, so that nothing is built twice.
Deltas are grouped by shard, since the sender has to work it out and the owner need not again.

A message of seeds, history that is filled in, begins with the byte 2, and has in the place of the marks what is whole
again with it: ``[shard, warm_from_ms]``. A message of mends begins with the byte 3, and has there the stretch of time,
``[from_ms, until_ms]``, in which its subjects' entries are all that there is. One of erasures begins with the byte 4,
and has there ``[at_ms, until_ms]``; its deltas name who is to be forgotten, and hold nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from cohort_store.errors import Reject
from cohort_store.subjects import Subject, shard_of

SCHEMA = b"\x01"
SEEDS_SCHEMA = b"\x02"
MENDS_SCHEMA = b"\x03"
FORGETS_SCHEMA = b"\x04"
MESSAGE_BYTES_MAX = 512 * 1024


class DeltaEntry(NamedTuple):
    """One event, as far as one selector's timeline is concerned."""

    selector: int
    time_ms: int
    tag: int
    value: int | None = None


class RegisterWrite(NamedTuple):
    """One property's (or one distinct id's) value as of a version; the highest (version, value) wins."""

    name: str
    version: int
    value: str


class Delta(NamedTuple):
    """A union of true events and register writes of one subject."""

    subject: Subject
    entries: tuple[DeltaEntry, ...] = ()
    registers: tuple[RegisterWrite, ...] = ()
    arrival_ms: int | None = None
    """When the event reached the log, given only where an entry is dated later than that."""


class Mark(NamedTuple):
    """Everything of a source partition before `next_offset`, up to the instant `through_ms`, is in earlier deltas."""

    topic: str
    partition: int
    through_ms: int
    next_offset: int


class Restored(NamedTuple):
    """With the messages up to this one, a shard that began anew at `warm_from_ms` lacks nothing any more."""

    shard: int
    warm_from_ms: int


class Stretch(NamedTuple):
    """A stretch of time, both ends in it."""

    from_ms: int
    until_ms: int


class Erasure(NamedTuple):
    """As of when somebody is forgotten, and until when what is older is kept away."""

    at_ms: int
    until_ms: int


class ShardDeltas(NamedTuple):
    """The deltas of a message that belong to one shard, in order."""

    shard: int
    deltas: tuple[Delta, ...]


class DeltaMessage(NamedTuple):
    """One Kafka message's worth."""

    id: bytes
    registry_version: int
    shards: tuple[ShardDeltas, ...] = ()
    marks: tuple[Mark, ...] = ()
    is_seeds: bool = False
    """Whether its deltas are history that is filled in."""
    restored: tuple[Restored, ...] = ()
    mended: Stretch | None = None
    """Given: its deltas mend records that went wrong. Of a subject's entries in it, only those given are true."""
    erasure: Erasure | None = None
    """Given: its subjects, persons and distinct ids, are to be forgotten."""

    @property
    def deltas(self) -> tuple[Delta, ...]:
        """All of them, shard by shard."""
        return tuple(delta for _, deltas in self.shards for delta in deltas)

    @property
    def delta_count(self) -> int:
        """How many deltas there are."""
        return sum(len(deltas) for _, deltas in self.shards)


PERSON_REGISTER = "person"
"""The one register of a distinct id (kind 15): the id of its person."""

PackedGroup = tuple[int, Sequence[bytes]]
"""A shard, and its deltas as `encode_delta` packed them."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[bytes, int, tuple[ShardDeltas, ...], tuple[Mark, ...]])
_mends_decoder = msgspec.msgpack.Decoder(tuple[bytes, int, tuple[ShardDeltas, ...], Stretch])
_forgets_decoder = msgspec.msgpack.Decoder(tuple[bytes, int, tuple[ShardDeltas, ...], Erasure])
_seeds_decoder = msgspec.msgpack.Decoder(tuple[bytes, int, tuple[ShardDeltas, ...], tuple[Restored, ...]])


def by_shard(deltas: Iterable[Delta], shards: int) -> tuple[ShardDeltas, ...]:
    """Deltas grouped, in an installation of so many shards; those of one shard keep their order."""
    groups: dict[int, list[Delta]] = {}
    for delta in deltas:
        groups.setdefault(shard_of(delta.subject, shards), []).append(delta)
    return tuple(ShardDeltas(shard, tuple(group)) for shard, group in sorted(groups.items()))


def encode_delta(delta: Delta) -> bytes:
    """One delta, packed; `pack_message` joins many without packing them again."""
    return _encoder.encode(delta)


def pack_message(
    message_id: bytes, registry_version: int, groups: Sequence[PackedGroup], marks: Sequence[Mark] = ()
) -> bytes:
    """A whole message from deltas that `encode_delta` packed."""
    return _packed(SCHEMA, message_id, registry_version, groups, marks)


def pack_seeds(
    message_id: bytes, registry_version: int, groups: Sequence[PackedGroup], restored: Sequence[Restored] = ()
) -> bytes:
    """A whole message of seeds."""
    return _packed(SEEDS_SCHEMA, message_id, registry_version, groups, restored)


def pack_mends(message_id: bytes, registry_version: int, groups: Sequence[PackedGroup], mended: Stretch) -> bytes:
    """A whole message of mends."""
    return _packed(MENDS_SCHEMA, message_id, registry_version, groups, mended)


def pack_forgets(message_id: bytes, registry_version: int, groups: Sequence[PackedGroup], erasure: Erasure) -> bytes:
    """A whole message of who is to be forgotten."""
    return _packed(FORGETS_SCHEMA, message_id, registry_version, groups, erasure)


def _packed(
    schema: bytes,
    message_id: bytes,
    registry_version: int,
    groups: Sequence[PackedGroup],
    last: Sequence[Mark] | Sequence[Restored] | Stretch | Erasure,
) -> bytes:
    parts = [schema, b"\x94", _encoder.encode(message_id), _encoder.encode(registry_version), _length(groups)]
    for shard, deltas in groups:
        parts += (b"\x92", _encoder.encode(shard), _length(deltas), *deltas)
    parts.append(_encoder.encode(last))
    return b"".join(parts)


def _length(items: Sequence[object]) -> bytes:
    """An array's head."""
    return b"\xdd" + len(items).to_bytes(4, "big")


def encode_message(message: DeltaMessage) -> bytes:
    """A whole message."""
    groups = [(shard, [encode_delta(delta) for delta in deltas]) for shard, deltas in message.shards]
    if message.erasure is not None:
        return pack_forgets(message.id, message.registry_version, groups, message.erasure)
    if message.mended is not None:
        return pack_mends(message.id, message.registry_version, groups, message.mended)
    if message.is_seeds:
        return pack_seeds(message.id, message.registry_version, groups, message.restored)
    return pack_message(message.id, message.registry_version, groups, message.marks)


def decode_message(raw: bytes) -> DeltaMessage:
    """The inverse of `encode_message`. Raises Reject for bytes of another schema or shape."""
    schema = raw[:1]
    try:
        if schema == SCHEMA:
            return DeltaMessage(*_decoder.decode(memoryview(raw)[1:]))
        if schema == SEEDS_SCHEMA:
            message_id, version, shards, restored = _seeds_decoder.decode(memoryview(raw)[1:])
            return DeltaMessage(message_id, version, shards, (), is_seeds=True, restored=restored)
        if schema == MENDS_SCHEMA:
            message_id, version, shards, mended = _mends_decoder.decode(memoryview(raw)[1:])
            return DeltaMessage(message_id, version, shards, mended=mended)
        if schema == FORGETS_SCHEMA:
            message_id, version, shards, erasure = _forgets_decoder.decode(memoryview(raw)[1:])
            return DeltaMessage(message_id, version, shards, erasure=erasure)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise Reject(f"delta message of {len(raw)} bytes is not readable: {error}") from None
    raise Reject(f"delta message starts with {schema!r}, which is no schema known here; is its sender newer?")
