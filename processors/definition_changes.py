"""The topic of definitions as a value: what is in force at a marker, and what an apply writes.

The topic holds one message a definition (its canonical JSON, or a tombstone) and, after all of one apply, a
marker with that apply's id. Access keys are definitions too, which no file has. A static list's ids stand in messages
of their own, a part of the list each, which are known by the list's digest; the cohort's own message has the digest in
place of them. Definitions take effect at the marker. Messages behind the last marker belong to an apply that ended
half-way: the next one puts right what they left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from cohort_store.access_keys import AccessKey
from cohort_store.definition_files import COHORT, FLAG, GROUP_TYPE, KEY, LIST, Definitions, Name, place_of
from cohort_store.definitions import parse_cohort, to_plain
from cohort_store.errors import BadDefinition
from cohort_store.flags import parse_flag, plain_flag
from cohort_store.group_types import parse_group_types
from cohort_store.registry import Registry
from cohort_store.static_lists import STATIC_LIST, TeamList, chunks_of, digest_of, lists_in, members_of, tree_of

MARKER_KEY = b"apply"
DEFINITION_BYTES_MAX = 256 * 1024

Values = Mapping[Name, bytes]
"""Definitions in force, each as canonical JSON."""


class Message(NamedTuple):
    """A message of the topic. `value` None is a tombstone."""

    key: bytes
    value: bytes | None


class Marker(msgspec.Struct, frozen=True):
    """The end of one apply."""

    id: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What was in force when an apply ended."""

    id: str
    values: Values


class DefinitionsLog:
    """The topic's messages, folded in their order. Messages that are no definition are skipped."""

    def __init__(self) -> None:
        self.last: Applied = Applied("", {})
        """As of the last marker; its id is empty where there is none yet."""
        self._running: dict[Name, bytes] = {}
        self._tail: dict[Name, bytes | None] = {}

    @property
    def tail(self) -> Mapping[Name, bytes | None]:
        """What stands behind the last marker."""
        return self._tail

    @property
    def empty(self) -> bool:
        return not self.last.id and not self._tail

    def add(self, message: Message) -> Applied | None:
        """Fold one message; where it is a marker, what is in force from it on."""
        if message.key == MARKER_KEY:
            return self._mark(message.value)
        try:
            name = Name.parse(message.key.decode())
        except ValueError:
            return None
        self._tail[name] = message.value
        if message.value is None:
            self._running.pop(name, None)
        else:
            self._running[name] = message.value
        return None

    def _mark(self, value: bytes | None) -> Applied | None:
        if value is None:
            return None
        self.last = Applied(msgspec.json.decode(value, type=Marker).id, dict(self._running))
        self._tail.clear()
        return self.last


class Action(StrEnum):
    """What an apply does to one definition."""

    CREATED = "created"
    EDITED = "edited"
    UNCHANGED = "unchanged"
    DROPPED = "dropped"


class DefinitionChange(NamedTuple):
    """One definition's part in an apply."""

    name: Name
    action: Action


@dataclass(frozen=True, slots=True)
class PlannedApply:
    """What an apply changes, and what is in force after it."""

    changes: tuple[DefinitionChange, ...]
    values: Values = field(repr=False)

    @property
    def changed(self) -> bool:
        return any(change.action is not Action.UNCHANGED for change in self.changes)


def plan_apply(before: Values, files: Definitions, *, prune: bool) -> PlannedApply:
    """From what is in force and what the files define to what is to be in force.

    Definitions that no file has stay as they are; with `prune` those of the teams that the files name are dropped.
    """
    wanted = canonical_values(files)
    dropped = {
        name for name in before if prune and name.kind != KEY and name.team in files.teams and name not in wanted
    }
    after = _without_orphans({name: value for name, value in before.items() if name not in dropped} | wanted)
    changes = [DefinitionChange(name, _action(before.get(name), value)) for name, value in wanted.items()]
    changes += [DefinitionChange(name, Action.DROPPED) for name in sorted(dropped)]
    return PlannedApply(tuple(change for change in changes if change.name.kind != LIST), after)


def _without_orphans(values: Values) -> Values:
    """The values without the parts of lists that no cohort has any more."""
    if not any(name.kind == LIST for name in values):
        return values
    plain = ((name.team, msgspec.json.decode(value)) for name, value in values.items() if name.kind == COHORT)
    alive = {TeamList(team, digest) for team, cohort in plain for digest in lists_in(cohort["when"])}
    return {name: value for name, value in values.items() if name.kind != LIST or list_of(name) in alive}


def list_of(name: Name) -> TeamList:
    """The list that a value named so is a part of."""
    return TeamList(name.team, name.key.partition(".")[0])


def list_chunks(values: Values, wanted: TeamList) -> list[bytes]:
    """The parts of a list that are there."""
    return [value for name, value in values.items() if name.kind == LIST and list_of(name) == wanted]


def lists_of(values: Values, team: int) -> dict[str, tuple[str, ...]]:
    """The members of a team's lists, by digest."""
    found = {list_of(name) for name in values if name.kind == LIST and name.team == team}
    return {each.digest: members_of(list_chunks(values, each)) for each in found}


def messages_for(log: DefinitionsLog, values: Values, apply_id: str) -> list[Message]:
    """The messages that bring exactly `values` into force, whatever stands behind the last marker; the marker last."""
    present: dict[Name, bytes | None] = {**log.last.values, **log.tail}
    messages = [Message(str(name).encode(), value) for name, value in values.items() if present.get(name) != value]
    messages += [
        Message(str(name).encode(), None) for name, value in present.items() if value is not None and name not in values
    ]
    return [*messages, marker(apply_id)]


