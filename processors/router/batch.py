"""One batch: messages read, judged, and turned into deltas.

Every message ends in exactly one way, which is counted: `unwanted` by name and dropped unread, of an
`unknown_team`, `unmatched` by any selector, `routed`, or `refused` as a dead letter. Which other ids an event says to
be its person's is told beside that. One whose number is negative,
though a definition says that it never is, is refused and counts all the same wherever that number does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cohort_store.deltas import Delta, DeltaEntry, RegisterWrite
from cohort_store.errors import BadEvent
from cohort_store.person_updates import NO_UPDATE, state_of
from cohort_store.subjects import PERSON, Subject
from processors.codecs.codec import EventCodec, PairCodec, PersonCodec
from processors.codecs.event import Event, Reason
from processors.codecs.other_ids import OTHER_ID_IN, Alias, alias_in
from processors.codecs.posthog_person import PersonState
from processors.codecs.telling import may_tell_of_person
from processors.kafka.dead_letters import DeadLetter
from processors.router.identities import pair_delta, version_of
from processors.router.packing import Packer
from processors.router.persons import DistinctId, Persons
from processors.router.ports import Message, arrival_ms_of
from processors.router.progress import Source
from processors.router.routes import NO_ENTRIES, RouterPlan, entries_of, told_of_person


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
    events_tell_persons: bool = True
    """Whether what events say of their persons counts: not where a source tells the persons' states themselves."""


class _Waiting(NamedTuple):
    """A routed event whose person is not known yet."""

    distinct_id: DistinctId
    entries: tuple[DeltaEntry, ...]
    writes: tuple[RegisterWrite, ...]
    arrival_ms: int | None


class _Refused(NamedTuple):
    """A part of an event that becomes a dead letter."""

    reason: Reason
    detail: str


