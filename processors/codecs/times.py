"""Timestamps as text: ISO 8601, or ClickHouse's form of it with a blank; without a zone they are UTC."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache

from cohort_store.errors import BadEvent
from processors.codecs.event import Reason

_MINUTE = re.compile(r"(\d{4}-\d\d-\d\d)[T ]((?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII)
_REST = re.compile(r":([0-5]\d)(?:\.(\d{1,9}))?(?:Z|([+-])([01]\d|2[0-3]):?([0-5]\d))?", re.ASCII)
_MINUTE_CHARACTERS = 16
_CLICKHOUSE_CHARACTERS = 26
_CLICKHOUSE_MARKS = "-- ::."
"""Every third of its characters from the fifth to the twentieth."""
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - what it is taken from names no zone either
_MINUTE_MS = 60_000
_MINUTES_CACHED = 32_768
"""Three weeks of them."""


def parse_time(text: str) -> int:
    """Milliseconds since 1970, floored. Raises BadEvent for anything but a whole date and time of day."""
    # ClickHouse's own form, 2026-01-12 12:00:00.000000, is what nearly every event has.
    if len(text) == _CLICKHOUSE_CHARACTERS and text[4:20:3] == _CLICKHOUSE_MARKS:
        try:
            since = datetime.fromisoformat(text) - _EPOCH
        except (ValueError, TypeError):
            pass  # no such day, or a zone in place of the last digits: judged below
        else:
            return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000
    match = _REST.fullmatch(text, _MINUTE_CHARACTERS)
    if match is None:
        raise _bad_time(text)
    second, fraction, sign, zone_hours, zone_minutes = match.groups()
    time_ms = _minute_ms(text[:_MINUTE_CHARACTERS]) + int(second) * 1_000
    if fraction is not None:
        time_ms += int(f"{fraction}00"[:3])
    if sign is not None:
        ahead_ms = (int(zone_hours) * 60 + int(zone_minutes)) * _MINUTE_MS
        time_ms += -ahead_ms if sign == "+" else ahead_ms
    return time_ms


@lru_cache(maxsize=_MINUTES_CACHED)
def _minute_ms(text: str) -> int:
    """A whole minute in UTC."""
    match = _MINUTE.fullmatch(text)
    if match is None:
        raise _bad_time(text)
    try:
        minute = datetime.fromisoformat(f"{match[1]}T{match[2]}:00+00:00")
    except ValueError:
        raise _bad_time(text) from None
    return int(minute.timestamp()) * 1_000


def _bad_time(text: str) -> BadEvent:
    return BadEvent(Reason.BAD_TIME, f"timestamp {text[:60]!r} is not like 2026-01-12T12:00:00.000Z")
