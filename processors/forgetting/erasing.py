"""The flow of an erasure.

First the history is told whom to keep away, so that no row is written again once it is erased. Then her owners are
told, in order with live events: her record becomes a tombstone (`cohort_store.forgetting`), her distinct ids nobody's,
and consumers hear that she left; in whose place she came is let go. When they have done it, and the archive has what
the sources held by then, the history is erased.

Nothing has to be undone where it breaks off: to do all of it again is harmless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cohort_store.deltas import Delta, Erasure
from cohort_store.errors import Retry
from cohort_store.hash_keys import HashKeyStore
from cohort_store.ports import MembershipReader
from cohort_store.subjects import DISTINCT_ID, PERSON, Subject, shard_of
from processors.backfill.owners import Owners
from processors.backfill.ports import SeedLog
from processors.forgetting.ports import ErasedRows, Past
from processors.reconcile.ports import Settled
from processors.router.packing import Packer

IDS_ASKED_MAX = 1_000
SETTLED_S = 10.0
"""For so long it is waited for an archive that is behind. One that goes on later leaves her out by itself."""
ERASED_TURNS_MAX = 5
"""What was being written while it was erased is found by the next turn."""


class ErasingParts(NamedTuple):
    """What it is made of."""

    reader: MembershipReader
    deltas: SeedLog
    past: Past | None
    """None where there is no history; then `settled` is not asked."""
    settled: Settled
    shards: int
    partitions: int
    hash_keys: HashKeyStore


class Hers(NamedTuple):
    """Whom to erase: a person, and the distinct ids that are hers."""

    person: Subject
    distinct_ids: Sequence[str]


async def hers(parts: ErasingParts, person: Subject, named: Iterable[str]) -> Hers:
    """The person with the distinct ids that are hers by the history, or were named. Raises Retry.

    One that the store knows to be another's by now is left to her.
    """
    found = set(named)
    if parts.past is not None:
        found.update(await parts.past.distinct_ids(person))
    candidates = sorted(found)
    ids: list[str] = []
    for first in range(0, len(candidates), IDS_ASKED_MAX):
        some = candidates[first : first + IDS_ASKED_MAX]
        persons = await parts.reader.persons([(person.team, each) for each in some])
        ids += [each for each, owner in zip(some, persons, strict=True) if owner in (None, person.id)]
    return Hers(person, ids)


async def erase(parts: ErasingParts, whom: Hers, registry_version: int, erasure: Erasure) -> ErasedRows:
    """Erase her everywhere, and return when it is done; the rows that were. Raises Retry."""
    person, distinct_ids = whom
    subjects = [person, *(Subject(person.team, DISTINCT_ID, each) for each in distinct_ids)]
    if parts.past is not None:
        await parts.past.keep_away(subjects, erasure)
    packer = Packer(parts.shards, parts.partitions)
    for subject in subjects:
        packer.add(Delta(subject))
    behind = await parts.deltas.send(packer.forgets(registry_version, erasure))
    owners = Owners(parts.reader, parts.deltas, parts.shards, parts.partitions)
    await owners.have_folded(behind, {shard_of(subject, parts.shards) for subject in subjects}, "the erasure")
    # An id whose person was not known when she was identified has what was kept for itself.
    await parts.hash_keys.forget([person, *(Subject(person.team, PERSON, each) for each in distinct_ids)])
    return ErasedRows() if parts.past is None else await _erase_past(parts, parts.past, whom, erasure.at_ms)


async def _erase_past(parts: ErasingParts, past: Past, whom: Hers, at_ms: int) -> ErasedRows:
    if await past.is_there():
        try:
            async with asyncio.timeout(SETTLED_S):
                await parts.settled.settled()
        except TimeoutError:
            pass
    erased = ErasedRows()
    for _ in range(ERASED_TURNS_MAX):
        rows = await past.erase(whom.person, whom.distinct_ids, at_ms)
        if rows == ErasedRows():
            return erased
        erased += rows
    raise Retry(
        f"rows of hers were still being written to ClickHouse after they were erased {ERASED_TURNS_MAX} times: "
        "does something else than this version of Muster write there?"
    )
