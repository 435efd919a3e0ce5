"""The history's side of reconciling, out of the archived events: see ``processors.reconcile.ports.PastSide``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from cohort_store.definitions import Node
from processors.backfill.ports import Seed
from processors.backfill.wanted import Wanted
from processors.clickhouse.event_owners import PERSON, source
from processors.clickhouse.preview import listed
from processors.clickhouse.seed_history import SeedHistory
from processors.clickhouse.translation.statements import memberships, reduction
from processors.reconcile.ports import Scope

# Kafka's murmur2, as `cohort_store.subjects.shard_of` has it.
_SHARD = f"bitAnd(kafkaMurmurHash(concat(toString({{team:UInt32}}), ':0:', {PERSON})), 2147483647) % {{of:UInt32}}"
_IN_SHARDS = f"{_SHARD} IN {{shards:Array(UInt32)}}"
_NAMED = f"{PERSON} IN {{persons:Array(String)}}"


class PastEvents:
    """The table that history is filled in from, in an installation of so many shards."""

    def __init__(self, history: SeedHistory, shards: int) -> None:
        self._history = history
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
        """The persons of the scope who have any event."""
        sql = f"SELECT DISTINCT person_id FROM ({source(_condition(scope))})"  # noqa: S608 - parts of ours
        return await self._persons(sql, self._asked(scope))

    async def arrivals(self, scope: Scope, after_ms: int) -> frozenset[str]:
        """The persons of the scope of whom an event reached the log after that instant."""
        late = f"{_condition(scope)} AND _timestamp > fromUnixTimestamp64Milli({{after:Int64}})"
        sql = f"SELECT DISTINCT person_id FROM ({source(late)})"  # noqa: S608 - parts of ours
        return await self._persons(sql, {**self._asked(scope), "after": after_ms})

    async def members(
        self, cohorts: Mapping[str, Node], lists: Mapping[str, Sequence[str]], scope: Scope, at_ms: int
    ) -> AsyncGenerator[Sequence[tuple[str, str]], None]:
        """Who of the scope is in which cohort at `at_ms`, as (key, person)."""
        sql = memberships(cohorts, source(_condition(scope)), "", listed(lists))
        async for block in self._history.rows(sql, {**self._asked(scope), "now": at_ms}, tuple[str, str]):
            yield block

    async def seeds(self, wanted: Wanted, pruned_ms: int, scope: Scope) -> AsyncGenerator[Sequence[Seed], None]:
        """What is to be kept of the scope's persons at `pruned_ms`."""
        sql = reduction(wanted.asked, wanted.selectors, source(_condition(scope)), wanted.properties)
        async for block in self._history.rows(sql, {**self._asked(scope), "now": pruned_ms}, Seed):
            yield block

    def _asked(self, scope: Scope) -> dict[str, Any]:
        named = {} if scope.persons is None else {"persons": sorted(scope.persons)}
        return {"team": scope.team, "of": self._shards, "shards": sorted(scope.shards), **named}

    async def _persons(self, sql: str, asked: Mapping[str, Any]) -> frozenset[str]:
        found: set[str] = set()
        async for block in self._history.rows(sql, asked, tuple[str]):
            found.update(person for (person,) in block)
        return frozenset(found)


def _condition(scope: Scope) -> str:
    return _IN_SHARDS if scope.persons is None else f"{_IN_SHARDS} AND {_NAMED}"
