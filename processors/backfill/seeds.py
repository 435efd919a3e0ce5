"""What the history tells, as deltas, a piece at a time. Pure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from cohort_store.deltas import PERSON_REGISTER, Delta, RegisterWrite
from cohort_store.subjects import DISTINCT_ID, PERSON, Subject, shard_of
from processors.backfill.ports import Pair, Seed

_Row = TypeVar("_Row")

GATHERED_MAX = 8_000
"""Persons who are sorted by their shards at a time, where nothing else is said."""


def delta_of(team: int, seed: Seed, pruned_ms: int) -> Delta:
    """The seed as a delta. Of its entries, those that are still to come then are held to the bound of live ones."""
    is_ahead = any(entry.time_ms > pruned_ms for entry in seed.entries)
    subject = Subject(team, PERSON, seed.person)
    return Delta(subject, seed.entries, seed.registers, pruned_ms if is_ahead else None)


def delta_of_pair(team: int, pair: Pair) -> Delta:
    """Whose a distinct id is, as a delta."""
    write = RegisterWrite(PERSON_REGISTER, pair.time_ms, pair.person)
    return Delta(Subject(team, DISTINCT_ID, pair.distinct_id), (), (write,))


class Placed(NamedTuple):
    """Some deltas, and the place of the last person up to whom everything has come with them, where that is known."""

    deltas: Sequence[Delta]
    place: int | None = None


async def by_shards(
    blocks: AsyncIterator[Placed], shards: int, partitions: int, size: Callable[[], int], gathered_max: int
) -> AsyncIterator[Placed]:
    """The same in pieces, each of few shards of a partition, and of as many as `size` says when it is taken.

    `gathered_max` deltas, and a block's more, are sorted at a time: with the last piece of these everything has come up
    to a place. Why: a commit costs a shard about the same for one record as for thirty, and a transaction, of which the
    changes of each partition need one, the same for one change as for thirty.
    """
    gathered: list[Delta] = []
    async for block, place in blocks:
        gathered += block
        if len(gathered) >= gathered_max:
            left = len(gathered)
            for piece in pieces(_sorted(gathered, shards, partitions), size):
                left -= len(piece)
                yield Placed(piece, None if left else place)
            gathered = []
    for piece in pieces(_sorted(gathered, shards, partitions), size):
        yield Placed(piece)


def _sorted(deltas: list[Delta], shards: int, partitions: int) -> list[Delta]:
    def place(delta: Delta) -> tuple[int, int]:
        shard = shard_of(delta.subject, shards)
        return shard % partitions, shard

    return sorted(deltas, key=place)


def pieces(block: Sequence[_Row], size: Callable[[], int]) -> Iterator[Sequence[_Row]]:
    """The block, so many rows at a time."""
    first = 0
    while first < len(block):
        behind = first + size()
        yield block[first:behind]
        first = behind
