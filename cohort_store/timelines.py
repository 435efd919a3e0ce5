"""Timelines: the kept entries of one subject and one selector.

An entry is ``(time_ms, tag)``, or ``(time_ms, tag, value)`` where the selector names a value
property; a timeline is a sorted tuple of distinct entries. Equal entries are the same event, so a
union is idempotent, commutative and associative: order of arrival, redelivery and merging do not matter.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from zlib import crc32

Entry = tuple[int, ...]
"""(time_ms, tag) or (time_ms, tag, value)."""

Timeline = tuple[Entry, ...]
"""Sorted, distinct entries."""

Timelines = tuple[Timeline, ...]
"""One timeline for each selector that a condition reads, in the condition's own order."""

LAST_TAG = 1 << 32
"""Above every tag: (t, LAST_TAG) sorts behind each entry at t."""


def tag_of(uuid: str) -> int:
    """An event's tag: the crc32 of its uuid as lower-case text, 0 to 2**32 - 1."""
    return crc32(uuid.lower().encode())


def union(left: Timeline, right: Iterable[Entry]) -> Timeline:
    """Both, sorted, each entry once. Returns `left` itself when it adds nothing."""
    fresh = [entry for entry in right if not left or left[-1] < entry or left[bisect_left(left, entry)] != entry]
    if not fresh:
        return left
    if len(fresh) == 1:
        (entry,) = fresh
        if not left or left[-1] < entry:
            return (*left, entry)
        index = bisect_left(left, entry)
        return (*left[:index], entry, *left[index:])
    return tuple(sorted({*left, *fresh}))


def at_or_before(timeline: Timeline, instant_ms: int) -> int:
    """How many entries are at or before the instant: the index of the first later one."""
    if not timeline or timeline[-1][0] <= instant_ms:
        return len(timeline)
    return bisect_right(timeline, (instant_ms, LAST_TAG))


def first_after(timeline: Timeline, instant_ms: int) -> int | None:
    """The time of the first entry later than the instant, if there is one."""
    index = at_or_before(timeline, instant_ms)
    return timeline[index][0] if index < len(timeline) else None


def entries_at(timeline: Timeline, instant_ms: int) -> Timeline:
    """The entries of that very millisecond."""
    return timeline[at_or_before(timeline, instant_ms - 1) : at_or_before(timeline, instant_ms)]
