"""An event as an SDK sends it, checked, and as it goes into a source topic. Pure.

What is checked here is what a codec of the write path checks of the message's frame, so that whoever sent a bad event
is told at once; what is in its properties is judged there.

**A time is taken as it was sent.** PostHog moves times by the difference between the sender's clock and its own; each
time a batch is sent again that difference is another, and an event that comes twice with two times is two events.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from cohort_store.errors import BadEvent
from cohort_store.subjects import ID_BYTES_MAX

NAME_CHARACTERS_MAX = 200
YEAR_2000_MS = 946_684_800_000
PERSONS_OWN = ("$set", "$set_once", "$unset")
"""What an event says of its person; some SDKs put it beside the properties, and some among them."""
BESIDE = {"session_id": "$session_id", "window_id": "$window_id"}
"""Fields that newer SDKs put beside the properties, with the property that others make of them."""
_IN_PROPERTIES = ("token", "api_key", "distinct_id")
"""What browsers put among the properties, and no property is."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

is_uuid = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}").fullmatch


class Shape(StrEnum):
    """How messages of a source topic look: the codecs that read events."""

    PLAIN = "plain"
    POSTHOG = "posthog"


class EventBody(msgspec.Struct):
    """One event of a request. Fields that are not named here are ignored."""

    event: str
    distinct_id: str | int | None = None
    """A number is the text of its digits. Absent: it is among the properties."""
    uuid: str | None = None
    """Absent: another delivery of the same event counts as another event, unless it has a time."""
    timestamp: str | int | None = None
    """ISO 8601, or milliseconds since 1970. Absent: the instant of arrival."""
    properties: dict[str, Any] | None = None
    set_: dict[str, Any] | None = msgspec.field(default=None, name="$set")
    set_once: dict[str, Any] | None = msgspec.field(default=None, name="$set_once")
    unset: Any = msgspec.field(default=None, name="$unset")
    session_id: str | None = None
    window_id: str | None = None


class Captured(NamedTuple):
    """A sound event, and whose it is."""

    uuid: str
    event: str
    team: int
    distinct_id: str
    time_ms: int
    properties: Mapping[str, Any]

    def key(self) -> bytes:
        """What one person's events have in common, so that they stay in order."""
        return f"{self.team}:{self.distinct_id}".encode(errors="replace")


def captured(body: EventBody, team: int, arrival_ms: int, future_ms_max: int) -> Captured:
    """The event, or BadEvent with what is wrong, the limit and the remedy."""
    properties = dict(body.properties or {})
    distinct_id = body.distinct_id if body.distinct_id not in (None, "") else properties.get("distinct_id")
    for name in _IN_PROPERTIES:
        properties.pop(name, None)
    for name, beside in zip(PERSONS_OWN, (body.set_, body.set_once, body.unset), strict=True):
        if beside:
            among = properties.get(name)
            properties[name] = {**beside, **among} if isinstance(among, dict) and name != "$unset" else among or beside
    for field, name in BESIDE.items():
        if (value := getattr(body, field)) is not None:
            properties.setdefault(name, value)
    return Captured(
        uuid=_checked_uuid(body, team, distinct_id),
        event=_checked_name(body.event),
        team=team,
        distinct_id=_checked_id(distinct_id),
        time_ms=_checked_time(body.timestamp, arrival_ms, future_ms_max),
        properties=properties,
    )


def message_of(event: Captured, shape: Shape, bytes_max: int) -> bytes:
    """The message in the topic's shape. Raises BadEvent for one that no reader would take."""
    try:
        value = _plain(event) if shape is Shape.PLAIN else _posthog(event)
    except (msgspec.MsgspecError, OverflowError, RecursionError, UnicodeEncodeError) as error:
        raise BadEvent("bad_properties", f"the properties cannot be written as JSON: {error}") from None
    if len(value) > bytes_max:
        raise BadEvent("too_large", f"the event has {len(value)} bytes; at most {bytes_max}: send fewer properties")
    return value


def _plain(event: Captured) -> bytes:
    return _encode(
        {
            "uuid": event.uuid,
            "event": event.event,
            "team_id": event.team,
            "distinct_id": event.distinct_id,
            "timestamp": event.time_ms,
            "properties": event.properties,
        }
    )


def _posthog(event: Captured) -> bytes:
    instant = datetime.fromtimestamp(event.time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return _encode(
        {
            "uuid": event.uuid,
            "event": event.event,
            "team_id": event.team,
            "distinct_id": event.distinct_id,
            "timestamp": instant,
            "properties": _encode(event.properties).decode(),
        }
    )


_encode = msgspec.json.Encoder().encode
_sorted = msgspec.json.Encoder(order="sorted").encode


def _checked_name(name: str) -> str:
    if not 1 <= len(name) <= NAME_CHARACTERS_MAX:
        raise BadEvent(
            "bad_name", f"the event's name has {len(name)} characters; 1 to {NAME_CHARACTERS_MAX} are allowed"
        )
    if "\0" in name:
        raise BadEvent("bad_name", "the event's name holds a NUL; remove it")
    return name


def _checked_id(distinct_id: Any) -> str:
    if distinct_id is None or distinct_id == "":
        raise BadEvent("missing_field", "distinct_id is not there; say who did it")
    if isinstance(distinct_id, bool) or not isinstance(distinct_id, (str, int)):
        raise BadEvent("wrong_type", "distinct_id is neither a text nor a whole number; send a text")
    text = str(distinct_id)
    if "\0" in text:
        raise BadEvent("bad_id", "distinct_id holds a NUL; remove it")
    if len(text) > ID_BYTES_MAX or len(text.encode(errors="replace")) > ID_BYTES_MAX:
        raise BadEvent("bad_id", f"distinct_id is longer than {ID_BYTES_MAX} bytes; send a shorter id")
    return text


def _checked_time(sent: str | int | None, arrival_ms: int, future_ms_max: int) -> int:
    if sent is None or sent == "":
        return arrival_ms
    time_ms = sent if isinstance(sent, int) else _instant_ms(sent)
    if time_ms < YEAR_2000_MS:
        raise BadEvent("before_2000", f"timestamp is {str(sent)[:40]}, before the year 2000; is it in seconds?")
    if time_ms > arrival_ms + future_ms_max:
        raise BadEvent(
            "in_the_future",
            f"timestamp is {str(time_ms - arrival_ms)[:40]} ms ahead of the arrival; at most {future_ms_max}: "
            "check the clock",
        )
    return time_ms


def _instant_ms(text: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
        return ((instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):
        raise BadEvent("bad_time", f"timestamp {text[:60]!r} is not like 2026-01-12T12:00:00.000Z") from None


def _checked_uuid(body: EventBody, team: int, distinct_id: Any) -> str:
    """The event's own; of one that has a time, a uuid that the same content always gets; else a random one."""
    if body.uuid:
        if is_uuid(body.uuid) is None:
            raise BadEvent("bad_uuid", f"uuid is {body.uuid[:60]!r}; write a UUID, or leave it out")
        return body.uuid.lower()
    if body.timestamp is None or body.timestamp == "":
        return str(uuid.uuid4())
    content = _sorted((team, body.event, distinct_id, body.timestamp, body.properties))
    return str(uuid.uuid5(uuid.NAMESPACE_OID, content.decode(errors="replace")))
