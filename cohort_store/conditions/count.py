"""count(E, W, op, n): the number of matching events in the interval compares with n; none counts as zero.

Proof sketch. Every operator is a combination of thresholds "at least k": gte n is k = n, gt n is
k = n + 1, lt and lte are their complements, eq and ne need both n and n + 1. "At least k" is decided
by the k-th latest entry at or before now: it holds exactly while that entry is in the interval. So the
latest n (gte, lt) or n + 1 entries answer every later instant, and a late arrival moves others only
towards the earlier end. A threshold is left when its k-th latest entry expires, and reached only by an
entry that has yet to come.
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
        timeline = timelines[0]
        first, last = self.interval.slice(timeline, now)
        soonest = self.interval.next_entry(timeline, now)
        for extra in _THRESHOLDS[self.op]:
            threshold = self.n + extra
            if 1 <= threshold <= last - first:
                expiry = self.interval.expiry(timeline[last - threshold][0])
                if expiry is not None and (soonest is None or expiry < soonest):
                    soonest = expiry
        return soonest

    def forget_at(self, timelines: Timelines, now: int) -> int | None:
        return self.interval.all_gone_at(timelines[0], now)

    def keep(self, timelines: Timelines, now: int) -> Timelines:
        return (self.interval.keep_latest(timelines[0], now, self.entries_max),)
