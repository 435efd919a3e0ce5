"""Alignment: a router that is behind reads its partitions through the same time.

Why: owners' time is that of the partition that is furthest behind. What is routed from the others before that lies in
their future: they keep it all, and look at it again when they get there, which on a backlog of days doubled their work.

Only a backlog is aligned. A partition that is at its end, or gave nothing for a while, or does not tell its messages'
times, neither waits nor lets others wait; and those that are behind the most are always read, several of them, so that
fetching need not wait for routing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from processors.router.ports import Message
from processors.router.progress import Source

AHEAD_MS = 10_000
"""A partition read further than this beyond the slowest one waits for it."""
SILENT_S = 1.0
"""Whoever gave nothing for so long is not waited for: its broker may be away."""


class _Read(NamedTuple):
    through_ms: int
    at_s: float


class Alignment:
    """The partitions that one router owns, as far as they are behind."""

    def __init__(self) -> None:
        self._read: dict[Source, _Read] = {}

    def forget(self) -> None:
        """Partitions moved: begin anew."""
        self._read = {}

    def look(
        self,
        messages: Mapping[Source, Sequence[Message]],
        read_out: Iterable[Source],
        now: int,
        elapsed_s: float,
    ) -> frozenset[Source]:
        """Take in what a poll gave; the partitions that are to wait from here on.

        `now` bounds what a wrongly stamped message claims; `elapsed_s` is a monotonic clock.
        """
        for source, found in messages.items():
            stamp = found[-1].timestamp
            if stamp >= 0:
                self._read[source] = _Read(min(stamp, now), elapsed_s)
            else:
                self._read.pop(source, None)
        for source in read_out:
            self._read.pop(source, None)
        moving = [read.through_ms for read in self._read.values() if elapsed_s - read.at_s < SILENT_S]
        if not moving:
            return frozenset()
        limit_ms = min(moving) + AHEAD_MS
        behind_first = sorted(self._read, key=lambda source: self._read[source].through_ms)
        leading = behind_first[(len(behind_first) + 1) // 2 :]
        return frozenset(source for source in leading if self._read[source].through_ms > limit_ms)
