"""Events of a log: the plain event of Muster's own topic, and PostHog's `clickhouse_events_json` by its look.

PostHog's row has its properties as JSON text in a text, and a `person_id` of zeros where there is no person.
"""

from __future__ import annotations

import msgspec

from cohort_store.errors import BadEvent
from cohort_store.subjects import ID_BYTES_MAX
from processors.codecs import telling
from processors.codecs.depth import has_many_brackets, is_too_deep
from processors.codecs.event import (
    BYTES_A_CHARACTER_MAX,
    NAME_CHARACTERS_MAX,
    TEAM_MAX,
    YEAR_2000_MS,
    Event,
    Fields,
    Reason,
    is_uuid,
    sound_event,
)
from processors.codecs.plain import ABSENT, TEAM_DEFAULT, with_person
from processors.codecs.posthog import NOBODY
from processors.codecs.times import parse_time
from processors.event_files import NO_ARRIVAL_MS
from processors.offline.lines import LIMITS

PLAIN_ID_CHARACTERS_MAX = ID_BYTES_MAX // BYTES_A_CHARACTER_MAX

_NOTHING = msgspec.Raw(b"{}")
_TEXT = b'"'


class EventRow(msgspec.Struct, gc=False):
    """A line, types checked and nothing else."""

    event: str
    timestamp: int | str
    distinct_id: str | None = None
    person_id: str | None = None
    uuid: str | None = None
    properties: msgspec.Raw = _NOTHING
    team_id: int | None = None
    set_: msgspec.Raw = msgspec.field(default=ABSENT, name="$set")
    set_once: msgspec.Raw = msgspec.field(default=ABSENT, name="$set_once")
    unset: msgspec.Raw = msgspec.field(default=ABSENT, name="$unset")
    person_properties: msgspec.Raw = ABSENT
    """A snapshot of the person's, as PostHog has it."""


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
    stamp = row.timestamp
    time_ms = stamp if isinstance(stamp, int) else parse_time(stamp)
    properties = _object_text("properties", row.properties)
    if not (row.set_ is row.set_once is row.unset is ABSENT):
        properties = with_person(properties, (row.set_, row.set_once, row.unset))
    person = "" if row.person_properties is ABSENT else _object_text("person_properties", row.person_properties)
    fields = Fields(row.event, team, row.distinct_id, _person_of(row), time_ms, row.uuid, properties, person)
    return sound_event(fields, NO_ARRIVAL_MS, LIMITS)


def may_tell_of_person(row: EventRow) -> bool:
    """Whether the row may say anything of its person's properties; where it does not, surely not."""
    if not (row.set_ is row.set_once is row.unset is row.person_properties is ABSENT):
        return True
    return telling.may_tell_of_person(bytes(row.properties))


def look_at(row: EventRow) -> tuple[str | None, str | None, int]:
    """Person, distinct id and time of an event that nobody asks about, at less cost. Raises BadEvent.

    What is plainly sound is passed; everything else goes the whole way, and so finds what is wrong with it. The
    properties are not looked into.
    """
    stamp, person, distinct_id, uuid = row.timestamp, row.person_id, row.distinct_id, row.uuid
    if (
        (uuid is None or is_uuid(uuid))
        and (row.event and len(row.event) <= NAME_CHARACTERS_MAX and "\0" not in row.event)
        and _is_plain_id(person if distinct_id is None else distinct_id)
        and (person is None or (_is_plain_id(person) and person not in NOBODY))
    ):
        time_ms = stamp if isinstance(stamp, int) else parse_time(stamp)
        if time_ms >= YEAR_2000_MS:
            return person, distinct_id, time_ms
    event = event_of(row, TEAM_DEFAULT)
    return event.person_id, event.distinct_id, event.time_ms


def _is_plain_id(text: str | None) -> bool:
    return text is not None and 0 < len(text) <= PLAIN_ID_CHARACTERS_MAX and "\0" not in text


def _person_of(row: EventRow) -> str | None:
    """The person that the row names; in PostHog's rows some names mean nobody."""
    person = row.person_id
    return None if person in NOBODY and bytes(row.properties).startswith(_TEXT) else person


def _object_text(name: str, value: msgspec.Raw) -> str:
    raw = bytes(value)
    if raw.startswith(_TEXT):
        raw = msgspec.json.decode(raw, type=str).encode() or b"{}"
    if has_many_brackets(raw) and is_too_deep(raw):
        raise BadEvent(Reason.TOO_DEEP, f"{name} are nested too deep; flatten them")
    if raw == b"null":
        return "{}"
    if not raw.startswith(b"{"):
        raise BadEvent(Reason.WRONG_TYPE, f"{name} are {raw[:40]!r}; write an object, or leave them out")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadEvent(Reason.NOT_JSON, f"{name} are no UTF-8: {error}") from None
