"""Events as everything behind a codec sees them, and what is refused.

What an `Event` has been proven to be: its time is whole milliseconds, not before 2000 and not more than a bound
ahead of its arrival; its team is 1 to 2**31 - 1; its name has 1 to NAME_CHARACTERS_MAX characters, its
ids 1 to ID_BYTES_MAX bytes, none with a NUL; its uuid is a UUID. Its properties are only known to be
text that claims to be a JSON object: they are read when somebody needs them.
"""

from __future__ import annotations

import re
import uuid
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from cohort_store.errors import BadEvent
from cohort_store.properties import Properties
from cohort_store.subjects import ID_BYTES_MAX
from cohort_store.timelines import tag_of

NAME_CHARACTERS_MAX = 200
TEAM_MAX = 2**31 - 1
YEAR_2000_MS = 946_684_800_000
BYTES_A_CHARACTER_MAX = 4

UUID_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_OID, "muster.event")
"""Of the uuids that are given to events which came without one."""

is_uuid = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}").fullmatch
_sorted_encoder = msgspec.json.Encoder(order="sorted")


class Reason(StrEnum):
    """Why an event was refused: the words in dead letters and in metrics."""

    EMPTY = "empty"
    NOT_JSON = "not_json"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    BAD_TEAM = "bad_team"
    BAD_NAME = "bad_name"
    BAD_ID = "bad_id"
    BAD_UUID = "bad_uuid"
    BAD_TIME = "bad_time"
    BEFORE_2000 = "before_2000"
    IN_THE_FUTURE = "in_the_future"
    BAD_PROPERTIES = "bad_properties"
    BAD_PERSON_PROPERTIES = "bad_person_properties"
    NEGATIVE_VALUE = "negative_value"
    BAD_VERSION = "bad_version"
    UNREADABLE = "unreadable"


class Limits(NamedTuple):
    """What an operator can choose about refusing."""

    future_ms_max: int = 86_400_000
    event_bytes_max: int = 1_048_576


class Event(msgspec.Struct, frozen=True, gc=False):
    """One sound event. Made by a codec only. Why a Struct: it costs a fifth of a frozen dataclass to make."""

    uuid: str
    """Lower-case, as text."""
    event: str
    team: int
    distinct_id: str | None
    """None only where there is a person_id."""
    person_id: str | None
    time_ms: int
    """Floored to the millisecond."""
    tag: int
    """timelines.tag_of(uuid)."""
    properties_json: str
    """As it came: claims to be a JSON object, and is not nested too deep."""
    person_json: str = ""
    """A snapshot of the person's properties, as properties_json; empty where none came."""

    def person_properties(self) -> Properties:
        """The snapshot, read anew at each call. Raises BadEvent where it is no JSON object."""
        return read_properties(self.person_json) if self.person_json else {}

    def properties(self) -> Properties:
        """The properties, read anew at each call. Raises BadEvent where they are no JSON object."""
        return read_properties(self.properties_json)


class Fields(NamedTuple):
    """What a codec found in a message, types checked and nothing else."""

    event: str
    team: int
    distinct_id: str | None
    person_id: str | None
    time_ms: int
    uuid: str | None
    properties_json: str
    person_json: str = ""


def sound_event(fields: Fields, arrival_ms: int, limits: Limits) -> Event:
    """The event, if everything about it is as the module says. Raises BadEvent."""
    name, team, distinct_id, person_id, time_ms, event_uuid, properties_json, person_json = fields
    if not 1 <= len(name) <= NAME_CHARACTERS_MAX or "\0" in name:
        raise _bad_name(name)
    check_team(team)
    if distinct_id is not None:
        check_id("distinct_id", distinct_id)
    elif person_id is None:
        raise BadEvent(Reason.MISSING_FIELD, "neither distinct_id nor person_id is there; an event needs one of them")
    if person_id is not None:
        check_id("person_id", person_id)
    if not YEAR_2000_MS <= time_ms <= arrival_ms + limits.future_ms_max:
        raise _bad_time(time_ms, arrival_ms, limits)
    if event_uuid is None:
        event_uuid = derived_uuid(fields)
    elif is_uuid(event_uuid) is None:
        raise BadEvent(Reason.BAD_UUID, f"uuid is {event_uuid[:60]!r}; write a UUID, or leave it out")
    else:
        event_uuid = event_uuid.lower()
    tag = tag_of(event_uuid)
    return Event(event_uuid, name, team, distinct_id, person_id, time_ms, tag, properties_json, person_json)


def derived_uuid(fields: Fields) -> str:
    """The uuid of an event that came without one: the same for the same content, in router and archive alike.

    It is the uuid5, in UUID_NAMESPACE, of the compact JSON array ``[team, event, distinct_id, person_id, time_ms,
    properties]`` with sorted keys. Raises BadEvent where the properties cannot be read.
    """
    content = (
        fields.team,
        fields.event,
        fields.distinct_id,
        fields.person_id,
        fields.time_ms,
        read_properties(fields.properties_json),
    )
    return str(uuid.uuid5(UUID_NAMESPACE, _sorted_encoder.encode(content).decode()))


def read_properties(text: str) -> dict[str, Any]:
    """Properties from their JSON text. Raises BadEvent where that is no JSON object."""
    try:
        return _properties_decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise BadEvent(Reason.BAD_PROPERTIES, f"properties are no JSON object: {error}") from None


_properties_decoder = msgspec.json.Decoder(dict[str, Any])


def check_team(team: int) -> None:
    """Raise BadEvent for what can be no team."""
    if not 1 <= team <= TEAM_MAX:
        raise BadEvent(Reason.BAD_TEAM, f"team_id is {str(team)[:40]}; it must be 1 to {TEAM_MAX}")


def check_id(field: str, value: str) -> None:
    """Raise BadEvent for a text that nobody can be known by."""
    if not value:
        raise BadEvent(Reason.BAD_ID, f"{field} is empty; leave it out or fill it")
    if "\0" in value:
        raise BadEvent(Reason.BAD_ID, f"{field} holds a NUL; remove it")
    if len(value) * BYTES_A_CHARACTER_MAX > ID_BYTES_MAX and len(value.encode()) > ID_BYTES_MAX:
        raise BadEvent(Reason.BAD_ID, f"{field} has {len(value.encode())} bytes; at most {ID_BYTES_MAX}")


def _bad_name(name: str) -> BadEvent:
    if "\0" in name:
        return BadEvent(Reason.BAD_NAME, "the event's name holds a NUL; remove it")
    return BadEvent(
        Reason.BAD_NAME, f"the event's name has {len(name)} characters; 1 to {NAME_CHARACTERS_MAX} are allowed"
    )


def _bad_time(time_ms: int, arrival_ms: int, limits: Limits) -> BadEvent:
    if time_ms < YEAR_2000_MS:
        return BadEvent(
            Reason.BEFORE_2000, f"timestamp is {str(time_ms)[:40]} ms, before the year 2000; is it in seconds?"
        )
    ahead = str(time_ms - arrival_ms)[:40]
    return BadEvent(
        Reason.IN_THE_FUTURE,
        f"timestamp is {ahead} ms ahead of the arrival; at most {limits.future_ms_max}: check the clock",
    )
