"""Whose each event is, as SQL: its own person's, else its distinct id's newest, else the one named like it.

A distinct id's newest is what an event says that names it with a person, or that tells it as another id of its own
person (`codecs.other_ids`), whichever has the highest (time, person): as in the store. An event of the latter kind that
names no person is her's whom its distinct id has by the former; live, whom it had by then.

Statements and parts of them over `events` as a HistorySource describes it, of the team in the parameter `team`.
"""

from __future__ import annotations

from cohort_store.subjects import ID_BYTES_MAX
from processors.clickhouse.history_source import HistorySource
from processors.clickhouse.translation import literals
from processors.codecs.other_ids import ANYBODYS, OTHER_ID_IN

OF_TEAM = "team_id = {team:UInt32}"
PERSON = "multiIf(person_id != '', person_id, owner != '', owner, distinct_id)"
"""The person of an event that is joined with the step `paired` by its distinct id."""


def begins(source: HistorySource) -> str:
    """The time of the team's first event, and how many it has."""
    return source.statement(
        f"SELECT min(toUnixTimestamp64Milli(timestamp)), count() FROM events WHERE {OF_TEAM}"  # noqa: S608 - ours
    )


_AT = "toUnixTimestamp64Milli(timestamp)"
_WORDS = [f"event = {literals.text(event)}, {literals.text(word)}" for event, word in OTHER_ID_IN.items()]
_WORD = f"multiIf({', '.join(_WORDS)}, '')"
_TYPE = f"JSONType(properties, {_WORD})"
_AS_TEXT = f"{_TYPE} = 'String', JSONExtractString(properties, {_WORD})"
_OTHER_ID = f"multiIf({_AS_TEXT}, {_TYPE} IN ('Int64', 'UInt64'), JSONExtractRaw(properties, {_WORD}), '')"
_IS_SOMEBODYS = " AND ".join(
    [
        "other_id NOT IN ('', distinct_id)",
        f"length(other_id) <= {ID_BYTES_MAX} AND position(other_id, '\\0') = 0",
        f"lower(other_id) NOT IN {literals.texts(ANYBODYS)}",
        f"lower(distinct_id) NOT IN {literals.texts(ANYBODYS)}",
    ]
)


def paired(condition: str = OF_TEAM) -> str:
    """The steps up to `paired`: the person of each distinct id, by the events that a condition holds for.

    ClickHouse works a step out wherever it is named, so all distinct ids are grouped once, and of those who tell of
    others without a person's name only these are.
    """
    return f"""told AS (
    SELECT distinct_id, person_id, {_AT} AS told_ms, {_OTHER_ID} AS other_id
    FROM events
    WHERE {condition} AND event IN {literals.texts(OTHER_ID_IN)} AND distinct_id != '' AND {_IS_SOMEBODYS}
),
tellers AS (
    SELECT distinct_id, max(({_AT}, person_id)) AS latest
    FROM events
    WHERE {condition} AND person_id != '' AND distinct_id IN (SELECT distinct_id FROM told WHERE person_id = '')
    GROUP BY distinct_id
),
paired AS (
    SELECT distinct_id, max(latest) AS newest, newest.2 AS owner
    FROM (
        SELECT distinct_id, ({_AT}, person_id) AS latest
        FROM events
        WHERE {condition} AND person_id != '' AND distinct_id != ''
        UNION ALL
        SELECT
            other_id AS distinct_id,
            (told_ms, multiIf(person_id != '', person_id, latest.2 != '', latest.2, told.distinct_id)) AS latest
        FROM told LEFT JOIN tellers ON told.distinct_id = tellers.distinct_id
    )
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
    return source.statement("SELECT distinct_id, newest.2, newest.1\nFROM paired\n", paired())


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
