"""restarted(E, W, M): some event at or before t − W, none in (t − W, t − M], some in (t − M, t].

Proof sketch, of what must be kept of the entries at or before now:

* "some at or before t − W" is decided by the earliest entry, whenever t comes to it;
* "some in (t − M, t]" by the latest one;
* the gap (t − W, t − M] has length W − M. From now on it holds, of the entries at or before now − M, the last one
  for longest. Of those behind, thinning by W − M leaves one in every window of that length that had any. An entry that
  arrives late is united with these, and can only fill a gap further.

The earliest entry is kept for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cohort_store.conditions.lapsing import Lapsing
from cohort_store.selectors import Selector
from cohort_store.thinning import thin
from cohort_store.timelines import Timeline, Timelines, at_or_before, first_after


class RestartedDefinition(Lapsing):
    """Took it up again after a pause: `{kind: restarted, event: login, within: 30d, recent: 7d}`."""

    kind: Literal["restarted"] = "restarted"

    def compile(self) -> Restarted:
        return Restarted(self.selector(), *self.spans_ms())


@dataclass(frozen=True, slots=True)
class Restarted:
    """See the module's docstring."""

    selector: Selector
    window_ms: int
    recent_ms: int

    warm_up_ms = None

    @property
    def selectors(self) -> tuple[Selector, ...]:
        return (self.selector,)

    @property
    def entries_max(self) -> int:
        return 2 * -(-self.recent_ms // (self.window_ms - self.recent_ms)) + 5

    def holds(self, timelines: Timelines, now: int) -> bool:
        timeline = timelines[0]
        before = at_or_before(timeline, now - self.window_ms)
        until_recent = at_or_before(timeline, now - self.recent_ms)
        return 0 < before == until_recent < at_or_before(timeline, now)

    def next_change(self, timelines: Timelines, now: int) -> int | None:
        timeline = timelines[0]
        present = self.holds(timelines, now)
        arriving = first_after(timeline, now)
        for instant in self._turns(timeline[: at_or_before(timeline, now)], now):
            if arriving is not None and instant >= arriving:
                break
            if self.holds(timelines, instant) is not present:
                return instant
        return arriving

    def _turns(self, past: Timeline, now: int) -> list[int]:
        """The later instants at which an entry leaves the recent part or the window: nothing changes in between."""
        spans = (self.recent_ms, self.window_ms)
        return sorted({entry[0] + span for entry in past for span in spans if entry[0] + span > now})

    def forget_at(self, timelines: Timelines, now: int) -> int | None:  # noqa: ARG002 - the earliest entry stays
        return None

    def keep(self, timelines: Timelines, now: int) -> Timelines:
        timeline = timelines[0]
        last = at_or_before(timeline, now)
        start = max(0, at_or_before(timeline, now - self.recent_ms) - 1)
        thinned = thin(timeline[start:last], self.window_ms - self.recent_ms)
        earliest = timeline[:1] if start else ()
        return ((*earliest, *thinned, *timeline[last:]),)
