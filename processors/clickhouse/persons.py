"""How many persons are known: those whom the raw events name, directly or by a distinct id."""

from __future__ import annotations

from processors.clickhouse.client import connected
from processors.clickhouse.event_owners import OF_TEAM, PAIRED, PERSON

_EXISTS = "EXISTS TABLE events"


def count_sql(*conditions: str) -> str:
    """Persons of the team in the parameter `team`, by the events for which the conditions hold too."""
    return f"""
WITH paired AS ({PAIRED})
SELECT uniqExact({PERSON}) FROM events LEFT JOIN paired USING (distinct_id) WHERE {" AND ".join((OF_TEAM, *conditions))}
"""  # noqa: S608 - parts of ours


async def count_persons(url: str, team: int) -> int:
    """As of what is archived; 0 where nothing is. Raises Retry where ClickHouse cannot be asked."""
    async with connected(url) as client:
        if not await client.command(_EXISTS):
            return 0
        answer = await client.query(count_sql(), {"team": team})
    return int(answer.result_rows[0][0])
