"""Durations and instants as people write them in definitions: `90d`, `2h30m`, `2026-01-12T12:00:00Z`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

UNITS_MS = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "mo": 2_592_000_000,
    "y": 31_536_000_000,
}
"""Milliseconds a unit: a month is 30 days, a year 365."""

WINDOW_MS_MAX = 730 * UNITS_MS["d"]

_PART = re.compile(r"([0-9]+)(mo|ms|[smhdwy])")
_WHOLE = re.compile(r"(?:[0-9]+(?:mo|ms|[smhdwy]))+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_duration_ms(text: str) -> int:
    """Milliseconds of `90d`, `24h`, `1w2d`, …; ValueError, with the remedy, for anything else."""
    if not _WHOLE.fullmatch(text) or len(text) > 40:
        units = ", ".join(UNITS_MS)
        raise ValueError(f"{text[:40]!r} is not a duration; write a number and a unit ({units}), like 7d or 36h")
    return sum(int(number) * UNITS_MS[unit] for number, unit in _PART.findall(text))


def format_duration(duration_ms: int) -> str:
    """The shortest text that `parse_duration_ms` reads back, in units from weeks down."""
    parts = []
    rest = duration_ms
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, UNITS_MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0ms"


def parse_instant_ms(text: str, zone: tzinfo = UTC) -> int:
    """Milliseconds since 1970 of an ISO 8601 instant, floored; one without a zone is in `zone`.

    Raises ValueError, with the remedy, for anything else.
    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not an instant; write ISO 8601, like 2026-01-12T12:00:00Z") from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=zone)
    return (when - _EPOCH) // timedelta(milliseconds=1)


def format_instant(instant_ms: int) -> str:
    """ISO 8601 with milliseconds and Z."""
    when = _EPOCH + timedelta(milliseconds=instant_ms)
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
