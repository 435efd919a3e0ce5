"""Tables that others than Muster's archive feed: PostHog's, with its columns and types, and one of other names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cohort_store.history_tables import HistoryTables, PersonsTable

NOBODY = "00000000-0000-0000-0000-000000000000"
POSTHOG = (
    """
CREATE TABLE events (
    uuid UUID, event VARCHAR, properties VARCHAR, timestamp DateTime64(6, 'UTC'), team_id Int64, distinct_id VARCHAR,
    elements_chain VARCHAR, created_at DateTime64(6, 'UTC'), person_id UUID, person_created_at DateTime64(3),
    person_properties VARCHAR, _timestamp DateTime, _offset UInt64
) ENGINE = ReplacingMergeTree(_timestamp)
PARTITION BY toYYYYMM(timestamp)
ORDER BY (team_id, toDate(timestamp), event, cityHash64(distinct_id), cityHash64(uuid))
""",
    """
CREATE TABLE person_distinct_id_overrides (
    team_id Int64, distinct_id VARCHAR, person_id UUID, is_deleted Int8, version Int64, _timestamp DateTime,
    _offset UInt64, _partition UInt64
) ENGINE = ReplacingMergeTree(version)
ORDER BY (team_id, distinct_id)
""",
    """
CREATE TABLE person (
    id UUID, created_at DateTime64, team_id Int64, properties VARCHAR, is_identified Int8, is_deleted Int8,
    version UInt64, _timestamp DateTime, _offset UInt64
) ENGINE = ReplacingMergeTree(version)
ORDER BY (team_id, id)
""",
)
POSTHOG_TABLES = ("events", "person_distinct_id_overrides", "person")

OWN_TABLE = "track-log"
OWN = f"""
CREATE TABLE `{OWN_TABLE}` (
    tenant LowCardinality(String), what LowCardinality(String), who Nullable(String), device Nullable(String),
    timestamp String, id String, payload Map(String, String), text Nullable(String), kind LowCardinality(String)
) ENGINE = MergeTree ORDER BY (tenant, timestamp)
"""
OWN_PERSONS = """
CREATE TABLE persons (
    account UInt32, id String, attributes String, updated UInt64, gone Nullable(UInt8)
) ENGINE = MergeTree ORDER BY (account, id)
"""
MAPPING: dict[str, Any] = {
    "schema": "mapped",
    "table": OWN_TABLE,
    "team": "toUInt32OrZero(substring(tenant, 2))",
    "event": "lower(what)",
    "person": "who",
    "distinct_id": "device",
    "time": "parseDateTime64BestEffort(timestamp, 3, 'UTC')",
    "uuid": "id",
    "properties": "text",
    "filter": "kind = 'track'",
}
OWN_STATES: dict[str, Any] = {
    "table": "persons",
    "team": "account",
    "id": "id",
    "properties": "attributes",
    "version": "updated",
    "deleted": "gone",
}


def own_tables(**changes: Any) -> HistoryTables:
    """The own table's mapping."""
    return HistoryTables.model_validate(MAPPING | changes)


def own_states() -> HistoryTables:
    """The same with states of persons beside it."""
    return own_tables(persons=PersonsTable.model_validate(OWN_STATES))


def posthog_event(**columns: Any) -> dict[str, Any]:
    """A row of PostHog's events, at a time in milliseconds."""
    time_ms = columns.pop("time_ms")
    return {
        "uuid": f"00000000-0000-4000-8000-{time_ms % 10**12:012}",
        "event": "buy",
        "properties": "{}",
        "timestamp": f"{time_ms // 1_000}.{time_ms % 1_000:03}999",
        "team_id": 1,
        "distinct_id": "",
        "person_id": NOBODY,
        "person_properties": "",
        **columns,
    }


def statements(*texts: str) -> str:
    """As a golden file has them."""
    return "".join(f"{text.strip()};\n" for text in texts)


def fresh(command: Any, tables: Iterable[str], *made: str) -> None:
    """The tables with nothing in them, by what runs a statement. Emptied, not dropped: that would take longer."""
    for table, sql in zip(tables, made, strict=True):
        command(sql.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1))
        command(f"TRUNCATE TABLE `{table}`")
