"""Repair: what the history keeps of a person is what is true of her, up to a little before now.

Her record is made good by a mend (`cohort_store.deltas`) that comes in order with live events, through the same topic.
Entries younger than the slowest shard's now less PRUNED_BEFORE_MS stay as they are: the history may not have them all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import aclosing
from itertools import islice
from typing import NamedTuple

from cohort_store.deltas import Delta, Stretch
from cohort_store.ports import MembershipReader
from cohort_store.registry import Registry
from cohort_store.subjects import PERSON, Subject, shard_of
from processors.backfill.owners import Owners
from processors.backfill.ports import SeedLog
from processors.backfill.wanted import wanted
from processors.reconcile.ports import PastSide, Scope
from processors.router.packing import ENTRIES_A_DELTA_MAX, Packer

PERSONS_A_TIME = 1_000


class RepairParts(NamedTuple):
    """What it is made of."""

    history: PastSide
    reader: MembershipReader
    deltas: SeedLog
    shards: int
    partitions: int


async def repair(parts: RepairParts, registry: Registry, team: int, persons: Collection[str]) -> None:
    """Make these persons' records good, and return when their owners have done it. Raises Retry."""
    begins_ms = await parts.history.begins_ms(team)
    if begins_ms is None:
        return
    owners = Owners(parts.reader, parts.deltas, parts.shards, parts.partitions)
    remaining = iter(sorted(persons))
    while some := list(islice(remaining, PERSONS_A_TIME)):
        pruned_ms = await owners.pruned_ms()
        deltas = await _deltas(parts, registry, team, some, pruned_ms)
        mends, seeds = Packer(parts.shards, parts.partitions), Packer(parts.shards, parts.partitions)
        for delta in deltas:
            # A mend must come whole; more entries than a delta holds are united with what is there.
            (mends if len(delta.entries) <= ENTRIES_A_DELTA_MAX else seeds).add(delta)
        messages = [*mends.mends(registry.version, Stretch(begins_ms, pruned_ms)), *seeds.seeds(registry.version)]
        behind = await parts.deltas.send(messages)
        shards = {shard_of(delta.subject, parts.shards) for delta in deltas}
        await owners.have_folded(behind, shards, "the repair")


async def _deltas(
    parts: RepairParts, registry: Registry, team: int, persons: Sequence[str], pruned_ms: int
) -> list[Delta]:
    """One for each person: what the history keeps of her for every version; nothing, where it has nothing."""
    found: dict[str, Delta] = {}
    shards = frozenset(shard_of(Subject(team, PERSON, person), parts.shards) for person in persons)
    scope = Scope(team, shards, frozenset(persons))
    for each in wanted(registry, all_of_it=True):
        if each.team == team and not each.asks_nothing:
            async with aclosing(parts.history.seeds(each, pruned_ms, scope)) as blocks:
                async for block in blocks:
                    for seed in block:
                        found[seed.person] = Delta(Subject(team, PERSON, seed.person), seed.entries, seed.registers)
    return list(_complete(found, team, persons))


def _complete(found: Mapping[str, Delta], team: int, persons: Sequence[str]) -> Iterator[Delta]:
    for person in persons:
        yield found.get(person) or Delta(Subject(team, PERSON, person))
