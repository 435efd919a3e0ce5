"""Members by the SQL that backfill uses, in chDB: it reduces the events to the entries to keep, and conditions decide.

The log's events up to now go into chDB's memory as they came, and so does whose each distinct id is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from cohort_store.records import EMPTY, Record
from cohort_store.timelines import Entry, Timeline
from processors.clickhouse.translation.statements import reduction
from processors.embedded.chdb_memory import Memory
from processors.offline.definitions import Asked
from processors.offline.log import Log
from processors.offline.timelines_engine import Members, roll_call, with_registers

_EVENTS_SQL = """
CREATE TABLE events (
    person_id String COMMENT 'empty where the event named nobody',
    distinct_id String,
    event LowCardinality(String),
    time_ms Int64,
    tag UInt32,
    properties String
) ENGINE = Memory
"""
_OWNERS_SQL = "CREATE TABLE owners (distinct_id String, owner String) ENGINE = Memory"
_SOURCE = """
    SELECT if(person_id = '', owner, person_id) AS person_id, event, time_ms, tag, properties
    FROM events LEFT JOIN owners USING (distinct_id)
"""


class _EventRow(msgspec.Struct, gc=False):
    person_id: str
    distinct_id: str
    event: str
    time_ms: int
    tag: int
    properties: str


def members_at(asked: Asked, log: Log, now: int) -> Members:
    """Who is in each cohort at `now`. Raises EngineError where chDB fails."""
    with Memory() as memory:
        memory.command(_EVENTS_SQL)
        memory.command(_OWNERS_SQL)
        memory.insert("events", _event_rows(asked, log))
        memory.insert("owners", _owner_rows(log))
        records = with_registers(_records(_kept(memory, asked, now)), asked, log)
    everybody = log.identities.everybody()
    return roll_call(asked.plan, ((person, records.get(person, EMPTY)) for person in everybody), now)


def _event_rows(asked: Asked, log: Log) -> Iterator[_EventRow]:
    for event in log.events(asked.routes):
        named, distinct_id = event.person_id or "", event.distinct_id or ""
        yield _EventRow(named, distinct_id, event.event, event.time_ms, event.tag, event.properties_json)


def _owner_rows(log: Log) -> Iterator[Mapping[str, str]]:
    for distinct_id in log.identities.distinct_ids:
        yield {"distinct_id": distinct_id, "owner": log.identities.person_of(distinct_id)}


def _kept(memory: Memory, asked: Asked, now: int) -> Iterable[list[Any]]:
    if not asked.plan.selectors:
        return ()
    return memory.query(reduction(asked.plan.conditions, asked.plan.selectors, _SOURCE), {"now": now})


def _records(rows: Iterable[list[Any]]) -> dict[str, Record]:
    """By person, from the rows of a reduction."""
    return {person: Record(timelines=_timelines(entries)) for person, entries, _ in rows}


def _timelines(entries: Iterable[list[Any]]) -> dict[int, Timeline]:
    lines: dict[int, list[Entry]] = {}
    for selector, time_ms, tag, value in entries:
        lines.setdefault(selector, []).append((time_ms, tag) if value is None else (time_ms, tag, value))
    return {selector: tuple(sorted(line)) for selector, line in lines.items()}
