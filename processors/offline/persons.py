"""The persons file: who there is beside those of the events, their distinct ids, and their present properties.

A line is `{"person_id" or "id", "distinct_ids"?: [...], "created_at"?, "properties"?: {...}}`. `created_at` is the
property `created_at`; a number is seconds since 1970, as in every date of a property, or from 10¹¹ on (the year 5138 in
seconds) milliseconds, as in events. Of several lines about one person, or one distinct id, the last counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from cohort_store.durations import format_instant
from cohort_store.subjects import ID_BYTES_MAX
from processors.codecs.event import TEAM_MAX
from processors.offline.identities import Identities
from processors.offline.lines import Refuse, Rows
from processors.row_files import BadLine, Table


class KnownPerson(NamedTuple):
    """Present properties, as JSON values, and the last line that gives some."""

    properties: dict[str, Any]
    path: Path
    number: int


KnownPersons = Mapping[str, KnownPerson]
"""By person."""

PERSONS = Table(
    "person",
    frozenset(("person_id", "id", "distinct_ids", "created_at", "team_id")),
    (("person_id", "id"),),
    lists=frozenset(("distinct_ids",)),
)
CREATED_AT = "created_at"
_MILLISECONDS_FROM = 10**11
_MILLISECONDS_MAX = 60_000_000_000_000
"""About the years 68 and 3871: beyond them a number stays what it is, and is no date."""


class PersonRow(msgspec.Struct):
    """A line, types checked and nothing else."""

    person_id: str | None = None
    id: str | None = None
    distinct_ids: list[str] | None = None
    created_at: str | int | float | None = None
    properties: dict[str, Any] | None = None
    team_id: int | None = None


def read_persons(
    source: Iterable[tuple[Path, Rows[PersonRow]]], team: int, identities: Identities, refuse: Refuse
) -> KnownPersons:
    """The present properties of each person; who they are, and their distinct ids, to `identities`."""
    known: dict[str, KnownPerson] = {}
    for path, (numbers, rows) in source:
        for number, row in zip(numbers, rows, strict=True):
            trouble = _trouble(row)
            if trouble:
                refuse(path, BadLine(number, trouble))
            elif row.team_id in (None, team):
                person = _add(row, identities)
                before = known[person].properties if person in known else {}
                known[person] = KnownPerson(before | _properties(row), path, number)
    return known


def _add(row: PersonRow, identities: Identities) -> str:
    person = row.person_id or row.id or ""
    identities.persons.add(person)
    identities.given.update(dict.fromkeys(row.distinct_ids or (), person))
    return person


def _properties(row: PersonRow) -> dict[str, Any]:
    properties = row.properties or {}
    if row.created_at is None:
        return properties
    return {**properties, CREATED_AT: _instant(row.created_at)}


def _instant(created: str | int | float) -> str | int | float:
    """As a date operator reads it: milliseconds are written out."""
    if isinstance(created, str) or not _MILLISECONDS_FROM <= abs(created) <= _MILLISECONDS_MAX:
        return created
    return format_instant(int(created))


def _trouble(row: PersonRow) -> str | None:
    """Why a line is of no use; None where it is sound."""
    if row.person_id and row.id and row.person_id != row.id:
        return f"person_id is {row.person_id[:40]!r} and id is {row.id[:40]!r}; keep one of the two"
    if row.team_id is not None and not 1 <= row.team_id <= TEAM_MAX:
        return f"team_id is {str(row.team_id)[:40]}; it must be 1 to {TEAM_MAX}"
    for name, value in (
        ("person_id", row.person_id or row.id or ""),
        *(("a distinct id", d) for d in row.distinct_ids or ()),
    ):
        if not value:
            return f"{name} is empty; write the id as text"
        if "\0" in value or len(value.encode()) > ID_BYTES_MAX:
            return f"{name} {value[:40]!r} holds a NUL, or more than {ID_BYTES_MAX} bytes"
    return None
