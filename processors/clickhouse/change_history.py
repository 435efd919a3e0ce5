"""What `membership_changes` says of the past: who was in a cohort, whose stays there were, and how its size went.

As of an instant those changes count that are dated at or before it. Of several about one (cohort, subject) the one with
the highest sequence counts, and none below a `reset` of its shard that is dated so too: the rule for every reader of
changes. Of whom nothing is told, she is what holds for people who never did anything. So of a cohort that holds for
them, those are told who were not in it.

A stay goes through resets: what is told after one says again what was.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from cohort_store.changes import ENTERED, LEFT
from cohort_store.clickhouse.client import connect, translated
from cohort_store.subjects import PERSON
from processors.clickhouse.changes import TABLE

if TYPE_CHECKING:
    from clickhouse_connect.driver import AsyncClient

POINTS_MAX = 1_000
"""Instants in one question about sizes."""

_EXISTS = f"EXISTS TABLE {TABLE}"
_AT_MS = "toUnixTimestamp64Milli(changed_at)"
_BEGINS = f"""
SELECT min({_AT_MS}), count() FROM {TABLE} WHERE team = {{team:UInt32}} AND status != 'reset'
"""  # noqa: S608 - parts of ours
_OF_COHORT = f"team = {{team:UInt32}} AND cohort = {{cohort:UInt64}} AND kind = {PERSON}"
_MEMBERS = f"""
WITH
    last_told AS (
        SELECT person, shard, max(sequence) AS told, argMax(status, sequence) AS last_status
        FROM {TABLE}
        WHERE {_OF_COHORT} AND {_AT_MS} <= {{at:Int64}}
        GROUP BY person, shard
    ),
    resets AS (
        SELECT shard, max(sequence) AS reset_sequence
        FROM {TABLE}
        WHERE status = 'reset' AND {_AT_MS} <= {{at:Int64}}
        GROUP BY shard
    )
SELECT person, count() OVER ()
FROM last_told LEFT JOIN resets USING (shard)
WHERE last_status = {{wanted:String}} AND told > reset_sequence
ORDER BY person LIMIT {{limit:UInt64}}
"""  # noqa: S608 - parts of ours
# Each person's standings, 1 or 0, in the order of sequences, a reset being a 0; then how much each one changes a size.
_STEPS = f"""
WITH
    told AS (
        SELECT person, shard, groupUniqArray((sequence, {_AT_MS}, toInt8(status = {{wanted:String}}))) AS standings
        FROM {TABLE}
        WHERE {_OF_COHORT}
        GROUP BY person, shard
    ),
    resets AS (
        SELECT shard, groupUniqArray((sequence, {_AT_MS}, toInt8(0))) AS drops
        FROM {TABLE}
        WHERE status = 'reset'
        GROUP BY shard
    ),
    ordered AS (
        SELECT arraySort(arrayConcat(standings, drops)) AS each_one, arrayMap(one -> one.3, each_one) AS held
        FROM told LEFT JOIN resets USING (shard)
    )
SELECT
    greatest(0, intDiv(at_ms - {{since:Int64}} + {{every:Int64}} - 1, {{every:Int64}})) AS point,
    sum(step) AS steps
FROM ordered
ARRAY JOIN arrayMap(one -> one.2, each_one) AS at_ms, arrayPopFront(arrayDifference(arrayPushFront(held, 0))) AS step
WHERE point < {{points:UInt32}}
GROUP BY point
ORDER BY point
"""  # noqa: S608 - parts of ours
_PERSON = f"""
SELECT cohort, cohort_key, status, cause, version, {_AT_MS}
FROM {TABLE} FINAL
WHERE team = {{team:UInt32}} AND person = {{person:String}} AND kind = {PERSON} AND status != 'reset'
ORDER BY cohort, sequence
"""  # noqa: S608 - parts of ours


class Turn(NamedTuple):
    """One side of a stay."""

    at_ms: int
    cause: str
    version: int
    """Of the cohort."""


class Stay(NamedTuple):
    """A person's stay in a cohort, by its id. No `entered`: since before anything was told; no `left`: still there."""

    cohort: int
    key: str
    entered: Turn | None
    left: Turn | None


class Past(NamedTuple):
    """Who stood on one side of a cohort at an instant: the first of `total`, in the order of their ids."""

    total: int
    persons: Sequence[str]


class ChangeHistory:
    """A team's changes, for one command's questions. Every method raises Retry where ClickHouse cannot be asked."""

    def __init__(self, client: AsyncClient, team: int) -> None:
        self._client = client
        self._team = team

    async def begins_ms(self) -> int | None:
        """When the first change is dated; None where none is written down."""
        with translated():
            if not await self._client.command(_EXISTS):
                return None
        ((first_ms, count),) = await self._rows(_BEGINS)
        return int(first_ms) if count else None

    async def stays(self, person: str) -> list[Stay]:
        """Everything told of a person, cohort by cohort, each in the order of time."""
        return list(_stays(await self._rows(_PERSON, person=person)))

    async def told(self, cohort: int, at_ms: int, *, complemented: bool, limit: int) -> Past:
        """Of whom it was told by then that they are in the cohort; where it is complemented, that they are not."""
        asked = {"cohort": cohort, "at": at_ms, "wanted": _wanted(complemented)}
        # One at least, since every row tells how many there are.
        rows = await self._rows(_MEMBERS, **asked, limit=max(1, limit))
        return Past(int(rows[0][1]) if rows else 0, [str(person) for person, _ in rows[:limit]])

    async def sizes(self, cohort: int, instants: range, *, complemented: bool) -> list[int]:
        """As `told`, how many at each of the instants, which are at most POINTS_MAX and go upward."""
        steps = dict.fromkeys(range(len(instants)), 0)
        asked = {"since": instants.start, "every": instants.step, "points": len(instants)}
        for point, step in await self._rows(_STEPS, cohort=cohort, wanted=_wanted(complemented), **asked):
            steps[int(point)] = int(step)
        return list(accumulate(steps.values()))

    async def _rows(self, sql: str, **asked: Any) -> Sequence[Sequence[Any]]:
        with translated():
            rows: Sequence[Sequence[Any]] = (await self._client.query(sql, {"team": self._team, **asked})).result_rows
        return rows


@asynccontextmanager
async def change_history(url: str, team: int) -> AsyncIterator[ChangeHistory]:
    """A team's changes at that ClickHouse, until the end of the block. Raises Retry where it cannot be reached."""
    client = await connect(url)
    try:
        yield ChangeHistory(client, team)
    finally:
        await client.close()


def _wanted(complemented: bool) -> str:
    return LEFT if complemented else ENTERED


def _stays(rows: Iterable[Sequence[Any]]) -> Iterator[Stay]:
    """From changes in the order of cohort and sequence. One that says again what was said begins and ends nothing."""
    present: Stay | None = None
    last: tuple[Any, Any] | None = None
    for cohort, key, status, cause, version, at_ms in rows:
        if (cohort, status) == last:
            continue
        turn = Turn(int(at_ms), str(cause), int(version))
        if present is not None and present.cohort != cohort:
            yield present
            present = None
        if status == ENTERED:
            present = Stay(int(cohort), str(key), turn, None)
        else:
            before = present or Stay(int(cohort), str(key), None, None)
            yield before._replace(left=turn)
            present = None
        last = (cohort, status)
    if present is not None:
        yield present
