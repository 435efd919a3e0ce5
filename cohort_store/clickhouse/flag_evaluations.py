"""The table `flag_evaluations`: how often each flag was answered how, written by control, read by the evaluator.

A row told twice is the same row; merges remove one of them, and a read says FINAL so that it never sees both. Rows stay
until an operator gives the table a TTL: ClickHouse's would go by the wall clock, and Muster's time may be another.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cohort_store.clickhouse.client import check_address, connect, translated
from cohort_store.flag_evaluations import CallRecord, Calls, FlagEvaluations

if TYPE_CHECKING:
    from clickhouse_connect.driver import AsyncClient

TABLE = "flag_evaluations"
BATCH_ROWS_MAX = 5_000

CREATE_SQL = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    team UInt32,
    flag String,
    value LowCardinality(String) COMMENT 'the variant, or true, or false',
    reason LowCardinality(String) COMMENT 'the reason''s code',
    evaluator String,
    sequence UInt64 COMMENT 'of the evaluator''s sending',
    count UInt64,
    counted_from DateTime64(3, 'UTC'),
    last_called DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree
ORDER BY (team, flag, value, reason, evaluator, sequence)
"""

_COLUMNS = ("team", "flag", "value", "reason", "evaluator", "sequence", "count", "counted_from", "last_called")
_EXISTS = f"EXISTS TABLE {TABLE}"
_BEGINS = f"SELECT toUnixTimestamp64Milli(min(counted_from)), count() FROM {TABLE}"  # noqa: S608 - parts of ours
_LAST = f"""
SELECT flag, toUnixTimestamp64Milli(max(last_called)) FROM {TABLE} WHERE team = {{team:UInt32}} GROUP BY flag
"""  # noqa: S608 - parts of ours
_CALLS = f"""
SELECT flag, value, reason, sum(count), toUnixTimestamp64Milli(min(counted_from)),
       toUnixTimestamp64Milli(max(last_called))
FROM {TABLE} FINAL
WHERE team = {{team:UInt32}} AND last_called >= fromUnixTimestamp64Milli({{since:Int64}})
GROUP BY flag, value, reason
ORDER BY flag, value, reason
"""  # noqa: S608 - parts of ours


class EvaluationsTable:
    """Connects when it is first needed. BadAddress where the URL cannot be one."""

    def __init__(self, url: str) -> None:
        check_address(url)
        self._url = url
        self._client: AsyncClient | None = None
        self._created = False

    async def insert(self, rows: Sequence[FlagEvaluations]) -> None:
        """Write them; twice is as good as once. Raises Retry where it is not known that all are written."""
        client = await self._connected()
        with translated():
            if not self._created:
                await client.command(CREATE_SQL)
                self._created = True
            packed = [_row(each) for each in rows]
            for start in range(0, len(packed), BATCH_ROWS_MAX):
                await client.insert(TABLE, packed[start : start + BATCH_ROWS_MAX], column_names=_COLUMNS)

    async def calls(self, team: int, since_ms: int) -> CallRecord:
        """What is known of a team's calls, those last called at or after an instant added up. Raises Retry."""
        client = await self._connected()
        with translated():
            if not await client.command(_EXISTS):
                return CallRecord(None, {}, ())
            ((begins_ms, count),) = (await client.query(_BEGINS)).result_rows
            last = (await client.query(_LAST, {"team": team})).result_rows
            found = (await client.query(_CALLS, {"team": team, "since": since_ms})).result_rows
        return CallRecord(
            counted_from_ms=int(begins_ms) if count else None,
            last_called_ms={str(flag): int(last_ms) for flag, last_ms in last},
            calls=tuple(Calls(str(f), str(v), str(r), int(n), int(first), int(to)) for f, v, r, n, first, to in found),
        )

    async def close(self) -> None:
        """Disconnect. Doing it twice is harmless."""
        client, self._client = self._client, None
        if client is not None:
            with translated():
                await client.close()

    async def _connected(self) -> AsyncClient:
        if self._client is None:
            self._client = await connect(self._url)
        return self._client


def _row(each: FlagEvaluations) -> tuple[Any, ...]:
    return (
        each.team_id,
        each.flag,
        each.value,
        each.reason,
        each.evaluator,
        each.sequence,
        each.count,
        _instant(each.from_ms),
        _instant(each.last_called_ms),
    )


def _instant(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1_000, UTC)
