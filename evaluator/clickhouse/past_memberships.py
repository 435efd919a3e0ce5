"""Asking the table `membership_changes` what was told of a person by an instant.

Of several changes about one cohort the one with the highest sequence counts, and none below a `reset` of its shard: the
rule for every reader of changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cohort_store.changes import ENTERED
from cohort_store.clickhouse.client import check_address, connect, translated
from cohort_store.history_tables import CHANGES_TABLE
from cohort_store.subjects import PERSON
from evaluator.reading.past import Told

if TYPE_CHECKING:
    from clickhouse_connect.driver import AsyncClient

_EXISTS = f"EXISTS TABLE {CHANGES_TABLE}"
_AT_MS = "toUnixTimestamp64Milli(changed_at)"
_BEGINS = f"""
SELECT min({_AT_MS}), count() FROM {CHANGES_TABLE} WHERE team = {{team:UInt32}} AND status != 'reset'
"""  # noqa: S608 - parts of ours
_TOLD = f"""
WITH
    last_told AS (
        SELECT cohort, argMax(shard, sequence) AS shard, max(sequence) AS told, argMax(status, sequence) AS last_status
        FROM {CHANGES_TABLE}
        WHERE team = {{team:UInt32}} AND kind = {PERSON} AND person = {{person:String}} AND status != 'reset'
            AND {_AT_MS} <= {{at:Int64}}
        GROUP BY cohort
    ),
    resets AS (
        SELECT shard, max(sequence) AS reset_sequence
        FROM {CHANGES_TABLE}
        WHERE status = 'reset' AND {_AT_MS} <= {{at:Int64}}
        GROUP BY shard
    )
SELECT cohort, last_status FROM last_told LEFT JOIN resets USING (shard) WHERE told > reset_sequence
"""  # noqa: S608 - parts of ours


class ChangesReader:
    """Connects when it is first asked. BadAddress where the URL cannot be one."""

    def __init__(self, url: str) -> None:
        check_address(url)
        self._url = url
        self._client: AsyncClient | None = None

    async def told(self, team: int, person: str, at_ms: int) -> Told:
        """What was told of the person by changes that are dated at or before the instant. Raises Retry."""
        if self._client is None:
            self._client = await connect(self._url)
        client = self._client
        with translated():
            if not await client.command(_EXISTS):
                return Told(None)
            ((begins_ms, count),) = (await client.query(_BEGINS, {"team": team})).result_rows
            asked = {"team": team, "person": person, "at": at_ms}
            rows = (await client.query(_TOLD, asked)).result_rows
        return Told(int(begins_ms) if count else None, {int(cohort): status == ENTERED for cohort, status in rows})

    async def close(self) -> None:
        """Disconnect. Doing it twice is harmless."""
        client, self._client = self._client, None
        if client is not None:
            with translated():
                await client.close()