def marker(apply_id: str) -> Message:
    """The message that ends an apply."""
    return Message(MARKER_KEY, canonical(Marker(apply_id)))


def in_force(log: DefinitionsLog, registry: Registry) -> Values:
    """What is in force at the last marker.

    A compacted topic may have dropped a definition's last value in favour of one from behind the marker; the
    registry, which has its source, answers for those.
    """
    compiled = registry_values(registry)
    lost = {name: compiled[name] for name in log.tail if name not in log.last.values and name in compiled}
    return {**log.last.values, **lost}


def registry_values(registry: Registry) -> dict[Name, bytes]:
    """The definitions that a registry was compiled from."""
    found: dict[Name, bytes] = {}
    for team in registry.teams.values():
        found |= {Name(COHORT, team.team, cohort.key): canonical(cohort.source) for cohort in team.cohorts}
        found |= {Name(FLAG, team.team, flag["key"]): canonical(flag) for flag in team.flags}
        found |= {Name(GROUP_TYPE, team.team, name): canonical(index) for name, index in team.group_types.items()}
    return found | {Name(KEY, key.team, key.id): canonical(key) for key in registry.keys}


def lists_needed(registry: Registry) -> dict[TeamList, int]:
    """The lists that versions alive read, each with the registry version since which one has without a break."""
    needed: dict[TeamList, int] = {}
    for team in registry.teams.values():
        for cohort in team.cohorts:
            for version in cohort.versions:
                for digest in lists_in(version.when):
                    key = TeamList(team.team, digest)
                    needed[key] = min(needed.get(key, version.registry_version), version.registry_version)
    return needed


def cohort_ids(registry: Registry) -> dict[Name, int]:
    """The integer ids of the cohorts that have one."""
    return {
        Name(COHORT, team.team, cohort.key): cohort.id for team in registry.teams.values() for cohort in team.cohorts
    }


def canonical_values(definitions: Definitions) -> dict[Name, bytes]:
    """Each definition as canonical JSON. Raises BadDefinition for one beyond DEFINITION_BYTES_MAX."""
    values = {name: canonical(to_plain(cohort)) for name, cohort in definitions.cohorts.items()}
    values |= {name: canonical(plain_flag(flag)) for name, flag in definitions.flags.items()}
    values |= {name: canonical(index) for name, index in definitions.group_types.items()}
    for name, value in values.items():
        if len(value) > DEFINITION_BYTES_MAX:
            problem = f"{len(value)} bytes as JSON; at most {DEFINITION_BYTES_MAX}: split it, or shorten its lists"
            raise BadDefinition(place_of(definitions, name), problem)
    for name, cohort in definitions.cohorts.items():
        if cohort.members is not None:
            digest = digest_of(cohort.members)
            for index, chunk in enumerate(chunks_of(cohort.members)):
                values[Name(LIST, name.team, f"{digest}.{index}")] = chunk
    return values


def parse_values(values: Values, places: Mapping[Name, str] | None = None) -> Definitions:
    """The inverse of `canonical_values`. Raises BadDefinition for what this version cannot read."""
    cohorts, flags, types = {}, {}, {}
    for name, value in values.items():
        if name.kind in (LIST, KEY):
            continue
        path = f"{name.kind} {name.key!r} of team {name.team}"
        try:
            plain = msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise BadDefinition(
                path, f"the topic holds no JSON for it ({error}); apply it again, or prune it"
            ) from None
        if name.kind == COHORT:
            cohorts[name] = parse_cohort(_with_members(plain, name.team, values, path), path)
        elif name.kind == GROUP_TYPE:
            types[name] = parse_group_types({name.key: plain}, path)[name.key]
        else:
            flags[name] = parse_flag(plain, path)
    return Definitions(cohorts, flags, frozenset(name.team for name in values), places or {}, group_types=types)


def keys_in(values: Values) -> list[AccessKey]:
    """The access keys among the values. One that this version cannot read is left out: it gives access to nothing."""
    found = []
    for name, value in values.items():
        if name.kind == KEY:
            with suppress(msgspec.MsgspecError):
                found.append(msgspec.json.decode(value, type=AccessKey))
    return found


def _with_members(plain: Any, team: int, values: Values, path: str) -> Any:
    """A stored cohort as people write it: one that is a list gets its members back. Raises BadDefinition."""
    when = plain.get("when") if isinstance(plain, dict) else None
    if not isinstance(when, dict) or when.get("kind") != STATIC_LIST:
        return plain
    try:
        members = members_of(list_chunks(values, TeamList(team, when["list"])))
    except msgspec.MsgspecError as error:
        raise BadDefinition(path, f"a part of its list cannot be read ({error}); apply it again, or prune it") from None
    if tree_of(members) != when:
        problem = f"the topic holds {len(members)} of the {when.get('count')} members of its list"
        raise BadDefinition(path, f"{problem}; apply it again, or prune it")
    return {**{key: value for key, value in plain.items() if key != "when"}, "members": members}


def canonical(plain: Any) -> bytes:
    """JSON that is the same for equal values."""
    return msgspec.json.encode(plain, order="deterministic")


def _action(before: bytes | None, after: bytes) -> Action:
    if before is None:
        return Action.CREATED
    return Action.UNCHANGED if before == after else Action.EDITED


def names_of(changes: Iterable[DefinitionChange], action: Action) -> list[str]:
    """The keys of the definitions that an apply does this to, in order."""
    return [change.name.key for change in changes if change.action is action]
