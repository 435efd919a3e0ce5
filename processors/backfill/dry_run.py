"""What filling in would change, with nothing written: seeds folded into records as they are stored, and let go.

It is right for whoever has no event in flight. Of an event that the history has and an owner has not folded yet, it
tells as of one of the history; one that neither has is not known. Each person is asked at her shard's own instant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from cohort_store.folding import Replayed, fold
from cohort_store.plans import CohortPlan, TeamPlan
from cohort_store.ports import MembershipReader, Position
from cohort_store.records import EMPTY, decode_record
from cohort_store.subjects import shard_of
from processors.backfill.pace import PIECE_PERSONS
from processors.backfill.ports import History, Part, Seed
from processors.backfill.seeds import delta_of, pieces
from processors.backfill.wanted import Wanted


@dataclass(slots=True)
class Movement:
    """Persons of one cohort."""

    sample: int
    count: int = 0
    some: list[str] = field(default_factory=list)
    """The first of them, at most `sample`."""

    def add(self, person: str) -> None:
        """One more."""
        self.count += 1
        if len(self.some) < self.sample:
            self.some.append(person)


@dataclass(slots=True)
class Difference:
    """What would change of one version: who would be in it and is not, and who is and would not be."""

    cohort: CohortPlan
    come: Movement
    go: Movement


class DryRun:
    """One dry run. `positions` are those of all shards, `plan` the team's that the seeds are for."""

    def __init__(
        self, reader: MembershipReader, plan: TeamPlan, positions: Mapping[int, Position], chosen: Sequence[int]
    ) -> None:
        """`chosen` are the handles of the versions that are to be compared."""
        self._reader = reader
        self._plan = plan
        self._now_ms = {shard: position.now_ms for shard, position in positions.items()}
        self._chosen = chosen
        self.persons = 0
        """Compared so far."""

    async def compare(
        self, history: History, wanted: Wanted, parts: int, sample: int, told: Callable[[int], None]
    ) -> list[Difference]:
        """The differences, in the order in which versions were chosen. `told` after each of so many parts.

        PIECE_PERSONS records are held at a time, and what the history tells at once. Raises Retry.
        """
        cohorts = [self._plan.by_handle[handle] for handle in self._chosen]
        found = [Difference(cohort, Movement(sample), Movement(sample)) for cohort in cohorts]
        if wanted.asks_nothing:
            return found
        pruned_ms = min(self._now_ms.values())
        for number in range(parts):
            async with aclosing(history.seeds(wanted, pruned_ms, Part(number, parts))) as blocks:
                async for block in blocks:
                    for piece in pieces(block, lambda: PIECE_PERSONS):
                        await self._compare(piece, pruned_ms, found)
            told(number + 1)
        return found

    async def _compare(self, piece: Sequence[Seed], pruned_ms: int, found: Sequence[Difference]) -> None:
        deltas = [delta_of(self._plan.team, seed, pruned_ms) for seed in piece]
        stored = await self._reader.records([delta.subject for delta in deltas])
        self.persons += len(piece)
        for delta, packed in zip(deltas, stored, strict=True):
            record = EMPTY if packed is None else decode_record(packed)
            now_ms = self._now_ms[shard_of(delta.subject, len(self._now_ms))]
            folded = fold(record, [delta], self._plan, now_ms)
            if isinstance(folded, Replayed):
                continue
            for each in found:
                handle, is_complemented = each.cohort.handle, each.cohort.complemented
                if handle in folded.joined:
                    (each.go if is_complemented else each.come).add(delta.subject.id)
                elif handle in folded.departed:
                    (each.come if is_complemented else each.go).add(delta.subject.id)
