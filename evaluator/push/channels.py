"""What was told of one person, or of one team's definitions, and who listens. Nothing here waits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import uuid4

from evaluator.deciding.flags import FlagAnswer, is_unavailable
from evaluator.definitions.catalog import TeamCatalog
from evaluator.push.events import DefinitionsChange, Event, EventLog, FlagValues, Name, PersonContext, event
from evaluator.push.looking import Look
from evaluator.push.stream import Stream


class PersonChannel:
    """One distinct id: the flags that were told last, and the streams that are told of it."""

    def __init__(self, team: int, distinct_id: str) -> None:
        self.team = team
        self.distinct_id = distinct_id
        self.person = ""
        """Whom the last look found; empty before the first."""
        self.streams: set[Stream] = set()
        self.watchers: set[Stream] = set()
        """Streams of in-process providers, which are told of memberships."""
        self._joining: list[Stream] = []
        self._log = EventLog(uuid4().hex[:12])
        self._flags: dict[str, FlagAnswer] = {}
        self._standing: object = None
        """What was told of her to in-process providers."""

    @property
    def is_listened_to(self) -> bool:
        return bool(self.streams or self.watchers)

    def join(self, stream: Stream) -> None:
        """The stream is told what it missed, or everything, with the next look; changes from then on."""
        self.streams.add(stream)
        self._joining.append(stream)

    def leave(self, stream: Stream) -> None:
        """Nothing more goes to the stream. Doing it twice is harmless."""
        self.streams.discard(stream)
        self.watchers.discard(stream)
        if stream in self._joining:
            self._joining.remove(stream)

    def take(self, look: Look) -> int:
        """Tell what differs from what was told last; how many streams were told something.

        While the store is away a flag that asks a cohort keeps the value that was told: a policy's answer is for who
        must be answered, and a listener would only see flags go off and on.
        """
        flags = {
            key: self._flags[key] if is_unavailable(answer) and key in self._flags else answer
            for key, answer in look.flags.items()
        }
        self.person = look.person
        told = self._tell_change(look, flags) + self._tell_joining(look, flags)
        self._flags = flags
        return told + self._tell_watchers(look)

    def _tell_change(self, look: Look, flags: Mapping[str, FlagAnswer]) -> int:
        before = self._flags
        changed = {key: answer for key, answer in flags.items() if _value(answer) != _value(before.get(key))}
        removed = [key for key in before if key not in flags]
        if not changed and not removed:
            return 0
        values = FlagValues(self.distinct_id, look.registry_version, look.at_ms, changed, removed)
        return _tell((each for each in self.streams if each not in self._joining), self._log.add(Name.CHANGE, values))

    def _tell_joining(self, look: Look, flags: dict[str, FlagAnswer]) -> int:
        joining, self._joining = self._joining, []
        for stream in joining:
            missed = self._log.since(stream.last_id) if stream.last_id else None
            if missed is None:
                values = FlagValues(self.distinct_id, look.registry_version, look.at_ms, flags)
                missed = [event(Name.STATE, values, self._log.newest_id)]
            for each in missed:
                stream.put(each)
        return len(joining)

    def _tell_watchers(self, look: Look) -> int:
        standing = _standing(look)
        if not look.complete or standing == self._standing:
            return 0
        self._standing = standing
        return _tell(self.watchers, event(Name.CONTEXT, context_of(self.distinct_id, look))) if self.watchers else 0


class TeamChannel:
    """One team's definitions."""

    def __init__(self, team: TeamCatalog, version: int) -> None:
        self.streams: set[Stream] = set()
        self._team = team
        self._version = version
        self._log = EventLog(uuid4().hex[:12])

    def join(self, stream: Stream) -> None:
        """Tell the stream what it missed, or which version is in force; changes from now on."""
        missed = self._log.since(stream.last_id) if stream.last_id else None
        if missed is None:
            missed = [event(Name.STATE, DefinitionsChange(self._version, [], []), self._log.newest_id)]
        for each in missed:
            stream.put(each)
        self.streams.add(stream)

    def take(self, team: TeamCatalog, version: int) -> int:
        """Tell which flags are decided otherwise now, if any are; how many streams were told."""
        changed, removed = definitions_changed(self._team, team)
        self._team, self._version = team, version
        if not changed and not removed:
            return 0
        return _tell(self.streams, self._log.add(Name.CHANGE, DefinitionsChange(version, changed, removed)))


def definitions_changed(before: TeamCatalog, after: TeamCatalog) -> tuple[list[str], list[str]]:
    """The flags that are new or decided otherwise, and those that are gone. A cohort's new version counts."""
    old, new = _definitions(before), _definitions(after)
    return [key for key, each in new.items() if old.get(key) != each], [key for key in old if key not in new]


def _definitions(team: TeamCatalog) -> dict[str, object]:
    raw = {each["key"]: each for each in team.registry.flags if isinstance(each, Mapping) and "key" in each}
    return {
        key: (raw.get(key), tuple((cohort.key, cohort.handle) for cohort in flag.cohorts))
        for key, flag in team.flags.items()
    }


def _value(answer: FlagAnswer | None) -> tuple[bool, str | None, str | None] | None:
    """What a client acts upon; a reason that changes alone is no news."""
    return None if answer is None else (answer.enabled, answer.variant, answer.metadata.payload)


def context_of(distinct_id: str, look: Look) -> PersonContext:
    """What in-process evaluation needs of a look."""
    properties, unread = dict(look.filled.properties), sorted(look.filled.unread)
    return PersonContext(distinct_id, look.person, look.at_ms, look.cohorts, properties, unread)


def _standing(look: Look) -> object:
    cohorts = {key: (cohort.version, cohort.member, cohort.status) for key, cohort in look.cohorts.items()}
    return cohorts, look.filled.properties, look.filled.unread


def _tell(streams: Iterable[Stream], told: Event) -> int:
    listeners = tuple(streams)
    for stream in listeners:
        stream.put(told)
    return len(listeners)
