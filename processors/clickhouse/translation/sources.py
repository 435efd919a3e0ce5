"""Events as the statements read them: a subquery with these columns.

`person_id`, `event`, `time_ms` (Int64, since 1970), `tag` (`timelines.tag_of`), `properties` (JSON text) and
`person_properties` (JSON text of a snapshot of the person's, or empty). Sound events alone, whose persons are known;
the same one may come twice.

States of persons are another subquery, with these columns: `person_id`, `state_version`, `is_deleted`, `state` (JSON
text: all her properties then) and `created` (ISO 8601 text that is her property `created_at`, or empty). Every version
may come, in any order. Where they are given, events say nothing of persons, as where a source tells of states.
"""

from __future__ import annotations

EVENTS_SQL = """
CREATE TABLE {table} (
    person_id String,
    event LowCardinality(String),
    uuid String,
    time_ms Int64,
    properties String
) ENGINE = Memory
"""
"""A table of events that are sound, and whose persons are known."""

EVENTS_COLUMNS = "person_id, event, time_ms, CRC32(lower(uuid)) AS tag, properties, '' AS person_properties"


def events_of(table: str) -> str:
    """The events of such a table. Events with the same uuid and time are one, whatever the case of the uuid."""
    return f"SELECT {EVENTS_COLUMNS} FROM {table}"  # noqa: S608 - a table's name of ours
