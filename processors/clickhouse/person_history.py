"""Everything that the history's events say of one person up to an instant, as lines of a log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cohort_store.clickhouse.client import connected
from processors.clickhouse.event_owners import OF_TEAM, begins, paired
from processors.clickhouse.events import EVENT_KEY
from processors.clickhouse.history_check import is_there
from processors.clickhouse.history_source import HistorySource

EVENTS_MAX = 1_000_000
"""Of one person; more are not read."""

_UNTIL = f"{OF_TEAM} AND timestamp <= fromUnixTimestamp64Milli({{until:Int64}}, 'UTC')"
# Of one event that came with different properties each counts, as it does where it is routed.
# The person's own events, and those without a person whose distinct id is hers by then.
_EVENTS = f"""SELECT event, toUnixTimestamp64Milli(timestamp) AS time_ms, distinct_id, toString(uuid) AS id, properties
FROM events
WHERE {_UNTIL} AND (
    person_id = {{person:String}}
    OR (person_id = '' AND distinct_id IN (SELECT distinct_id FROM paired WHERE owner = {{person:String}}))
    OR (
        person_id = '' AND distinct_id = {{person:String}}
        AND distinct_id NOT IN (SELECT distinct_id FROM paired)
    )
)
LIMIT 1 BY {EVENT_KEY}, properties
LIMIT {EVENTS_MAX}
"""  # noqa: S608 - parts of ours


class ArchivedEvent(NamedTuple):
    """One event of hers."""

    event: str
    time_ms: int
    distinct_id: str
    uuid: str
    properties: str
    """A JSON object, as it came."""


class PersonHistory(NamedTuple):
    """What is archived. `begins_ms` is the time of the team's first event at all; None where there is none."""

    begins_ms: int | None
    events: Sequence[ArchivedEvent]


async def person_history(url: str, source: HistorySource, team: int, person: str, until_ms: int) -> PersonHistory:
    """The person's events up to the instant, at most EVENTS_MAX.

    Raises Retry where ClickHouse cannot be asked, BadHistory where it has not what is described.
    """
    if not await is_there(url, source):
        return PersonHistory(None, ())
    async with connected(url) as client:
        begins_ms, count = (await client.query(begins(source), {"team": team})).result_rows[0]
        if not count:
            return PersonHistory(None, ())
        sql = source.statement(_EVENTS, paired(_UNTIL))
        answer = await client.query(sql, {"team": team, "person": person, "until": until_ms})
    return PersonHistory(int(begins_ms), [ArchivedEvent(*row) for row in answer.result_rows])
