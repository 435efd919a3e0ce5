"""How many persons are known: those whom the raw events name, directly or by a distinct id."""

from __future__ import annotations

from processors.clickhouse.client import connect, translated

_EXISTS = "EXISTS TABLE events"
_COUNT = """
WITH pairs AS (
    SELECT distinct_id, argMax(person_id, timestamp) AS paired
    FROM events
    WHERE team_id = {team:UInt32} AND person_id != '' AND distinct_id != ''
    GROUP BY distinct_id
)
SELECT uniqExact(multiIf(person_id != '', person_id, paired != '', paired, distinct_id))
FROM events LEFT JOIN pairs USING (distinct_id)
WHERE team_id = {team:UInt32}
"""


async def count_persons(url: str, team: int) -> int:
    """As of what is archived; 0 where nothing is. Raises Retry where ClickHouse cannot be asked."""
    client = await connect(url)
    try:
        with translated():
            if not await client.command(_EXISTS):
                return 0
            answer = await client.query(_COUNT, {"team": team})
    finally:
        await client.close()
    return int(answer.result_rows[0][0])
