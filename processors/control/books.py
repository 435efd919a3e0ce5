"""Putting changes, and what evaluators counted, into ClickHouse, however long it is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import msgspec

from cohort_store.changes import Change, decode_change
from cohort_store.errors import Retry
from cohort_store.flag_evaluations import FlagEvaluations, decode_evaluations

BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 15.0

_LIMITS = (1 << 32, 1 << 64, 1 << 8, 1 << 32, 1 << 16, 1 << 64)
"""Of team, cohort, kind, version, shard and sequence in ClickHouse."""

_EVALUATION_LIMITS = (1 << 32, 1 << 64, 1 << 64)
"""Of team, count and sequence in ClickHouse."""
_INSTANTS_MS = range(10_413_792_000_000)
"""What a DateTime64 holds of 1970 and later: up to the year 2300."""

_log = logging.getLogger(__name__)

Row_contra = TypeVar("Row_contra", contravariant=True)


class Sink(Protocol[Row_contra]):
    """Where rows are kept. Writing one twice is as good as once."""

    async def insert(self, rows: Sequence[Row_contra], /) -> None:
        """Raises Retry where it is not known that all are written."""
        ...


def read_change(raw: bytes) -> Change:
    """The change, fit to be written down. ValueError, with what is wrong, for anything else."""
    try:
        change = decode_change(raw)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    change_time(change)
    numbers = (change.team_id, change.cohort_id, change.kind, change.version, change.shard, change.sequence)
    if any(number < 0 or number >= limit for number, limit in zip(numbers, _LIMITS, strict=True)):
        raise ValueError(f"a number beyond its column's limits in {change}")
    return change


def change_time(change: Change) -> datetime:
    """The instant of the change; ValueError where it is written in another form."""
    return datetime.strptime(change.last_updated, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)


def read_evaluations(raw: bytes) -> FlagEvaluations:
    """What an evaluator counted, fit to be written down. ValueError, with what is wrong, for anything else."""
    try:
        found = decode_evaluations(raw)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    numbers = (found.team_id, found.count, found.sequence)
    if any(number < 0 or number >= limit for number, limit in zip(numbers, _EVALUATION_LIMITS, strict=True)):
        raise ValueError(f"a number beyond its column's limits in {found}")
    if found.from_ms not in _INSTANTS_MS or found.last_called_ms not in _INSTANTS_MS:
        raise ValueError(f"an instant before 1970 or after 2299 in {found}")
    return found


Kept = TypeVar("Kept")


async def write_down(sink: Sink[Kept], rows: Sequence[Kept], pause_s: float = BACKOFF_FIRST_S) -> int:
    """Return once the rows are written; how many attempts that took. The pause between two doubles.

    What waits meanwhile is one batch and a reader's bounded buffer: the rest stays in the topic.
    """
    attempts = 1
    while True:
        try:
            await sink.insert(rows)
        except Retry as error:
            if attempts & (attempts - 1) == 0:
                _log.warning("control: %d rows wait for ClickHouse, attempt %d: %s", len(rows), attempts, error)
            await asyncio.sleep(pause_s)
            attempts, pause_s = attempts + 1, min(2 * pause_s, BACKOFF_MAX_S)
        else:
            if attempts > 1:
                _log.warning("control: %d rows are in ClickHouse after %d attempts", len(rows), attempts)
            return attempts
