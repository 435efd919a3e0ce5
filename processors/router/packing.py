"""Packing: many deltas of one partition in one message, none longer than MESSAGE_BYTES_MAX."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cohort_store.deltas import MESSAGE_BYTES_MAX, Delta, Mark, PackedGroup, encode_delta, pack_message
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
        bytes_max = MESSAGE_BYTES_MAX - ENVELOPE_BYTES_MAX - MARK_BYTES_MAX * len(marks)
        of_partition: dict[int, list[PackedGroup]] = {}
        for shard, deltas in sorted(self._deltas.items()):
            of_partition.setdefault(shard % self._partitions, []).append((shard, deltas))
        packed: list[Packed] = []
        for partition, groups in sorted(of_partition.items()):
            parts = list(_parts(groups, bytes_max))
            told = marks if len(parts) == 1 else ()
            packed += [
                Packed(partition, pack_message(os.urandom(ID_BYTES), registry_version, part, told)) for part in parts
            ]
        return packed


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
