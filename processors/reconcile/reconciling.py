"""All of it: group after group of shards is compared, made good where that is wanted, and written down."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from typing import NamedTuple

import msgspec

from cohort_store.registry import Registry
from processors.reconcile.checking import Checking, CheckingParts
from processors.reconcile.judged import Judged, merged
from processors.reconcile.ports import Agreement, Book, Drifted
from processors.reconcile.repairing import RepairParts, repair


class ReconcilingParts(NamedTuple):
    """What it is made of."""

    checking: CheckingParts
    repair: RepairParts
    book: Book
    part_persons: int
    """Persons who are compared at a time, about."""


class Turn(NamedTuple):
    """What one group of shards came to."""

    shards: int
    agreements: Sequence[Agreement]


async def reconcile(
    parts: ReconcilingParts, registry: Registry, judged: Judged, shards: Collection[int], *, repairing: bool
) -> AsyncGenerator[Turn, None]:
    """Compare everybody in these shards, turn by turn. Raises Retry; what was told by then is written down."""
    checking = Checking(parts.checking, registry, judged)
    persons = await parts.checking.history.persons(judged.team)
    for group in groups(sorted(shards), persons, parts.checking.shards, parts.part_persons):
        agreements = await checking.check(group)
        drifted = {each.person for agreement in agreements for each in agreement.drifted}
        if repairing and drifted:
            await repair(parts.repair, registry, judged.team, drifted)
            agreements = repaired(agreements, await checking.check_persons(drifted))
        await parts.book.write(agreements)
        yield Turn(len(group), agreements)


def groups(shards: Sequence[int], persons: int, of: int, part_persons: int) -> Iterator[Sequence[int]]:
    """The shards in runs of so many persons, about; at least one shard a run."""
    size = max(1, of * part_persons // max(1, persons))
    for first in range(0, len(shards), size):
        yield shards[first : first + size]


def repaired(before: Sequence[Agreement], after: Sequence[Agreement]) -> list[Agreement]:
    """What was found, with whoever does not differ any more told as repaired."""
    left = {(each.team, each.id): {drifted.person for drifted in each.drifted} for each in merged(after)}

    def told(agreement: Agreement) -> Iterator[Drifted]:
        still = left.get((agreement.team, agreement.id), set())
        for each in agreement.drifted:
            yield msgspec.structs.replace(each, repaired=each.person not in still)

    return [msgspec.structs.replace(each, drifted=tuple(told(each))) for each in before]
