"""Events of a log: the plain event of Muster's own topic, and PostHog's `clickhouse_events_json` by its look.

PostHog's row has its properties as JSON text in a text, and a `person_id` of zeros where there is no person.
"""

from __future__ import annotations

import msgspec

from cohort_store.errors import BadEvent
from processors.codecs.depth import has_many_brackets, is_too_deep
from processors.codecs.event import TEAM_MAX, Event, Fields, Reason, sound_event
from processors.codecs.times import parse_time
from processors.offline.lines import LIMITS

NO_ARRIVAL_MS = 2**60
"""A file does not say when its events arrived, so none is too far ahead of its arrival."""

_NOTHING = msgspec.Raw(b"{}")
_NOBODY = frozenset(("", "00000000-0000-0000-0000-000000000000"))
_TEXT = b'"'
_UNUSED_UUID = "00000000-0000-0000-0000-000000000000"


class EventRow(msgspec.Struct, gc=False):
    """A line, types checked and nothing else."""

    event: str
    timestamp: int | str
    distinct_id: str | None = None
    person_id: str | None = None
    uuid: str | None = None
    properties: msgspec.Raw = _NOTHING
    team_id: int | None = None


def is_of(row: EventRow, team: int) -> bool:
    """Whether the row is about that team; one that names none is. Raises BadEvent for what can be no team."""
    named = row.team_id
    if named is None or named == team:
        return True
    if not 1 <= named <= TEAM_MAX:
        raise BadEvent(Reason.BAD_TEAM, f"team_id is {str(named)[:40]}; it must be 1 to {TEAM_MAX}")
    return False


def event_of(row: EventRow, team: int) -> Event:
    """The sound event. Raises BadEvent, as a codec does."""
    return _sound(row, team, row.uuid, _properties_text(row.properties))


def checked(row: EventRow, team: int) -> Event:
    """The event without its properties, at less cost: for one that nobody asks about.

    Where it has no uuid it is given one that says nothing, since deriving one reads the properties.
    """
    return _sound(row, team, row.uuid or _UNUSED_UUID, "{}")


def _sound(row: EventRow, team: int, uuid: str | None, properties: str) -> Event:
    stamp, person_id, distinct_id = row.timestamp, row.person_id, row.distinct_id
    if person_id in _NOBODY and bytes(row.properties).startswith(_TEXT):
        person_id = None
    time_ms = stamp if isinstance(stamp, int) else parse_time(stamp)
    fields = Fields(row.event, team, distinct_id, person_id, time_ms, uuid, properties)
    return sound_event(fields, NO_ARRIVAL_MS, LIMITS)


def _properties_text(properties: msgspec.Raw) -> str:
    raw = bytes(properties)
    if raw.startswith(_TEXT):
        raw = msgspec.json.decode(raw, type=str).encode() or b"{}"
    if has_many_brackets(raw) and is_too_deep(raw):
        raise BadEvent(Reason.TOO_DEEP, "properties are nested too deep; flatten them")
    if raw == b"null":
        return "{}"
    if not raw.startswith(b"{"):
        raise BadEvent(Reason.WRONG_TYPE, f"properties are {raw[:40]!r}; write an object, or leave them out")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadEvent(Reason.NOT_JSON, f"properties are no UTF-8: {error}") from None
