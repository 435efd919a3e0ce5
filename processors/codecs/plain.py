"""The plain JSON event of Muster's own topic.

``{"event": name, "timestamp": ISO 8601 text or epoch milliseconds, "distinct_id" and/or "person_id", "uuid"?,
"properties"?: object, "team_id"?: int}``; the team is 1 unless it is given. What the event says of its person,
``$set``, ``$set_once`` and ``$unset``, may stand beside the properties or among them: it comes to the same. Unknown
keys are ignored.
"""

from __future__ import annotations

import msgspec

from cohort_store.errors import BadEvent
from processors.codecs.depth import has_many_brackets
from processors.codecs.event import Event, Fields, Limits, Reason, read_properties, sound_event
from processors.codecs.messages import read_message
from processors.codecs.peeking import peek_name
from processors.codecs.times import parse_time

TEAM_DEFAULT = 1
_NOTHING = msgspec.Raw(b"{}")
ABSENT = msgspec.Raw(b"null")


class _Message(msgspec.Struct, gc=False):
    event: str
    timestamp: int | str
    distinct_id: str | None = None
    person_id: str | None = None
    uuid: str | None = None
    properties: msgspec.Raw = _NOTHING
    team_id: int = TEAM_DEFAULT
    set_: msgspec.Raw = msgspec.field(default=ABSENT, name="$set")
    set_once: msgspec.Raw = msgspec.field(default=ABSENT, name="$set_once")
    unset: msgspec.Raw = msgspec.field(default=ABSENT, name="$unset")


class PlainCodec:
    """An EventCodec."""

    peek = staticmethod(peek_name)

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._decoder = msgspec.json.Decoder(_Message)

    def decode(self, raw: bytes, arrival_ms: int) -> Event:
        """The whole event. Raises BadEvent for every message that is not one."""
        message = read_message(raw, self._decoder, self._limits, many_brackets=has_many_brackets(raw))
        stamp = message.timestamp
        properties = _object_text(message.properties)
        if not (message.set_ is message.set_once is message.unset is ABSENT):
            properties = with_person(properties, (message.set_, message.set_once, message.unset))
        fields = Fields(
            message.event,
            message.team_id,
            message.distinct_id,
            message.person_id,
            stamp if isinstance(stamp, int) else parse_time(stamp),
            message.uuid,
            properties,
        )
        return sound_event(fields, arrival_ms, self._limits)


def with_person(properties: str, beside: tuple[msgspec.Raw, msgspec.Raw, msgspec.Raw]) -> str:
    """The properties with what stands beside them put among them, so that archive and router read the same.

    `beside` are `$set`, `$set_once` and `$unset`. Raises BadEvent where one of them stands among them too.
    """
    words = zip(("$set", "$set_once", "$unset"), beside, strict=True)
    told = {word: bytes(raw).decode() for word, raw in words if bytes(raw) != b"null"}
    twice = told.keys() & read_properties(properties).keys()
    if twice:
        raise BadEvent(
            Reason.WRONG_TYPE, f"{min(twice)} stands beside the properties and among them; keep one of the two"
        )
    rest = properties[1:].lstrip()
    parts = [f'"{word}":{text}' for word, text in told.items()] + ([] if rest == "}" else [rest[:-1]])
    return f"{{{','.join(parts)}}}"


def _object_text(properties: msgspec.Raw) -> str:
    text = bytes(properties)
    if text[:1] != b"{":
        raise BadEvent(Reason.WRONG_TYPE, f"properties are {text[:40]!r}; write an object, or leave them out")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise BadEvent(Reason.NOT_JSON, f"properties are no UTF-8: {error}") from None
