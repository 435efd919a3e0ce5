"""PostHog's `clickhouse_events_json`: what its ingestion writes for ClickHouse.

Used are uuid, event, team_id, distinct_id, person_id, timestamp (ClickHouse's text, UTC, or ISO 8601), properties
and person_properties (objects, as JSON text); every other key is ignored. ClickHouse has no null in these columns:
a person_id that is empty or all zeros means that there is none.
"""

from __future__ import annotations

import msgspec

from cohort_store.errors import BadEvent
from processors.codecs.depth import has_many_brackets, is_too_deep
from processors.codecs.event import Event, Fields, Limits, Reason, sound_event
from processors.codecs.messages import read_message
from processors.codecs.peeking import peek_name
from processors.codecs.times import parse_time

NOBODY = frozenset(("", "00000000-0000-0000-0000-000000000000"))
"""Persons who are none."""


class _Message(msgspec.Struct, gc=False):
    event: str
    timestamp: str
    team_id: int
    distinct_id: str
    uuid: str
    person_id: str | None = None
    properties: str | None = None
    person_properties: str | None = None


class PostHogCodec:
    """An EventCodec."""

    peek = staticmethod(peek_name)

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._decoder = msgspec.json.Decoder(_Message)

    def decode(self, raw: bytes, arrival_ms: int) -> Event:
        """The whole event. Raises BadEvent for every message that is not one."""
        many_brackets = has_many_brackets(raw)
        message = read_message(raw, self._decoder, self._limits, many_brackets=many_brackets)
        properties, of_person = message.properties or "{}", message.person_properties or ""
        if many_brackets and (is_too_deep(properties.encode()) or is_too_deep(of_person.encode())):
            raise BadEvent(Reason.TOO_DEEP, "properties are nested too deep; flatten them")
        person_id = message.person_id
        fields = Fields(
            message.event,
            message.team_id,
            message.distinct_id,
            None if person_id in NOBODY else person_id,
            parse_time(message.timestamp),
            message.uuid,
            properties,
            of_person,
        )
        return sound_event(fields, arrival_ms, self._limits)
