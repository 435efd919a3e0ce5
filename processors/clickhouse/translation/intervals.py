"""Intervals as SQL: over an entry `e`, a tuple that begins with its time, and over the alias `now`."""

from __future__ import annotations

from cohort_store.interval import Interval
from processors.clickhouse.translation import literals


def floor(interval: Interval) -> str:
    """The last instant before the interval."""
    if interval.window_ms is None:
        return literals.integer(interval.since_ms - 1)
    return f"now - {interval.window_ms}"


def ceiling(interval: Interval) -> str:
    """The last instant in the interval."""
    return "now" if interval.until_ms is None else f"least(now, {literals.integer(interval.until_ms)})"


def inside(interval: Interval, timeline: str) -> str:
    """The entries in the interval, as an array."""
    return f"arrayFilter(e -> e.1 > {floor(interval)} AND e.1 <= {ceiling(interval)}, {timeline})"


def coming(interval: Interval, timeline: str) -> str:
    """The entries that have yet to come into the interval, as an array."""
    start = "now" if interval.window_ms is not None else f"greatest(now, {floor(interval)})"
    end = "" if interval.until_ms is None else f" AND e.1 <= {literals.integer(interval.until_ms)}"
    return f"arrayFilter(e -> e.1 > {start}{end}, {timeline})"


def latest(interval: Interval, timeline: str, count: int) -> str:
    """The latest `count` entries in the interval, with those that have yet to come into it."""
    if not count:
        return coming(interval, timeline)
    return f"arrayConcat(arraySlice({inside(interval, timeline)}, -{count}), {coming(interval, timeline)})"
