"""One batch: messages read, judged, and turned into deltas.

Every message ends in exactly one way, which is counted: `unwanted` by name and dropped unread, of an
`unknown_team`, `unmatched` by any selector, `routed`, or `refused` as a dead letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cohort_store.deltas import PERSON_REGISTER, Delta, DeltaEntry, RegisterWrite
from cohort_store.errors import BadEvent
from cohort_store.subjects import DISTINCT_ID, PERSON, Subject
from processors.codecs.codec import EventCodec
from processors.codecs.event import Event
from processors.kafka.dead_letters import DeadLetter
from processors.router.packing import Packer
from processors.router.persons import DistinctId, Persons
from processors.router.ports import Message, arrival_ms_of
from processors.router.progress import Source
from processors.router.routes import RouterPlan, entries_of


@dataclass(slots=True)
class Tally:
    """How the messages of a batch ended."""

    unwanted: int = 0
    unknown_team: int = 0
    unmatched: int = 0
    routed: int = 0


class Reading(NamedTuple):
    """What a batch is read with."""

    plan: RouterPlan
    persons: Persons
    event_bytes_max: int
    now: int


class _Waiting(NamedTuple):
    """A routed event whose person is not known yet."""

    distinct_id: DistinctId
    entries: tuple[DeltaEntry, ...]
    arrival_ms: int | None


@dataclass(slots=True)
class Batch:
    """Fill it with `read`, then `resolve` what waits for its person, then take out packer and letters."""

    reading: Reading
    packer: Packer
    tally: Tally = field(default_factory=Tally)
    letters: list[DeadLetter] = field(default_factory=list)
    _waiting: list[_Waiting] = field(default_factory=list)

    def read(self, source: Source, messages: Sequence[Message], codec: EventCodec) -> None:
        """Take in messages of one partition."""
        names, bytes_max, peek = self.reading.plan.names, self.reading.event_bytes_max, codec.peek
        unwanted = 0
        for message in messages:
            raw = message.value
            if raw is not None and names is not None:
                name = peek(raw)
                if name is not None and name not in names and len(raw) <= bytes_max:
                    unwanted += 1
                    continue
            self._read_whole(source, message, codec)
        self.tally.unwanted += unwanted

    def unresolved(self) -> list[DistinctId]:
        """The distinct ids whose persons must be asked for."""
        persons, now = self.reading.persons, self.reading.now
        return [key for key in {each.distinct_id for each in self._waiting} if persons.person_of(key, now) is None]

    def resolve(self, found: dict[DistinctId, str | None]) -> None:
        """Give the waiting events to their persons; a distinct id without one is the id of its own person."""
        persons, now = self.reading.persons, self.reading.now
        for distinct_id, person in found.items():
            if person is not None:
                persons.learn(distinct_id, person, now)
        for distinct_id, entries, arrival_ms in self._waiting:
            team, text = distinct_id
            person = persons.person_of(distinct_id, now) or text
            self.packer.add(Delta(Subject(team, PERSON, person), entries, (), arrival_ms))
        self._waiting.clear()

    def _read_whole(self, source: Source, message: Message, codec: EventCodec) -> None:
        now, raw = self.reading.now, message.value or b""
        arrival_ms = arrival_ms_of(message, now)
        try:
            self._route(codec.decode(raw, arrival_ms), arrival_ms)
        except BadEvent as error:
            where = (source.topic, source.partition, message.offset)
            self.letters.append(DeadLetter(*where, error.reason, error.detail, raw, now))

    def _route(self, event: Event, arrival_ms: int) -> None:
        team_routes = self.reading.plan.teams.get(event.team)
        if team_routes is None:
            self.tally.unknown_team += 1
            return
        routes = team_routes.of(event.event)
        if not routes:
            self.tally.unwanted += 1
            return
        entries = entries_of(event, routes)
        self._pair(event)
        if not entries:
            self.tally.unmatched += 1
            return
        self.tally.routed += 1
        ahead = arrival_ms if event.time_ms > arrival_ms else None
        if event.person_id is not None:
            self.packer.add(Delta(Subject(event.team, PERSON, event.person_id), entries, (), ahead))
        elif event.distinct_id is not None:
            self._waiting.append(_Waiting((event.team, event.distinct_id), entries, ahead))

    def _pair(self, event: Event) -> None:
        """Tell the distinct id's own shard of its person, where that is news."""
        team, distinct_id, person, time_ms = event.team, event.distinct_id, event.person_id, event.time_ms
        if distinct_id is None or person is None:
            return
        if self.reading.persons.is_news((team, distinct_id), person, time_ms, self.reading.now):
            write = RegisterWrite(PERSON_REGISTER, time_ms, person)
            self.packer.add(Delta(Subject(team, DISTINCT_ID, distinct_id), (), (write,)))
