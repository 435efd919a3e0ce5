"""stopped(E, W, M): some event in (t − W, t − M] and none in (t − M, t].

Proof sketch. If the latest entry at or before t lies in (t − W, t − M] the condition holds; if it is later, something
is in (t − M, t]; if it is earlier, nothing is in the window at all. So the latest entry decides, now and later: an
entry that arrives late only matters if it is later still. One that has left the window never comes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cohort_store.conditions.condition import KeepsLatest
from cohort_store.conditions.lapsing import Lapsing
from cohort_store.interval import Interval
from cohort_store.selectors import Selector
from cohort_store.timelines import Timelines


class StoppedDefinition(Lapsing):
    """Did it, and has ceased to: `{kind: stopped, event: search, within: 90d, recent: 30d}`."""

    kind: Literal["stopped"] = "stopped"

    def compile(self) -> Stopped:
        window_ms, recent_ms = self.spans_ms()
        return Stopped(self.selector(), Interval.rolling(window_ms), recent_ms)


@dataclass(frozen=True, slots=True)
class Stopped(KeepsLatest):
    """See the module's docstring."""

    selector: Selector
    interval: Interval
    recent_ms: int

    entries_max = 1

    @property
    def selectors(self) -> tuple[Selector, ...]:
        return (self.selector,)

    @property
    def warm_up_ms(self) -> int | None:
        return self.interval.window_ms

    def holds(self, timelines: Timelines, now: int) -> bool:
        first, last = self.interval.slice(timelines[0], now)
        return first < last and timelines[0][last - 1][0] <= now - self.recent_ms

    def next_change(self, timelines: Timelines, now: int) -> int | None:
        timeline = timelines[0]
        soonest = self.interval.next_entry(timeline, now)
        first, last = self.interval.slice(timeline, now)
        if first < last:
            latest_ms = timeline[last - 1][0]
            quiet_ms = latest_ms + self.recent_ms
            turn = quiet_ms if quiet_ms > now else self.interval.expiry(latest_ms)
            if turn is not None and (soonest is None or turn < soonest):
                return turn
        return soonest

    def forget_at(self, timelines: Timelines, now: int) -> int | None:
        return self.interval.all_gone_at(timelines[0], now)

    def keep(self, timelines: Timelines, now: int) -> Timelines:
        return (self.interval.keep_latest(timelines[0], now, 1),)
