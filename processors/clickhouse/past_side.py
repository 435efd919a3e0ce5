"""The history's side of reconciling, out of the archived events: see ``processors.reconcile.ports.PastSide``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from cohort_store.definitions import Node
from processors.backfill.ports import Seed
from processors.backfill.wanted import Wanted
from processors.clickhouse.event_owners import PERSON, owned, stated
from processors.clickhouse.history_source import HistorySource
from processors.clickhouse.preview import listed
from processors.clickhouse.seed_history import SeedHistory
from processors.clickhouse.translation.statements import memberships, reduction
from processors.reconcile.ports import Scope

# Kafka's murmur2, as `cohort_store.subjects.shard_of` has it.
_IN_SHARDS = (
    "bitAnd(kafkaMurmurHash(concat(toString({{team:UInt32}}), ':0:', {0})), 2147483647) % {{of:UInt32}} "
    "IN {{shards:Array(UInt32)}}"
)
_NAMED = "{0} IN {{persons:Array(String)}}"


class PastEvents:
    """The tables that history is filled in from, in an installation of so many shards."""

    def __init__(self, history: SeedHistory, source: HistorySource, shards: int) -> None:
        self._history = history
        self._source = source
        self._shards = shards

    async def is_there(self) -> bool:
        """Whether an archive has made its table."""
        return await self._history.is_there()

    async def begins_ms(self, team: int) -> int | None:
        """The time of the team's first event; None where there is none."""
        return await self._history.begins_ms(team)

    async def persons(self, team: int) -> int:
        """How many persons it knows of, roughly."""
        return await self._history.persons(team)

    async def known(self, scope: Scope) -> frozenset[str]:
        """The persons of the scope who have any event, or a state."""
        sql = self._distinct(scope)
        if known := stated(self._source):
            sql += f" UNION ALL {known} AND {_condition(scope, 'person_id')}"
        return await self._persons(sql, self._asked(scope))

    async def arrivals(self, scope: Scope, after_ms: int) -> frozenset[str]:
        """The persons of the scope of whom an event reached the log after that instant."""
        # Another's table does not tell when an event reached the log; as a rule soon after it happened.
        arrival = "_timestamp" if self._source.is_archive else "timestamp"
        late = f" AND {arrival} > fromUnixTimestamp64Milli({{after:Int64}})"
        return await self._persons(self._distinct(scope, late), {**self._asked(scope), "after": after_ms})

    async def members(
        self, cohorts: Mapping[str, Node], lists: Mapping[str, Sequence[str]], scope: Scope, at_ms: int
    ) -> AsyncGenerator[Sequence[tuple[str, str]], None]:
        """Who of the scope is in which cohort at `at_ms`, as (key, person)."""
        persons = f"{known} AND {_condition(scope, 'person_id')}" if (known := stated(self._source)) else ""
        sql = memberships(cohorts, self._events(scope), persons, listed(lists), self._states(scope))
        async for block in self._history.rows(sql, {**self._asked(scope), "now": at_ms}, tuple[str, str]):
            yield block

    async def seeds(self, wanted: Wanted, pruned_ms: int, scope: Scope) -> AsyncGenerator[Sequence[Seed], None]:
        """What is to be kept of the scope's persons at `pruned_ms`."""
        sql = reduction(wanted.asked, wanted.selectors, self._events(scope), wanted.properties, self._states(scope))
        async for block in self._history.rows(sql, {**self._asked(scope), "now": pruned_ms}, Seed):
            yield block

    def _events(self, scope: Scope, further: str = "") -> str:
        return owned(self._source, _condition(scope) + further)

    def _states(self, scope: Scope) -> str:
        states = self._source.states
        return f"{states} AND {_condition(scope, 'muster_id')}" if states else ""

    def _distinct(self, scope: Scope, further: str = "") -> str:
        return f"SELECT DISTINCT person_id FROM ({self._events(scope, further)})"  # noqa: S608 - parts of ours

    def _asked(self, scope: Scope) -> dict[str, Any]:
        named = {} if scope.persons is None else {"persons": sorted(scope.persons)}
        return {"team": scope.team, "of": self._shards, "shards": sorted(scope.shards), **named}

    async def _persons(self, sql: str, asked: Mapping[str, Any]) -> frozenset[str]:
        found: set[str] = set()
        async for block in self._history.rows(sql, asked, tuple[str]):
            found.update(person for (person,) in block)
        return frozenset(found)


def _condition(scope: Scope, person: str = PERSON) -> str:
    condition = _IN_SHARDS if scope.persons is None else f"{_IN_SHARDS} AND {_NAMED}"
    return condition.format(person)
