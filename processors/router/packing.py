"""Packing: many deltas of one partition in one message, none longer than MESSAGE_BYTES_MAX."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from cohort_store.deltas import (
    MESSAGE_BYTES_MAX,
    Delta,
    Erasure,
    Mark,
    PackedGroup,
    Restored,
    Stretch,
    encode_delta,
    pack_forgets,
    pack_mends,
    pack_message,
    pack_seeds,
)
from cohort_store.subjects import shard_of

ENVELOPE_BYTES_MAX = 64
"""What a message has around its deltas, without marks."""
ENTRIES_A_DELTA_MAX = 1_000
"""A delta with more is cut, so that a message always has room for one."""
ID_BYTES = 8
GROUP_BYTES_MAX = 16
"""What a shard's deltas have around them."""
MARK_BYTES_MAX = 280
"""A mark: the name of a topic has at most 249 characters."""
MARKS_RIDING_MAX = 256


class Packed(NamedTuple):
    """One message for one partition of `muster.deltas`."""

    partition: int
    value: bytes


class Packer:
    """Collects the deltas of one batch."""

    def __init__(self, shards: int, partitions: int) -> None:
        self._partitions = partitions
        self._shards = shards
        self._deltas: dict[int, list[bytes]] = {}
        self.count = 0

    def add(self, delta: Delta) -> None:
        """Take a delta in."""
        packed = self._deltas.setdefault(shard_of(delta.subject, self._shards), [])
        if len(delta.entries) <= ENTRIES_A_DELTA_MAX:
            packed.append(encode_delta(delta))
        else:
            packed += map(encode_delta, _cut(delta))
        self.count += 1

    def messages(self, registry_version: int, marks: Sequence[Mark] = ()) -> list[Packed]:
        """What was taken in, packed. Every message has a random id of its own.

        `marks` say what is proven once this is delivered. They ride in a partition's message where it has one only,
        so that deltas and marks are written together or not at all; more than MARKS_RIDING_MAX stay behind.
        """
        marks = marks if len(marks) <= MARKS_RIDING_MAX else ()
        packed: list[Packed] = []
        for partition, parts in self._parts(MARK_BYTES_MAX * len(marks)):
            told = marks if len(parts) == 1 else ()
            packed += [
                Packed(partition, pack_message(os.urandom(ID_BYTES), registry_version, part, told)) for part in parts
            ]
        return packed

    def seeds(self, registry_version: int) -> list[Packed]:
        """What was taken in, packed as history that is filled in."""
        return self._all(lambda message_id, part: pack_seeds(message_id, registry_version, part))

    def mends(self, registry_version: int, mended: Stretch) -> list[Packed]:
        """What was taken in, packed as what mends records: at most ENTRIES_A_DELTA_MAX entries a subject."""
        return self._all(lambda message_id, part: pack_mends(message_id, registry_version, part, mended))

    def forgets(self, registry_version: int, erasure: Erasure) -> list[Packed]:
        """The subjects of what was taken in, packed as those who are to be forgotten."""
        return self._all(lambda message_id, part: pack_forgets(message_id, registry_version, part, erasure))

    def _all(self, pack: Callable[[bytes, list[PackedGroup]], bytes]) -> list[Packed]:
        """Every message of what was taken in, each with a random id of its own."""
        return [
            Packed(partition, pack(os.urandom(ID_BYTES), part)) for partition, parts in self._parts() for part in parts
        ]

    def _parts(self, reserved_bytes: int = 0) -> Iterator[tuple[int, list[list[PackedGroup]]]]:
        """By partition, its deltas in runs that fit into a message, with so many bytes of it reserved."""
        of_partition: dict[int, list[PackedGroup]] = {}
        for shard, deltas in sorted(self._deltas.items()):
            of_partition.setdefault(shard % self._partitions, []).append((shard, deltas))
        for partition, groups in sorted(of_partition.items()):
            yield partition, list(_parts(groups, MESSAGE_BYTES_MAX - ENVELOPE_BYTES_MAX - reserved_bytes))


def restored_messages(registry_version: int, restored: Iterable[Restored], partitions: int) -> list[Packed]:
    """To each partition, which of its shards lack nothing any more."""
    of_partition: dict[int, list[Restored]] = {}
    for each in restored:
        of_partition.setdefault(each.shard % partitions, []).append(each)
    return [
        Packed(partition, pack_seeds(os.urandom(ID_BYTES), registry_version, (), told))
        for partition, told in sorted(of_partition.items())
    ]


def mark_messages(registry_version: int, marks: list[Mark], partitions: int) -> list[Packed]:
    """The same marks for every partition."""
    return [
        Packed(partition, pack_message(os.urandom(ID_BYTES), registry_version, (), marks))
        for partition in range(partitions)
    ]


def _parts(groups: Sequence[PackedGroup], bytes_max: int) -> Iterator[list[PackedGroup]]:
    """The groups, cut where they must be, in runs of so many bytes; their deltas stay in order."""
    part: list[PackedGroup] = []
    room = bytes_max
    for shard, deltas in groups:
        first, room = 0, room - GROUP_BYTES_MAX
        for index, delta in enumerate(deltas):
            room -= len(delta)
            if room < 0:
                if index > first:
                    part.append((shard, deltas[first:index]))
                yield part
                part, first, room = [], index, bytes_max - GROUP_BYTES_MAX - len(delta)
        part.append((shard, deltas[first:]))
    if part:
        yield part


def _cut(delta: Delta) -> Iterator[Delta]:
    for first in range(0, len(delta.entries), ENTRIES_A_DELTA_MAX):
        registers = () if first else delta.registers
        entries = delta.entries[first : first + ENTRIES_A_DELTA_MAX]
        yield Delta(delta.subject, entries, registers, delta.arrival_ms)
