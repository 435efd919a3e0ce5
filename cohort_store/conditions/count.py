"""count(E, W, op, n): the number of matching events in the interval compares with n; none counts as zero.

Proof sketch. Every operator is a combination of thresholds "at least k": gte n is k = n, gt n is
k = n + 1, lt and lte are their complements, eq and ne need both n and n + 1. "At least k" is decided
by the k-th latest entry at or before now: it holds exactly while that entry is in the interval. So the
latest n (gte, lt) or n + 1 entries answer every later instant, and a late arrival moves others only
towards the earlier end. When a threshold is crossed next follows from the entries at hand, those that have yet to come
among them (`Interval.next_crossing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from cohort_store.conditions.comparing import COMPARE, Operator
from cohort_store.conditions.condition import EventSelection, KeepsLatest, OverInterval, Windowed
from cohort_store.interval import Interval
from cohort_store.selectors import Selector
from cohort_store.timelines import Timelines

COUNT_MAX = 1_000

_THRESHOLDS = {"gte": (0,), "lt": (0,), "gt": (1,), "lte": (1,), "eq": (0, 1), "ne": (0, 1)}


class CountDefinition(EventSelection, Windowed):
    """How many times: `{kind: count, event: purchase, op: gte, n: 3, within: 90d}`."""

    kind: Literal["count"] = "count"
    op: Operator = Field(default="gte", description="How the number of events compares with n.")
    n: int = Field(strict=True, ge=0, le=COUNT_MAX, description=f"0 to {COUNT_MAX}.")

    def compile(self) -> Count:
        return Count(self.selector(), self.interval(), self.op, self.n)


@dataclass(frozen=True, slots=True)
class Count(KeepsLatest, OverInterval):
    """See the module's docstring."""

    selector: Selector
    interval: Interval
    op: Operator
    n: int

    @property
    def selectors(self) -> tuple[Selector, ...]:
        return (self.selector,)

    @property
    def entries_max(self) -> int:
        return self.n + (self.op != "gte")

    def holds(self, timelines: Timelines, now: int) -> bool:
        first, last = self.interval.slice(timelines[0], now)
        return COMPARE[self.op](last - first, self.n)

    def next_change(self, timelines: Timelines, now: int) -> int | None:
        soonest: int | None = None
        for extra in _THRESHOLDS[self.op]:
            if self.n + extra >= 1:
                crossing = self.interval.next_crossing(timelines[0], now, self.n + extra)
                if crossing is not None and (soonest is None or crossing < soonest):
                    soonest = crossing
        return soonest

    def forget_at(self, timelines: Timelines, now: int) -> int | None:
        return self.interval.all_gone_at(timelines[0], now) if self.entries_max else None

    def keep(self, timelines: Timelines, now: int) -> Timelines:
        if not self.entries_max:
            return ((),)
        return (self.interval.keep_latest(timelines[0], now, self.entries_max),)
