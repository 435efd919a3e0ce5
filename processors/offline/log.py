"""A log: files of events and of persons, read once by each engine that asks it.

Nothing is held but what an engine keeps. A line that cannot be used is told to `refuse`, with file, number and
reason, and left out; so is nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cohort_store.errors import BadEvent
from processors.codecs.event import Event
from processors.offline.event_rows import EventRow, event_of, is_of, look_at
from processors.offline.identities import Identities
from processors.offline.lines import LineReader, Refuse
from processors.offline.persons import KnownPersons, read_persons
from processors.router.routes import TeamRoutes
from processors.row_files import EVENTS, BadLine


@dataclass(frozen=True, slots=True)
class LogFiles:
    """Where the lines are, and which team's are meant. A line that names no team is that team's."""

    events: tuple[Path, ...]
    persons: tuple[Path, ...]
    team: int


class Log:
    """One question's reading of the files: at `now`, told apart by `routes` into wanted events and others."""

    def __init__(self, files: LogFiles, now: int, refuse: Refuse) -> None:
        self._files = files
        self._now = now
        self._refuse = refuse
        self.identities = Identities()
        """Whole once the events have been read to their end."""
        self.persons: KnownPersons = read_persons(files.persons, files.team, self.identities, refuse)
        self.later = 0
        """Events that are dated after now, and so do not count yet."""

    def events(self, routes: TeamRoutes | None) -> Iterator[Event]:
        """The sound events up to now in the files' order, duplicates and all, as far as a route asks for them.

        `routes` None: all of them. Whose event it is, `person_of` says when the last one has been read.
        """
        reader = LineReader(EVENTS, EventRow, self._refuse)
        team, of = self._files.team, None if routes is None else routes.of
        for path in self._files.events:
            for numbers, rows in reader.read(path):
                for number, row in zip(numbers, rows, strict=True):
                    try:
                        if not is_of(row, team):
                            continue
                        if of is not None and not of(row.event):
                            self._known(*look_at(row))
                            continue
                        event = event_of(row, team)
                    except BadEvent as error:
                        self._refuse(path, BadLine(number, error.detail))
                        continue
                    if self._known(event.person_id, event.distinct_id, event.time_ms):
                        yield event

    def person_of(self, event: Event) -> str:
        """Whose event it is. Only right once all have been read."""
        return event.person_id or self.identities.person_of(event.distinct_id or "")

    def _known(self, person: str | None, distinct_id: str | None, time_ms: int) -> bool:
        """Take in whom an event names, whenever it is dated; whether it counts by now."""
        identities = self.identities
        if person is not None:
            identities.persons.add(person)
        elif distinct_id is not None:
            identities.distinct_ids.add(distinct_id)
        if time_ms > self._now:
            self.later += 1
            return False
        if person is not None and distinct_id is not None:
            identities.pair(distinct_id, person, time_ms)
        return True
