"""Which instant is now, for the shards of one partition.

Routers send progress marks: everything of a source partition up to an instant is in earlier deltas. While
all sources are less than the slack behind, now is the clock; otherwise it is the instant through which
every source was read. So while the pipeline is down or behind, time stands still with it, and nobody is
thrown out for an event that was not read yet. A source that was never heard of holds time as well; one
that is silent for longer than `max_hold_ms` is left out, and the reading says `stale`; were all of them
left out there would be nothing to go by, and time stands still.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from cohort_store.deltas import Mark

Source = tuple[str, int]
"""(topic, partition)."""


class Reading(NamedTuple):
    """`now_ms` None: nothing is known yet, so time stays where it was."""

    now_ms: int | None
    stale: bool


@dataclass(slots=True)
class _Heard:
    through_ms: int | None
    at_ms: int


@dataclass(slots=True)
class ProgressClock:
    """The marks of one partition. `elapsed_ms` arguments are monotonic, and in real time even where time is stepped."""

    slack_ms: int
    max_hold_ms: int
    _heard: dict[Source, _Heard] = field(default_factory=dict)

    def follow(self, sources: Iterable[Source], elapsed_ms: int) -> None:
        """Wait for exactly these sources from here on."""
        self._heard = {source: self._heard.get(source) or _Heard(None, elapsed_ms) for source in sources}

    def observe(self, mark: Mark, elapsed_ms: int) -> None:
        """Take a mark in; an older one than the last does not turn time back."""
        heard = self._heard.get((mark.topic, mark.partition))
        if heard is not None:
            heard.at_ms = elapsed_ms
            if heard.through_ms is None or mark.through_ms > heard.through_ms:
                heard.through_ms = mark.through_ms

    def read(self, clock_ms: int, elapsed_ms: int) -> Reading:
        """The instant, when the wall clock says `clock_ms`. The caller never goes below the last commit's."""
        waiting = [each for each in self._heard.values() if elapsed_ms - each.at_ms <= self.max_hold_ms]
        stale = len(waiting) < len(self._heard)
        through_ms: int | None = None
        for each in waiting:
            if each.through_ms is None:
                return Reading(None, stale)
            if through_ms is None or each.through_ms < through_ms:
                through_ms = each.through_ms
        if through_ms is None:
            return Reading(None, stale)
        return Reading(clock_ms if clock_ms - through_ms < self.slack_ms else through_ms, stale)
