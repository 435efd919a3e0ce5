"""JSON values as instants, and the dates that a definition compares them with.

A date is a text in ISO 8601's extended form (`2026-01-12`, `2026-01-12T10:30`, `2026-01-12 10:30:00.123456+01:00`;
a blank may stand for the T) or a number of seconds since 1970, as a number or as a text that is one. A time without a
zone is UTC, and a date alone is its midnight, as PostHog's flag service and its cohorts both have it: so a bare
date compares as one instant, not as a day. Years 1 to 9999; anything else is no date.

SQL reads the same: it takes the parts that ISO_PATTERN finds, and refuses a 30th of February as this module does.
Seconds s are `round(s * 1e6)` microseconds (halves to even, in both), and of those the whole milliseconds at or below.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cohort_store.durations import UNITS_MS, parse_duration_ms
from cohort_store.property_values import number_of

ISO_PATTERN = (
    r"([0-9]{4})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"(?:[T ]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,9}))?)?"
    r"(?:Z|([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?)?)?"
)
"""A whole text must match it. RE2 reads it the same."""

SECONDS_MIN = -62_135_596_800
"""0001-01-01T00:00:00Z."""
SECONDS_MAX = 253_402_300_799
"""9999-12-31T23:59:59Z."""
BACK_MS_MAX = 200 * UNITS_MS["y"]

_ISO = re.compile(ISO_PATTERN)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant_of(value: Any) -> int | None:
    """Milliseconds since 1970 of a JSON value that is a date, floored; None for every other value.

    A number of seconds is read to the microsecond first: 1736683200.123 as a float lies a little below it.
    """
    if isinstance(value, str) and (match := _ISO.fullmatch(value)):
        return _iso_ms(match)
    seconds = number_of(value)
    if seconds is None or not SECONDS_MIN <= seconds <= SECONDS_MAX:
        return None
    return round(seconds * 1e6) // 1_000


def _iso_ms(match: re.Match[str]) -> int | None:
    year, month, day, hour, minute, second, fraction, sign, ahead_h, ahead_m = match.groups()
    try:
        when = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC)
    except ValueError:
        return None
    instant_ms = (when - _EPOCH) // timedelta(milliseconds=1) + int(f"{fraction or ''}000"[:3])
    if sign is None:
        return instant_ms
    ahead_ms = int(ahead_h) * UNITS_MS["h"] + int(ahead_m or 0) * UNITS_MS["m"]
    return instant_ms - ahead_ms if sign == "+" else instant_ms + ahead_ms


@dataclass(frozen=True, slots=True)
class DateLimit:
    """What a date is compared with: an instant, or one that lies `back_ms` before that of the question."""

    fixed_ms: int | None
    back_ms: int = 0

    def at(self, now: int) -> int:
        """The limit when the question is asked at `now`."""
        return now - self.back_ms if self.fixed_ms is None else self.fixed_ms


def parse_limit(value: Any) -> DateLimit:
    """A date of a definition: as `instant_of` has it, or `-7d`; ValueError, with the remedy, for anything else."""
    if isinstance(value, str) and value.startswith("-") and number_of(value) is None:
        back_ms = parse_duration_ms(value[1:])
        if back_ms > BACK_MS_MAX:
            raise ValueError(f"{value[:40]!r} goes back more than 200 years; write a fixed date")
        return DateLimit(None, back_ms)
    instant_ms = instant_of(value)
    if instant_ms is None:
        raise ValueError(
            f"{str(value)[:40]!r} is no date; write ISO 8601 (2026-01-12, 2026-01-12T10:30:00Z), "
            "seconds since 1970, or a time before the question (-7d)"
        )
    return DateLimit(instant_ms)
