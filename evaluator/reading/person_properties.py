"""What a request did not bring of its person's properties, filled in from what Muster keeps. Pure.

The request wins, with a null too. Of what it lacks only those properties are looked for that one of its flags tests
and that are kept (`cohort_store.kept_properties`); a value that was unset is none. Where nothing could be read, a flag
that looks at such a property is not decided as if she did not have it: its policy answers (`Unread`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from cohort_store.durations import format_instant
from cohort_store.person_updates import STATES_ABOVE
from cohort_store.properties import Properties
from cohort_store.records import Register

_UNSET = "null"
_decode = msgspec.json.Decoder().decode


class Source(StrEnum):
    """Who said it."""

    EVENT = "event"
    """An event set it: the latest wins."""
    EVENT_ONCE = "event_once"
    """An event set it once: the earliest of those wins, and whatever else is said."""
    STATE = "state"
    """A source of persons' whole states, which outranks events."""


class KeptProperty(msgspec.Struct, frozen=True, omit_defaults=True):
    """A property as it is kept."""

    value: Any
    source: Source
    version: int
    """Of an event its time in milliseconds, of a state the number that its source gave it."""
    at: str | None = None
    """That time. A state has none."""


class Filled(NamedTuple):
    """The properties that flags are decided with."""

    properties: Properties
    names: frozenset[str] = frozenset()
    """Those of them that the request did not bring."""
    unread: frozenset[str] = frozenset()
    """Those that it did not bring, that a flag tests, and that could not be read."""


def fill_in(brought: Properties, wanted: Collection[str], registers: Mapping[str, Register] | None) -> Filled:
    """`wanted` are what `brought` lacks; `registers` is None where nothing could be read."""
    if not wanted:
        return Filled(brought)
    if registers is None:
        return Filled(brought, unread=frozenset(wanted))
    found, unread = dict[str, Any](), set[str]()
    for name in wanted:
        register = registers.get(name)
        if register is None or register[1] == _UNSET:
            continue
        try:
            found[name] = _decode(register[1])
        except msgspec.DecodeError:
            unread.add(name)
    return Filled({**found, **brought}, frozenset(found), frozenset(unread))


def described(registers: Mapping[str, Register], names: Collection[str]) -> dict[str, KeptProperty]:
    """Those of the names that have a value, in their order."""
    there = ((name, registers[name]) for name in sorted(names) if name in registers)
    return {name: _described(register) for name, register in there if register[1] != _UNSET}


class Unread(Mapping[str, Any]):
    """Properties of which some are not known; it remembers whether one of those was looked at."""

    def __init__(self, properties: Properties, unread: frozenset[str]) -> None:
        self._properties = properties
        self._unread = unread
        self.looked_at: str | None = None
        """The first such property that was, since this was last cleared."""

    def __getitem__(self, name: str) -> Any:
        if name in self._unread and self.looked_at is None:
            self.looked_at = name
        return self._properties[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._properties)

    def __len__(self) -> int:
        return len(self._properties)


def _described(register: Register) -> KeptProperty:
    version, text = register
    if version >= STATES_ABOVE:
        return KeptProperty(_decode(text), Source.STATE, version - STATES_ABOVE)
    source, time_ms = (Source.EVENT, version) if version >= 0 else (Source.EVENT_ONCE, -version)
    return KeptProperty(_decode(text), source, time_ms, format_instant(time_ms))