@dataclass(slots=True)
class Batch:
    """Fill it with `read`, then `resolve` what waits for its person, then take out packer and letters."""

    reading: Reading
    packer: Packer
    tally: Tally = field(default_factory=Tally)
    letters: list[DeadLetter] = field(default_factory=list)
    _waiting: list[_Waiting] = field(default_factory=list)
    _aliases: list[Alias] = field(default_factory=list)

    def read(self, source: Source, messages: Sequence[Message], codec: EventCodec) -> None:
        """Take in messages of one partition."""
        names, bytes_max, peek = self.reading.plan.names, self.reading.event_bytes_max, codec.peek
        may_tell = may_tell_of_person if self._asks_persons() else _tells_nothing
        unwanted = 0
        for message in messages:
            raw = message.value
            if raw is not None and names is not None:
                name = peek(raw)
                is_named = name is None or name in names or name in OTHER_ID_IN
                if not is_named and len(raw) <= bytes_max and not may_tell(raw):
                    unwanted += 1
                    continue
            self._read_whole(source, message, codec)
        self.tally.unwanted += unwanted

    def read_persons(self, source: Source, messages: Sequence[Message], codec: PersonCodec) -> None:
        """Take in messages of one partition of a source of persons."""
        for message in messages:
            try:
                problems = self._route_person(codec.decode(message.value or b""))
            except BadEvent as error:
                self._refuse(source, message, error.reason, error.detail)
            else:
                if problems:
                    self._refuse(source, message, Reason.BAD_PERSON_PROPERTIES, "; ".join(problems))

    def read_pairs(self, source: Source, messages: Sequence[Message], codec: PairCodec) -> None:
        """Take in messages of one partition of a source of distinct ids."""
        for message in messages:
            try:
                pair = codec.decode(message.value or b"")
            except BadEvent as error:
                self._refuse(source, message, error.reason, error.detail)
                continue
            if pair.team not in self.reading.plan.known:
                self.tally.unknown_team += 1
                continue
            self.tally.routed += 1
            self._tell(pair.team, pair.distinct_id, pair.person_id, version_of(pair))

    def unresolved(self) -> list[DistinctId]:
        """The distinct ids whose persons must be asked for."""
        persons, now = self.reading.persons, self.reading.now
        asked = {each.distinct_id for each in self._waiting}
        asked.update((each.team, each.distinct_id) for each in self._aliases if each.person is None)
        return [key for key in asked if persons.person_of(key, now) is None]

    def resolve(self, found: dict[DistinctId, str | None]) -> None:
        """Give the waiting events to their persons; a distinct id without one is the id of its own person."""
        persons, now = self.reading.persons, self.reading.now
        for distinct_id, person in found.items():
            if person is not None:
                persons.learn(distinct_id, person, now)
        for team, text, named, other, time_ms in self._aliases:
            self._tell(team, other, named or persons.person_of((team, text), now) or text, time_ms)
        self._aliases.clear()
        for distinct_id, entries, writes, arrival_ms in self._waiting:
            team, text = distinct_id
            person = persons.person_of(distinct_id, now) or text
            self.packer.add(Delta(Subject(team, PERSON, person), entries, writes, arrival_ms))
        self._waiting.clear()

    def _read_whole(self, source: Source, message: Message, codec: EventCodec) -> None:
        now, raw = self.reading.now, message.value or b""
        arrival_ms = arrival_ms_of(message, now)
        try:
            refused = self._route(codec.decode(raw, arrival_ms), arrival_ms)
        except BadEvent as error:
            self._refuse(source, message, error.reason, error.detail)
        else:
            for reason, detail in refused:
                self._refuse(source, message, reason, detail)

    def _refuse(self, source: Source, message: Message, reason: str, detail: str) -> None:
        where = (source.topic, source.partition, message.offset)
        self.letters.append(DeadLetter(*where, reason, detail, message.value or b"", self.reading.now))

    def _asks_persons(self) -> bool:
        return self.reading.events_tell_persons and self.reading.plan.asks_persons

    def _route(self, event: Event, arrival_ms: int) -> Sequence[_Refused]:
        """Send what is wanted of the event; what of it is left out."""
        if event.event in OTHER_ID_IN and event.team in self.reading.plan.known:
            return [*self._identify(event), *self._route_wanted(event, arrival_ms)]
        return self._route_wanted(event, arrival_ms)

    def _identify(self, event: Event) -> Sequence[_Refused]:
        """Let the other id that the event tells be its person's."""
        self._pair_of(event)
        try:
            alias = alias_in(event)
        except BadEvent as error:
            return [_Refused(Reason(error.reason), error.detail)]
        if alias is not None:
            self._aliases.append(alias)
        return ()

    def _route_wanted(self, event: Event, arrival_ms: int) -> Sequence[_Refused]:
        team_routes = self.reading.plan.teams.get(event.team)
        if team_routes is None:
            self.tally.unknown_team += 1
            return ()
        routes = team_routes.of(event.event)
        named = team_routes.person_properties if self.reading.events_tell_persons else ()
        if not routes and not named:
            self.tally.unwanted += 1
            return ()
        entries, negative = entries_of(event, routes) if routes else NO_ENTRIES
        writes, problems = told_of_person(event, named) if named else NO_UPDATE
        refused = _refused(problems, negative) if problems or negative is not None else ()
        self._pair_of(event)
        if not entries and not writes:
            self.tally.unmatched += 1
            return refused
        self.tally.routed += 1
        ahead = arrival_ms if event.time_ms > arrival_ms else None
        if event.person_id is not None:
            self.packer.add(Delta(Subject(event.team, PERSON, event.person_id), entries, writes, ahead))
        elif event.distinct_id is not None:
            self._waiting.append(_Waiting((event.team, event.distinct_id), entries, writes, ahead))
        return refused

    def _route_person(self, person: PersonState) -> Sequence[str]:
        team_routes = self.reading.plan.teams.get(person.team)
        if team_routes is None:
            self.tally.unknown_team += 1
            return ()
        writes, problems = state_of(person.properties, person.version, team_routes.person_properties)
        if writes:
            self.tally.routed += 1
            self.packer.add(Delta(Subject(person.team, PERSON, person.person_id), (), writes))
        else:
            self.tally.unwanted += 1
        return problems

    def _pair_of(self, event: Event) -> None:
        """Tell the distinct id's own shard of the event's person, where that is news."""
        if event.distinct_id is not None and event.person_id is not None:
            team, distinct_id, person, time_ms = event.team, event.distinct_id, event.person_id, event.time_ms
            if self.reading.persons.is_news((team, distinct_id), person, time_ms, self.reading.now):
                self.packer.add(pair_delta(team, distinct_id, person, time_ms))

    def _tell(self, team: int, distinct_id: str, person: str, version: int) -> None:
        self.reading.persons.take((team, distinct_id), person, version, self.reading.now)
        self.packer.add(pair_delta(team, distinct_id, person, version))


def _refused(problems: Sequence[str], negative: str | None) -> list[_Refused]:
    """What is left out of an event of which the rest is routed."""
    refused = [_Refused(Reason.BAD_PERSON_PROPERTIES, "; ".join(problems))] if problems else []
    if negative is not None:
        problem = f"property {negative[:40]!r} is negative, and a sum declares it non_negative"
        refused.append(_Refused(Reason.NEGATIVE_VALUE, f"{problem}; where it may be, remove that there"))
    return refused


def _tells_nothing(raw: bytes) -> bool:  # noqa: ARG001 - stands in for may_tell_of_person
    return False
