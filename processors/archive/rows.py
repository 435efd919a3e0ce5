"""From a message to a row of the table `events`, as one line of JSON."""

from __future__ import annotations

import msgspec

from processors.codecs.event import Event
from processors.router.ports import Message
from processors.router.progress import Source


class Row(msgspec.Struct, frozen=True, gc=False):
    """The columns by name. Instants are seconds with three decimals, as text, which loses nothing on the way."""

    team_id: int
    event: str
    uuid: str
    distinct_id: str
    person_id: str
    timestamp: str
    properties: str
    _topic: str
    _partition: int
    _offset: int
    _timestamp: str


_encode = msgspec.json.Encoder().encode


def row_of(event: Event, source: Source, message: Message, arrival_ms: int) -> bytes:
    """The row of an event that was read from that message."""
    row = Row(
        event.team,
        event.event,
        event.uuid,
        event.distinct_id or "",
        event.person_id or "",
        _seconds(event.time_ms),
        event.properties_json,
        source.topic,
        source.partition,
        message.offset,
        _seconds(arrival_ms),
    )
    return _encode(row)


def _seconds(time_ms: int) -> str:
    whole, part = divmod(time_ms, 1_000)
    return f"{whole}.{part:03}"
