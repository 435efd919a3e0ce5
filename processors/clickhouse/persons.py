"""How many persons are known: those whom the history's events name, directly or by a distinct id."""

from __future__ import annotations

from cohort_store.clickhouse.client import connected
from processors.clickhouse.event_owners import persons_count
from processors.clickhouse.history_check import is_there
from processors.clickhouse.history_source import ARCHIVE, HistorySource


async def count_persons(url: str, team: int, source: HistorySource = ARCHIVE) -> int:
    """As of what is there; 0 where nothing is. Raises Retry where ClickHouse cannot be asked, BadHistory as ever."""
    if not await is_there(url, source):
        return 0
    async with connected(url) as client:
        answer = await client.query(persons_count(source), {"team": team})
    return int(answer.result_rows[0][0])
