"""Changes: a subject entered or left a cohort. What consumers of `muster.membership-changes` parse.

The first five fields are PostHog's wire format; the others are Muster's. A consumer keeps, for each
(cohort, subject), the change with the highest sequence, whatever order they come in; after a `reset` of a
shard it drops what it holds of that shard with a lower sequence.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from cohort_store.subjects import Subject


class Cause(StrEnum):
    """Why a change came about."""

    EVENT = "event"
    TIMER = "timer"
    BACKFILL = "backfill"
    MERGE = "merge"
    EDIT = "edit"
    RECONCILE = "reconcile"
    ERASE = "erase"
    """She was forgotten: let go of whatever is held of her. The change says what holds for somebody never seen."""


class Change(msgspec.Struct, frozen=True):
    """One change. `status` is entered, left, or reset (then person_id is empty and cohort_id 0)."""

    person_id: str
    team_id: int
    cohort_id: int
    status: str
    last_updated: str
    """The instant of the change, UTC, as `2026-01-12 12:00:00.000000`."""
    cohort: str
    """The cohort's key."""
    version: int
    cause: str
    shard: int
    sequence: int
    kind: int = 0


ENTERED, LEFT, RESET = "entered", "left", "reset"


def subject_of(change: Change) -> Subject:
    """Whom the change is about."""
    return Subject(change.team_id, change.kind, change.person_id)


def encode_change(change: Change) -> bytes:
    """The change as JSON."""
    return msgspec.json.encode(change)


def decode_change(raw: bytes) -> Change:
    """The inverse of `encode_change`; msgspec.ValidationError for anything else."""
    return msgspec.json.decode(raw, type=Change)
