"""What an event says of its person: writes to the registers of the properties that definitions name.

An event may carry `$set`, `$set_once` (objects) and `$unset` (a list of names, or an object of which the names count)
among its properties, and a snapshot of her properties beside them (PostHog's `person_properties`). Versions, so that
any order of arrival comes to the same:

* a value that is set, or unset (the JSON text `null`), has the event's time in milliseconds: the latest wins;
* one that is set once has that time's negative: the earliest wins of those, and any other write beats them all. So
  what was unset stays unset for a later `$set_once`;
* within one event `$unset` beats `$set`, and that the snapshot; of two events in one millisecond the text decides.

A null is an unset. A write has no future: one that is dated later than its arrival counts at once.

A source may also tell a person's whole state, with a number that rises with each change of her (PostHog's
`clickhouse_person`). Its versions beat every event's, so the two kinds are never compared with each other; and what is
not in it is unset, but for the first state (0), which nothing came before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from cohort_store.deltas import RegisterWrite
from cohort_store.properties import Properties
from cohort_store.records import VALUE_BYTES_MAX

STATE_VERSION_MAX = 2**62
"""Of a person's state, as its source numbers it."""
STATES_ABOVE = 2**53
"""What a state's version is raised by: above every time in milliseconds, so that a state beats whatever events say."""
_NOTHING: Properties = {}

_encode = msgspec.json.Encoder().encode


class PersonUpdate(NamedTuple):
    """What can be written, and a sentence about each part that cannot."""

    writes: tuple[RegisterWrite, ...] = ()
    refused: tuple[str, ...] = ()


NO_UPDATE = PersonUpdate()


def update_of(
    properties: Properties, time_ms: int, named: Collection[str], snapshot: Properties = _NOTHING
) -> PersonUpdate:
    """The writes of one event, to the registers in `named` alone."""
    if not snapshot and "$set" not in properties and "$set_once" not in properties and "$unset" not in properties:
        return NO_UPDATE
    refused: list[str] = []
    values = {name: snapshot[name] for name in named if name in snapshot}
    values.update(_of_object("$set", properties, named, refused))
    values.update(dict.fromkeys(_unset(properties, named, refused)))
    once = _of_object("$set_once", properties, named, refused)
    return written({time_ms: values, -time_ms: once}, refused)


def state_of(properties: Properties, version: int, named: Collection[str]) -> PersonUpdate:
    """The writes of a whole state, to the registers in `named` alone. `version` is 0 to STATE_VERSION_MAX."""
    values = {name: properties.get(name) for name in named if version or name in properties}
    return written({version + STATES_ABOVE: values})


def written(by_version: Mapping[int, Properties], refused: Collection[str] = ()) -> PersonUpdate:
    """Values by version and name, as writes; those that are too large are refused."""
    writes: list[RegisterWrite] = []
    problems = list(refused)
    for version, values in by_version.items():
        for name, value in values.items():
            text = _encode(value)
            if len(text) <= VALUE_BYTES_MAX:
                writes.append(RegisterWrite(name, version, text.decode()))
            else:
                problems.append(
                    f"property {name!r} of the person has {len(text)} bytes as JSON; at most {VALUE_BYTES_MAX}: "
                    "shorten it, or name another property in the definition"
                )
    return PersonUpdate(tuple(writes), tuple(problems))


def _of_object(word: str, properties: Properties, named: Collection[str], refused: list[str]) -> dict[str, Any]:
    """The named ones of an object's values."""
    found = properties.get(word)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        refused.append(f"{word} is {str(found)[:40]!r}; write an object of names and values")
        return {}
    return {name: found[name] for name in named if name in found}


def _unset(properties: Properties, named: Collection[str], refused: list[str]) -> Iterator[str]:
    found = properties.get("$unset")
    if found is None:
        return
    if not isinstance(found, (list, Mapping)):
        refused.append(f"$unset is {str(found)[:40]!r}; write a list of names")
        return
    yield from (name for name in named if name in found)
