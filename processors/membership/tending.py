"""When an owner looks through its records in the background, and at which. Pure: it is told what time it is.

A fold, a timer and the sweep of a new plan drop what is needed no more of the records that they look at. What they do
not reach (a record without a timer, or one that was written by older rules) is found by this round, a page of one shard
at a time. A page is paid for by a pause that is a multiple of the time it took, so all pages together cost a bounded
share of an owner's time; a round that is done waits until a day after it began.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cohort_store.folding import advance
from cohort_store.plans import Plan
from cohort_store.records import Record
from cohort_store.subjects import Subject

ROUND_MS = 24 * 3_600_000
FIRST_AFTER_MS = 600_000
"""Whoever just began, or was just given partitions, has more urgent things to do."""
SHARE = 20
"""A page's time is a twentieth of the time from one page to the next, at the most."""


class Place(NamedTuple):
    """A page: of which shard, and from where on; None: from the start."""

    shard: int
    cursor: str | None


@dataclass(slots=True)
class Tending:
    """The rounds of one owner. `elapsed_ms` is a monotonic clock in real time."""

    due_ms: int | None = None
    """When the next page is; None before the first look at the clock."""
    _began_ms: int = 0
    _left: deque[Place] = field(default_factory=deque)

    def next(self, shards: Collection[int], elapsed_ms: int) -> Place | None:
        """The page to look at now, of these shards; None while there is none. `done` follows, or it is told again."""
        if self.due_ms is None:
            self.due_ms = elapsed_ms + FIRST_AFTER_MS
        if elapsed_ms < self.due_ms:
            return None
        if not self._left:
            self._began_ms = elapsed_ms
            self._left.extend(Place(shard, None) for shard in sorted(shards))
        while self._left and self._left[0].shard not in shards:
            self._left.popleft()
        if self._left:
            return self._left[0]
        self._rest(elapsed_ms)
        return None

    def done(self, cursor: str | None, took_ms: int, elapsed_ms: int) -> None:
        """The page took so long, and the next of its shard begins at the cursor; None: it was the last."""
        place = self._left.popleft()
        if cursor is not None:
            self._left.appendleft(place._replace(cursor=cursor))
        self.due_ms = elapsed_ms + max(1, took_ms) * (SHARE - 1)
        if not self._left:
            self._rest(elapsed_ms)

    def _rest(self, elapsed_ms: int) -> None:
        self.due_ms = max(self.due_ms or 0, elapsed_ms + 1, self._began_ms + ROUND_MS)


def outdated(subjects: Iterable[Subject], records: Mapping[Subject, Record], plan: Plan, now_ms: int) -> list[Subject]:
    """Those whose records hold more than is needed at an instant, or other memberships than they come to."""
    return [each for each in subjects if advance(records[each], plan.team(each.team), now_ms).record != records[each]]
