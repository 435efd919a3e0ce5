"""What the history tells, as deltas, a piece at a time. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from cohort_store.deltas import PERSON_REGISTER, Delta, RegisterWrite
from cohort_store.subjects import DISTINCT_ID, PERSON, Subject
from processors.backfill.ports import Pair, Seed

_Row = TypeVar("_Row")


def delta_of(team: int, seed: Seed, pruned_ms: int) -> Delta:
    """The seed as a delta. Of its entries, those that are still to come then are held to the bound of live ones."""
    is_ahead = any(entry.time_ms > pruned_ms for entry in seed.entries)
    subject = Subject(team, PERSON, seed.person)
    return Delta(subject, seed.entries, seed.registers, pruned_ms if is_ahead else None)


def delta_of_pair(team: int, pair: Pair) -> Delta:
    """Whose a distinct id is, as a delta."""
    write = RegisterWrite(PERSON_REGISTER, pair.time_ms, pair.person)
    return Delta(Subject(team, DISTINCT_ID, pair.distinct_id), (), (write,))


def pieces(block: Sequence[_Row], size: int) -> Iterator[Sequence[_Row]]:
    """The block, so many rows at a time."""
    for first in range(0, len(block), size):
        yield block[first : first + size]
