"""PostHog's `clickhouse_person_distinct_id`: what its ingestion writes of a distinct id whenever its person changes.

Used are team_id, distinct_id, person_id, is_deleted and version; every other key is ignored. The version rises with
each change of that distinct id: a merge gives it another person, a deletion none.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from cohort_store.errors import BadEvent
from cohort_store.person_updates import STATE_VERSION_MAX
from processors.codecs.depth import has_many_brackets
from processors.codecs.event import Limits, Reason, check_id, check_team
from processors.codecs.messages import read_message
from processors.codecs.posthog import NOBODY


class PairState(NamedTuple):
    """Whose a distinct id is as of a version, proven sound."""

    team: int
    distinct_id: str
    person_id: str
    """Empty: nobody's."""
    version: int


class _Message(msgspec.Struct, gc=False):
    team_id: int
    distinct_id: str
    version: int
    person_id: str | None = None
    is_deleted: int | bool = 0


class PostHogDistinctIdCodec:
    """Reads one topic of distinct ids."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._decoder = msgspec.json.Decoder(_Message)

    def decode(self, raw: bytes) -> PairState:
        """The pair. Raises BadEvent for every message that is none; never anything else."""
        message = read_message(raw, self._decoder, self._limits, many_brackets=has_many_brackets(raw))
        team, distinct_id, version, person_id, is_deleted = msgspec.structs.astuple(message)
        check_team(team)
        check_id("distinct_id", distinct_id)
        if not 0 <= version <= STATE_VERSION_MAX:
            raise BadEvent(Reason.BAD_VERSION, f"version is {str(version)[:40]}; it must be 0 to {STATE_VERSION_MAX}")
        if is_deleted or person_id in NOBODY:
            return PairState(team, distinct_id, "", version)
        if person_id is None:
            raise BadEvent(Reason.MISSING_FIELD, "person_id is not there, and is_deleted is 0; name the person")
        check_id("person_id", person_id)
        return PairState(team, distinct_id, person_id, version)
