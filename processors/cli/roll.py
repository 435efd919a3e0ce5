"""The roll as a command reads it: the registry's copy and the read side of the store, opened for one command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cohort_store.ports import MembershipReader
from cohort_store.redis.wiring import connect_mirror, connect_reader
from cohort_store.registry import Cohort, CohortVersion, Registry, check_shards, decode_registry
from cohort_store.settings import Settings
from cohort_store.subjects import Subject
from processors.cli.invocation import Failed


@dataclass(frozen=True, slots=True)
class Roll:
    """What is defined, and who is stored."""

    registry: Registry
    reader: MembershipReader

    def defined(self, team: int, key: str) -> Cohort:
        """A cohort by key or id, whatever its state. Raises Failed where there is none."""
        of_team = self.registry.team(team)
        found = of_team.cohort(key) or next((each for each in of_team.cohorts if str(each.id) == key), None)
        if found is None:
            known = ", ".join(cohort.key for cohort in of_team.cohorts) or "none"
            raise Failed(f"cohort {key!r} is not defined in team {team}; cohorts there: {known}")
        return found

    def cohort(self, team: int, key: str) -> tuple[Cohort, CohortVersion]:
        """A cohort by key or id, with its active version. Raises Failed where there is none."""
        found = self.defined(team, key)
        if found.active is None:
            raise Failed(f"cohort {found.key} is still being built; see muster status")
        return found, found.active

    async def subject(self, team: int, person: str) -> tuple[Subject, bool]:
        """Whom an id means, and whether it is a distinct id: a person's own id is tried first."""
        subject = Subject(team, 0, person)
        if (await self.reader.records([subject]))[0] is None:
            known = (await self.reader.persons([(team, person)]))[0]
            if known is not None:
                return Subject(team, 0, known), True
        return subject, False


@asynccontextmanager
async def opened_roll(settings: Settings) -> AsyncIterator[Roll]:
    """Raises Retry where Redis cannot be reached, Failed where nothing was ever defined there.

    Crash where the installation has another number of shards.
    """
    mirror, reader = connect_mirror(settings), connect_reader(settings)
    try:
        raw = await mirror.fetch()
        if raw is None:
            raise Failed("nothing is defined there yet: muster apply FILE...")
        registry = decode_registry(raw)
        check_shards(registry, settings.shards)
        yield Roll(registry, reader)
    finally:
        await mirror.aclose()
        await reader.aclose()
