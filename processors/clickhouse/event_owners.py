"""Whose each archived event is, as SQL: its own person's, else its distinct id's newest, else the one named like it.

Parts of statements over the table `events`, of the team in the parameter `team`.
"""

from __future__ import annotations

OF_TEAM = "team_id = {team:UInt32}"
BEGINS = f"SELECT min(toUnixTimestamp64Milli(timestamp)), count() FROM events WHERE {OF_TEAM}"  # noqa: S608 - a part of ours
"""The time of the team's first event, and how many it has."""


def paired(condition: str = OF_TEAM) -> str:
    """The person of each distinct id, by the events that a condition holds for."""
    return f"""
    SELECT distinct_id, argMax(person_id, (timestamp, person_id)) AS owner
    FROM events
    WHERE {condition} AND person_id != '' AND distinct_id != ''
    GROUP BY distinct_id
"""  # noqa: S608 - parts of ours


PAIRED = paired()
PERSON = "multiIf(person_id != '', person_id, owner != '', owner, distinct_id)"
"""The person of an event that is joined with PAIRED by its distinct id."""


def source(condition: str = "true") -> str:
    """The events that a condition holds for, as `translation.sources` wants them.

    The same event may come twice, with the same time and tag.
    """
    return f"""
    WITH paired AS ({PAIRED})
    SELECT
        {PERSON} AS person_id,
        event,
        toUnixTimestamp64Milli(timestamp) AS time_ms,
        CRC32(lower(toString(uuid))) AS tag,
        properties,
        '' AS person_properties
    FROM events LEFT JOIN paired USING (distinct_id)
    WHERE {OF_TEAM} AND {condition}
"""  # noqa: S608 - parts of ours
