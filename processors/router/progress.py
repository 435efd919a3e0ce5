"""Progress: through which instant each owned source partition has been read, as far as is proven.

Two things prove it. A record whose deltas are acknowledged: its partition is read through the record's
timestamp, or through the clock where that is less. And a fetch that came back empty at the end: its partition is
read through the instant at which that fetch was sent. Nothing else does: not the clock, and not a high-water
mark that was told before the fetch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cohort_store.deltas import Mark


class Source(NamedTuple):
    """A partition of a topic of raw events."""

    topic: str
    partition: int


class Progress:
    """The partitions that one router owns."""

    def __init__(self) -> None:
        self._next: dict[Source, int] = {}
        self._through_ms: dict[Source, int] = {}

    def assign(self, sources: Iterable[Source]) -> None:
        """Own exactly these from here on, with nothing proven of any: another router may have been on them since."""
        self._next = dict.fromkeys(sources, 0)
        self._through_ms = {}

    def acknowledged(self, source: Source, next_offset: int, latest_ms: int, now: int) -> None:
        """All before `next_offset` is delivered; the latest timestamp among it is `latest_ms`."""
        if source in self._next:
            self._next[source] = max(next_offset, self._next[source])
            self._advance(source, min(latest_ms, now))

    def read_out(self, source: Source, next_offset: int, sent_ms: int) -> None:
        """A fetch sent at `sent_ms` found nothing at or behind `next_offset`, and all before it is delivered."""
        if source in self._next:
            self._next[source] = max(next_offset, self._next[source])
            self._advance(source, sent_ms)

    def marks(self) -> list[Mark]:
        """What is proven, of each partition of which anything is."""
        return [
            Mark(source.topic, source.partition, through_ms, self._next[source])
            for source, through_ms in sorted(self._through_ms.items())
        ]

    def _advance(self, source: Source, through_ms: int) -> None:
        before = self._through_ms.get(source)
        if before is None or through_ms > before:
            self._through_ms[source] = through_ms


class FetchTimes:
    """When the last answered fetch of each partition was sent, at the earliest.

    A consumer tells only that an answer has come (a stamp that changes). A partition has one fetch on its way at a
    time, so a fetch is sent no earlier than the answer before it came, and that is no earlier than the last look
    at which that answer had not been seen yet.
    """

    def __init__(self) -> None:
        self._seen: dict[Source, _Answer] = {}

    def look(self, source: Source, stamp: int | None, before_ms: int) -> int | None:
        """The instant; None while it is not known.

        `stamp` is that of the last answer (None: no answer yet), `before_ms` the clock at the look before this one.
        """
        if stamp is None:
            return None
        seen = self._seen.get(source)
        if seen is None:
            self._seen[source] = _Answer(stamp, before_ms, None)
            return None
        if stamp != seen.stamp:
            seen = self._seen[source] = _Answer(stamp, before_ms, seen.came_after_ms)
        return seen.sent_after_ms


class _Answer(NamedTuple):
    stamp: int
    came_after_ms: int
    sent_after_ms: int | None
