"""The table `membership_changes`: every change that was told, for people and reports.

A change told twice is the same row twice; merges remove one of them, and a read says FINAL (or argMax) so that
it never sees both. Rows are in ClickHouse after they are in Kafka, by seconds. Of somebody who was forgotten nothing
from before is written (forgotten.py), nor that she was.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cohort_store.changes import Cause, Change, subject_of
from cohort_store.clickhouse.client import check_address, connect, translated
from cohort_store.forgetting import Forgettings
from cohort_store.history_tables import CHANGES_TABLE
from processors.clickhouse.forgotten import ForgottenTable

if TYPE_CHECKING:
    from clickhouse_connect.driver import AsyncClient

TABLE = CHANGES_TABLE
BATCH_ROWS_MAX = 5_000

CREATE_SQL = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    team UInt32,
    cohort UInt64 COMMENT 'the cohort''s stable id; 0 for a reset',
    cohort_key LowCardinality(String),
    kind UInt8,
    person String COMMENT 'the subject''s id; empty for a reset',
    status LowCardinality(String) COMMENT 'entered, left or reset',
    cause LowCardinality(String),
    version UInt32,
    shard UInt16,
    sequence UInt64 COMMENT 'the highest of a cohort and subject counts',
    changed_at DateTime64(6, 'UTC')
) ENGINE = ReplacingMergeTree
ORDER BY (team, cohort, kind, person, sequence, shard)
"""

MEMBERS_SQL = """
SELECT team, cohort, kind, person, argMax(status, sequence) AS last_status
FROM membership_changes AS changes
LEFT JOIN (
    SELECT shard, max(sequence) AS reset_sequence FROM membership_changes WHERE status = 'reset' GROUP BY shard
) AS resets USING (shard)
WHERE status != 'reset' AND sequence > reset_sequence
GROUP BY team, cohort, kind, person
HAVING last_status = 'entered'
"""
"""Who is in which cohort, by the rule for readers of changes: the highest sequence counts, above its shard's reset."""

FLOW_SQL = """
SELECT toStartOfHour(changed_at) AS hour, team, cohort, any(cohort_key) AS key,
       countIf(status = 'entered') AS entered, countIf(status = 'left') AS left
FROM membership_changes FINAL
WHERE status != 'reset'
GROUP BY hour, team, cohort
ORDER BY hour, team, cohort
"""
"""Entries and exits an hour, each change once."""

_COLUMNS = (
    "team",
    "cohort",
    "cohort_key",
    "kind",
    "person",
    "status",
    "cause",
    "version",
    "shard",
    "sequence",
    "changed_at",
)


class ChangesTable:
    """Where changes are written. Connects when it is first needed. BadAddress where the URL cannot be one."""

    def __init__(self, url: str) -> None:
        check_address(url)
        self._url = url
        self._forgotten = ForgottenTable(url)
        self._client: AsyncClient | None = None
        self._created = False

    async def insert(self, changes: Sequence[Change]) -> None:
        """Write the changes; twice is as good as once. Raises Retry where it is not known that all are written."""
        client = await self._connected()
        forgotten = await self._forgotten.read()
        rows = [_row(change) for change in changes if not _is_forgotten(change, forgotten)]
        with translated():
            for start in range(0, len(rows), BATCH_ROWS_MAX):
                await client.insert(TABLE, rows[start : start + BATCH_ROWS_MAX], column_names=_COLUMNS)

    async def close(self) -> None:
        """Disconnect. Doing it twice is harmless."""
        await self._forgotten.close()
        client, self._client = self._client, None
        if client is not None:
            with translated():
                await client.close()

    async def _connected(self) -> AsyncClient:
        if self._client is None:
            self._client = await connect(self._url)
        if not self._created:
            with translated():
                await self._client.command(CREATE_SQL)
            self._created = True
        return self._client


def _is_forgotten(change: Change, forgotten: Forgettings) -> bool:
    if change.cause == Cause.ERASE:
        return True
    return forgotten.was(subject_of(change), int(_time(change).timestamp() * 1_000))


def _time(change: Change) -> datetime:
    return datetime.strptime(change.last_updated, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)


def _row(change: Change) -> tuple[Any, ...]:
    return (
        change.team_id,
        change.cohort_id,
        change.cohort,
        change.kind,
        change.person_id,
        change.status,
        change.cause,
        change.version,
        change.shard,
        change.sequence,
        _time(change),
    )
