"""One look at a person: her flags and the cohorts that they ask, as of now."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from cohort_store.clocks import Clock
from evaluator.deciding.evaluation import CohortAnswer, Person, cohorts_asked, decide_all, describe
from evaluator.deciding.flags import FlagAnswer
from evaluator.definitions.catalog import Catalog
from evaluator.reading.coalescing import Read
from evaluator.reading.person_properties import Filled, fill_in


class Look(NamedTuple):
    """What was found. `person` is whom the distinct id stands for."""

    person: str
    registry_version: int
    at_ms: int
    flags: dict[str, FlagAnswer]
    cohorts: dict[str, CohortAnswer]
    filled: Filled
    """Her properties that flags test, as they are kept."""
    complete: bool
    """False where the store did not answer: flags that ask cohorts were answered by their policies."""


class Definitions(Protocol):
    """Where it stands what is defined."""

    @property
    def catalog(self) -> Catalog: ...


class Looker(Protocol):
    """Says how a person stands now. Never raises for a store that is away."""

    async def __call__(self, team: int, distinct_id: str) -> Look: ...


class Reads(Protocol):
    """Reads persons, and never raises for a store that is away."""

    async def read(self, team: int, distinct_id: str, *, with_properties: bool = False) -> Read: ...


class StoreLooker:
    """Looks through the evaluator's reads: looks that are asked for together cost one round trip."""

    def __init__(self, reads: Reads, registry: Definitions, clock: Clock, stale_after_ms: int) -> None:
        self._reads = reads
        self._registry = registry
        self._clock = clock
        self._stale_after_ms = stale_after_ms

    async def __call__(self, team: int, distinct_id: str) -> Look:
        wanted = self._registry.catalog.team(team).tested_by_any
        read: Read = await self._reads.read(team, distinct_id, with_properties=bool(wanted))
        # Behind the read, so that the definitions are never older than what was read with them.
        catalog = self._registry.catalog
        of_team = catalog.team(team)
        flags = tuple(of_team.flags.values())
        # A shard without a position has lost its records: that nothing is there says nothing of her then.
        is_known = read.membership is not None and read.membership.ready is not None
        filled = fill_in({}, of_team.tested_by_any, read.registers if is_known else None)
        now = self._clock.now_ms()
        person = Person(distinct_id, filled.properties, read.membership, filled.unread, read.known)
        answers, _ = decide_all(flags, person, now)
        cohorts = {
            key: describe(cohort, read.membership, self._stale_after_ms, now, read.known)
            for key, cohort in cohorts_asked(flags).items()
        }
        return Look(read.person, catalog.version, now, answers, cohorts, filled, read.membership is not None)
