"""PostHog's `clickhouse_person`: what its ingestion writes of a person whenever she changes.

Used are id, team_id, properties (an object, as JSON text: all that she has), created_at (ClickHouse's text, UTC, or
ISO 8601), is_deleted and version; every other key is ignored. A message is a whole state, so a property that is not
in it is not set.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from cohort_store.durations import format_instant
from cohort_store.errors import BadEvent
from cohort_store.person_updates import STATE_VERSION_MAX
from cohort_store.properties import Properties
from processors.codecs.depth import has_many_brackets, is_too_deep
from processors.codecs.event import Limits, Reason, check_id, check_team, read_properties
from processors.codecs.messages import read_message
from processors.codecs.times import parse_time

CREATED_AT = "created_at"


class PersonState(NamedTuple):
    """One person as of a version, proven sound. Deleted means: without any property."""

    team: int
    person_id: str
    version: int
    properties: Properties


class _Message(msgspec.Struct, gc=False):
    id: str
    team_id: int
    version: int
    properties: str | None = None
    created_at: str | None = None
    is_deleted: int | bool = 0


class PostHogPersonCodec:
    """Reads one topic of persons."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._decoder = msgspec.json.Decoder(_Message)

    def decode(self, raw: bytes) -> PersonState:
        """The person's state. Raises BadEvent for every message that is none; never anything else."""
        many_brackets = has_many_brackets(raw)
        message = read_message(raw, self._decoder, self._limits, many_brackets=many_brackets)
        check_team(message.team_id)
        check_id("id", message.id)
        if not 0 <= message.version <= STATE_VERSION_MAX:
            raise BadEvent(
                Reason.BAD_VERSION, f"version is {str(message.version)[:40]}; it must be 0 to {STATE_VERSION_MAX}"
            )
        if message.is_deleted:
            return PersonState(message.team_id, message.id, message.version, {})
        text = message.properties or "{}"
        if many_brackets and is_too_deep(text.encode()):
            raise BadEvent(Reason.TOO_DEEP, "properties are nested too deep; flatten them")
        properties = read_properties(text)
        if message.created_at:
            properties[CREATED_AT] = format_instant(parse_time(message.created_at))
        return PersonState(message.team_id, message.id, message.version, properties)
