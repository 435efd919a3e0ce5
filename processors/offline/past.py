"""A person at an instant that is past: out of ClickHouse's history, by the engine that answers from logs.

Why not out of her record: what is kept there answers only from the record's own instant on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import msgspec

from cohort_store.durations import format_instant
from cohort_store.errors import BadEvent, Reject
from cohort_store.records import EMPTY, Record
from processors.clickhouse.history_source import ARCHIVE, HistorySource
from processors.clickhouse.person_history import EVENTS_MAX, ArchivedEvent, person_history
from processors.offline.definitions import Asked
from processors.offline.event_rows import EventRow
from processors.offline.lines import Refuse, Rows
from processors.offline.log import Log
from processors.offline.persons import PersonRow
from processors.offline.timelines_engine import records_of
from processors.row_files import BadLine


class NoHistory(Reject):
    """The past cannot be told; the message says why, and what would be needed."""


async def record_at(url: str, asked: Asked, person: str, at_ms: int, source: HistorySource = ARCHIVE) -> Record:
    """All that was known of the person at the instant, unpruned.

    Raises NoHistory where there is none of that time, Retry where ClickHouse cannot be asked.
    """
    if not url:
        raise NoHistory(
            f"{format_instant(at_ms)} is past, and there is no history to ask: give the setting MUSTER_CLICKHOUSE"
        )
    begins_ms, events = await person_history(url, source, asked.team, person, at_ms)
    if begins_ms is None:
        table = source.table.name
        raise NoHistory(f"ClickHouse's table {table} holds none of team {asked.team}: run muster archive, or feed it")
    if begins_ms > at_ms:
        raise NoHistory(f"the history begins at {format_instant(begins_ms)}; {format_instant(at_ms)} is before that")
    if len(events) >= EVENTS_MAX:
        raise NoHistory(f"the history has more than {EVENTS_MAX:,} events of {person!r}; ask muster members of a file")
    log = Log(_Archived(events, person, asked.team), at_ms, _refuse)
    return records_of(asked, log).get(person, EMPTY)


def _refuse(_: Path, line: BadLine) -> NoReturn:
    raise BadEvent("archived", f"ClickHouse's history holds an event that is none: {line.problem}")


@dataclass(frozen=True, slots=True)
class _Archived:
    """A LogSource of one person's events."""

    events: Sequence[ArchivedEvent]
    person: str
    team: int

    def event_rows(self, _refuse: Refuse) -> Iterator[tuple[Path, Rows[EventRow]]]:
        rows = [
            EventRow(each.event, each.time_ms, None, self.person, each.uuid, msgspec.Raw(each.properties.encode()))
            for each in self.events
        ]
        yield Path("events"), Rows(range(len(rows)), rows)

    def person_rows(self, _refuse: Refuse) -> Iterator[tuple[Path, Rows[PersonRow]]]:
        return iter(())
