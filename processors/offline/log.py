"""A log: events and persons, mostly from files, read once by each engine that asks it.

Nothing is held but what an engine keeps. A line that cannot be used is told to `refuse`, with file, number and
reason, and left out; so is nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cohort_store.errors import BadEvent
from cohort_store.person_updates import NO_UPDATE, written
from cohort_store.records import Register
from cohort_store.static_lists import write_of
from processors.codecs.event import Event
from processors.codecs.other_ids import OTHER_ID_IN, alias_in
from processors.offline.definitions import Asked
from processors.offline.event_rows import EventRow, event_of, is_of, look_at, may_tell_of_person
from processors.offline.identities import Identities
from processors.offline.lines import LineReader, Refuse, Rows
from processors.offline.persons import PERSONS, KnownPersons, PersonRow, read_persons
from processors.offline.told import Told
from processors.router.routes import TeamRoutes, told_of_person
from processors.row_files import EVENTS, BadLine

PRESENT_VERSION = 2**63
"""Of what the persons file says: above whatever events and states say."""


class LogSource(Protocol):
    """Where rows come from, each with the file that it is told by, and which team's are meant."""

    @property
    def team(self) -> int:
        """A row that names no team is this one's."""
        ...

    def event_rows(self, refuse: Refuse) -> Iterator[tuple[Path, Rows[EventRow]]]: ...

    def person_rows(self, refuse: Refuse) -> Iterator[tuple[Path, Rows[PersonRow]]]: ...


@dataclass(frozen=True, slots=True)
class LogFiles:
    """A LogSource. Raises Unreadable where a file is damaged."""

    events: tuple[Path, ...]
    persons: tuple[Path, ...]
    team: int

    def event_rows(self, refuse: Refuse) -> Iterator[tuple[Path, Rows[EventRow]]]:
        reader = LineReader(EVENTS, EventRow, refuse)
        return ((path, rows) for path in self.events for rows in reader.read(path))

    def person_rows(self, refuse: Refuse) -> Iterator[tuple[Path, Rows[PersonRow]]]:
        reader = LineReader(PERSONS, PersonRow, refuse)
        return ((path, rows) for path in self.persons for rows in reader.read(path))


class Log:
    """One question's reading of a source, at `now`."""

    def __init__(self, source: LogSource, now: int, refuse: Refuse) -> None:
        self._source = source
        self._now = now
        self._refuse = refuse
        self.identities = Identities()
        """Whole once the events have been read to their end."""
        self.persons: KnownPersons = read_persons(source.person_rows(refuse), source.team, self.identities, refuse)
        self.later = 0
        """Events that are dated after now, and so do not count yet."""
        self._told = Told()

    def events(self, routes: TeamRoutes | None) -> Iterator[Event]:
        """The sound events up to now in the source's order, duplicates and all, as far as a route asks for them.

        `routes` None: all of them. Whose event it is, `person_of` says when the last one has been read.
        """
        team, of = self._source.team, None if routes is None else routes.of
        named = frozenset[str]() if routes is None else routes.person_properties
        for path, (numbers, rows) in self._source.event_rows(self._refuse):
            for number, row in zip(numbers, rows, strict=True):
                try:
                    if not is_of(row, team):
                        continue
                    is_wanted = of is None or of(row.event) or row.event in OTHER_ID_IN
                    if not is_wanted and not (named and may_tell_of_person(row)):
                        self._known(*look_at(row))
                        continue
                    event = event_of(row, team)
                    told = told_of_person(event, named) if named else NO_UPDATE
                except BadEvent as error:
                    self._refuse(path, BadLine(number, error.detail))
                    continue
                if self._known(event.person_id, event.distinct_id, event.time_ms):
                    self._identify(event, path, number)
                    self._told.write(event, told.writes)
                    for problem in told.refused:
                        self._refuse(path, BadLine(number, problem))
                    yield event

    def person_of(self, event: Event) -> str:
        """Whose event it is. Only right once all have been read."""
        return event.person_id or self.identities.person_of(event.distinct_id or "")

    def registers(self, asked: Asked) -> Mapping[str, Mapping[str, Register]]:
        """By person, the registers that the conditions read. Only right once all events have been read."""
        told = self._told.by_person(self.identities)
        for person, (properties, path, number) in self.persons.items():
            present = {name: properties[name] for name in asked.plan.person_properties if name in properties}
            writes, refused = written({PRESENT_VERSION: present})
            for problem in refused:
                self._refuse(path, BadLine(number, problem))
            told.setdefault(person, {}).update({name: (version, text) for name, version, text in writes})
        everybody = frozenset(self.identities.everybody()) if asked.lists else frozenset()
        for digest, members in asked.lists.items():
            name, version, text = write_of(digest)
            for member in everybody.intersection(members):
                told.setdefault(member, {})[name] = (version, text)
        return told

    def _identify(self, event: Event, path: Path, number: int) -> None:
        """Take in which other id the event tells."""
        if event.event in OTHER_ID_IN:
            try:
                self.identities.tell(alias_in(event))
            except BadEvent as error:
                self._refuse(path, BadLine(number, error.detail))

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
