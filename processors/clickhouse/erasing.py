"""Erasing somebody from the tables that Muster writes.

By ALTER, which writes the parts anew that hold her: a lightweight DELETE only hides rows until parts are merged.
The table `events` is touched only where Muster's archive made it; one that others fill is theirs to erase from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cohort_store.clickhouse.client import connected
from cohort_store.deltas import Erasure
from cohort_store.subjects import Subject
from processors.clickhouse import changes, drift, events
from processors.clickhouse.event_owners import OF_TEAM, paired
from processors.clickhouse.forgotten import ForgottenTable
from processors.clickhouse.translation import literals
from processors.forgetting.ports import ErasedRows

if TYPE_CHECKING:
    from clickhouse_connect.driver import AsyncClient

ANSWER_TIMEOUT_S = 3_600
"""How long ClickHouse may take to write parts anew."""
IDS_A_STATEMENT = 200
"""Distinct ids; so many fit into a statement, whatever their lengths."""
_WHOLE = {"mutations_sync": 2}
"""On every replica, and only then an answer."""

_IS_OURS = """
SELECT count() = 4 FROM system.columns
WHERE database = currentDatabase() AND table = 'events'
    AND name IN ('_topic', '_partition', '_offset', '_timestamp')
"""
# Hers is what the newest event of a distinct id says, as wherever events are given to persons.
_CONCERNED = f"""
{OF_TEAM} AND distinct_id IN (
    SELECT distinct_id FROM events
    WHERE {OF_TEAM} AND (person_id = {{person:String}} OR distinct_id = {{person:String}})
)
"""  # noqa: S608 - a part of ours
_HER_IDS = f"""
WITH {paired(_CONCERNED)}
SELECT distinct_id FROM paired WHERE owner = {{person:String}}
UNION DISTINCT
SELECT {{person:String}} WHERE {{person:String}} NOT IN (SELECT distinct_id FROM paired)
"""  # noqa: S608 - parts of ours
# With literals: a mutation is written down as text, and not every ClickHouse puts parameters' values into it.
_OLD_EVENTS = "team_id = {team} AND least(timestamp, _timestamp) <= fromUnixTimestamp64Milli({at})"
_HER_EVENTS = f"{_OLD_EVENTS} AND person_id = {{person}}"
_HER_CHANGES = """
team = {team} AND kind = 0 AND person = {person}
AND (changed_at <= fromUnixTimestamp64Milli({at}) OR cause = 'erase')
"""
_NAMES_HER = "team = {team} AND has(persons, {person})"
_WITHOUT_HER = """
kinds = arrayFilter((kind, person) -> person != {person}, kinds, persons),
persons = arrayFilter(person -> person != {person}, persons)
"""


class ErasingPast:
    """See ``processors.forgetting.ports.Past``."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def is_there(self) -> bool:
        """Whether there is a table of events that Muster's archive made."""
        async with connected(self._url) as client:
            return bool(await client.command(_IS_OURS))

    async def distinct_ids(self, person: Subject) -> list[str]:
        """The distinct ids that are a person's by the archived events."""
        asked = {"team": person.team, "person": person.id}
        async with connected(self._url) as client:
            if not await client.command(_IS_OURS):
                return []
            return sorted(str(row[0]) for row in await _rows(client, _HER_IDS, asked))

    async def keep_away(self, subjects: Collection[Subject], erasure: Erasure) -> None:
        """Let nobody write again what is of these, persons and distinct ids, and from before."""
        table = ForgottenTable(self._url)
        try:
            await table.add(subjects, erasure)
        finally:
            await table.close()

    async def erase(self, person: Subject, distinct_ids: Sequence[str], at_ms: int) -> ErasedRows:
        """Erase what is from an instant or before, and return when it is gone."""
        old = {
            "team": literals.integer(person.team),
            "person": literals.text(person.id),
            "at": f"toInt64({literals.integer(at_ms)})",
        }
        async with connected(self._url, ANSWER_TIMEOUT_S) as client:
            is_ours = await client.command(_IS_OURS)
            rows_of_events = 0
            for condition in _conditions(distinct_ids) if is_ours else ():
                rows_of_events += await _erase(client, events.TABLE, condition.format(**old))
            return ErasedRows(
                rows_of_events,
                await _erase(client, changes.TABLE, _HER_CHANGES.format(**old)),
                await _erase(client, drift.TABLE, _NAMES_HER.format(**old), f"UPDATE {_WITHOUT_HER.format(**old)}"),
            )


def _conditions(distinct_ids: Sequence[str]) -> Iterator[str]:
    """What her events are, in statements that are not too long."""
    yield _HER_EVENTS
    for first in range(0, len(distinct_ids), IDS_A_STATEMENT):
        some = literals.texts(distinct_ids[first : first + IDS_A_STATEMENT])
        yield f"{_OLD_EVENTS} AND person_id = '' AND distinct_id IN {some}"


async def _erase(client: AsyncClient, table: str, condition: str, act: str = "DELETE") -> int:
    if not await client.command(f"EXISTS TABLE {table}"):
        return 0
    ((count,),) = await _rows(client, f"SELECT count() FROM {table} WHERE {condition}")  # noqa: S608
    if count:
        await client.command(f"ALTER TABLE {table} {act} WHERE {condition}", settings=_WHOLE)
    return int(count)


async def _rows(client: AsyncClient, sql: str, asked: dict[str, Any] | None = None) -> Sequence[Sequence[Any]]:
    rows: Sequence[Sequence[Any]] = (await client.query(sql, asked)).result_rows
    return rows
