"""Whose each event is, as SQL: its own person's, else its distinct id's newest, else the one named like it.

Statements and parts of them over `events` as a HistorySource describes it, of the team in the parameter `team`.
"""

from __future__ import annotations

from processors.clickhouse.history_source import HistorySource

OF_TEAM = "team_id = {team:UInt32}"
PERSON = "multiIf(person_id != '', person_id, owner != '', owner, distinct_id)"
"""The person of an event that is joined with the step `paired` by its distinct id."""


def begins(source: HistorySource) -> str:
    """The time of the team's first event, and how many it has."""
    return source.statement(
        f"SELECT min(toUnixTimestamp64Milli(timestamp)), count() FROM events WHERE {OF_TEAM}"  # noqa: S608 - ours
    )


def paired(condition: str = OF_TEAM) -> str:
    """The step `paired`: the person of each distinct id, by the events that a condition holds for."""
    return f"""paired AS (
    SELECT distinct_id, argMax(person_id, (timestamp, person_id)) AS owner
    FROM events
    WHERE {condition} AND person_id != '' AND distinct_id != ''
    GROUP BY distinct_id
)"""  # noqa: S608 - parts of ours


def owned(source: HistorySource, condition: str = "true") -> str:
    """The events that a condition holds for, as `translation.sources` wants them.

    The same event may come twice, with the same time and tag.
    """
    body = f"""    SELECT
        {PERSON} AS person_id,
        event,
        toUnixTimestamp64Milli(timestamp) AS time_ms,
        CRC32(lower(toString(uuid))) AS tag,
        properties,
        {"'' AS person_properties" if source.is_archive else "person_properties"}
    FROM events LEFT JOIN paired USING (distinct_id)
    WHERE {OF_TEAM} AND {condition}
"""  # noqa: S608 - parts of ours
    return source.statement(body, paired())


def pairs(source: HistorySource) -> str:
    """The person of every distinct id, and when an event named her last."""
    return source.statement(f"""SELECT distinct_id, latest.2, latest.1
FROM (
    SELECT distinct_id, max((toUnixTimestamp64Milli(timestamp), person_id)) AS latest
    FROM events
    WHERE {OF_TEAM} AND person_id != '' AND distinct_id != ''
    GROUP BY distinct_id
)
""")  # noqa: S608 - parts of ours


def stated(source: HistorySource) -> str:
    """The persons whom a state tells of who are not gone, as rows `(person_id)`; empty where there are no states."""
    if not source.states:
        return ""
    alive = "GROUP BY person_id HAVING NOT argMax(is_deleted, state_version)"
    return f"SELECT person_id FROM ({source.states}) AS states {alive}"  # noqa: S608 - parts of ours


def persons_count(source: HistorySource, *conditions: str) -> str:
    """How many persons events tell of for which the conditions hold, or states."""
    where = " AND ".join([OF_TEAM, *conditions])
    of_events = f"FROM events LEFT JOIN paired USING (distinct_id) WHERE {where}"
    body = f"SELECT uniqExact({PERSON}) {of_events}"
    if source.states:
        both = f"SELECT {PERSON} AS person_id {of_events} UNION ALL {stated(source)}"
        body = f"SELECT uniqExact(person_id) FROM ({both})"  # noqa: S608 - ours
    return source.statement(body, paired())
