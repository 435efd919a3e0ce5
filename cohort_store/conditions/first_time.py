"""first time(E, W): the person's first event of that name, before its filters, is in the interval and passes them.

Reads two timelines: the events of those names without their tests, and the ones that pass. Proof sketch. What decides
is the earliest entry of the first timeline, whether before the interval or in it, and whether the second holds an
entry of that same millisecond (of several in one, one is enough). A later entry can only matter if an earlier one
did not exist, and none ever ceases to; one that arrives late and is earlier brings its own entry of the second
timeline along. So that one millisecond of each timeline answers every later instant. It is kept for ever, since
who did something once can never do it for the first time again; only behind the interval's end it decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cohort_store.conditions.condition import AnyCondition, EventSelection, Windowed
from cohort_store.interval import Interval
from cohort_store.selectors import Alternative, Selector
from cohort_store.timelines import Timeline, Timelines, entries_at


class FirstTimeDefinition(EventSelection, Windowed):
    """Did it for the first time: `{kind: first_time, event: purchase, within: 30d}`."""

    kind: Literal["first_time"] = "first_time"

    def compile(self) -> FirstTime:
        passing = self.selector()
        named = Selector(tuple(Alternative(each.event) for each in passing.alternatives))
        return FirstTime((named,) if named == passing else (named, passing), self.interval())


@dataclass(frozen=True, slots=True)
class FirstTime:
    """See the module's docstring. `selectors` has one element where there is nothing to filter."""

    selectors: tuple[Selector, ...]
    interval: Interval

    entries_max = 1
    warm_up_ms = None

    def holds(self, timelines: Timelines, now: int) -> bool:
        first = _first_ms(timelines)
        if first is None or not self.interval.floor(now) < first <= self.interval.ceiling(now):
            return False
        return bool(entries_at(timelines[-1], first))

    def next_change(self, timelines: Timelines, now: int) -> int | None:
        first = _first_ms(timelines)
        if first is None:
            return None
        if first > now:
            return self.interval.next_entry(timelines[0][:1], now)
        return self.interval.expiry(first) if self.holds(timelines, now) else None

    def forget_at(self, timelines: Timelines, now: int) -> int | None:  # noqa: ARG002 - nothing is ever forgotten
        return None

    def keep(self, timelines: Timelines, now: int) -> Timelines:  # noqa: ARG002 - the same at every instant
        first = _first_ms(timelines)
        if first is None or (self.interval.until_ms is not None and first > self.interval.until_ms):
            return tuple(() for _ in timelines)
        return tuple(entries_at(timeline, first)[:1] for timeline in timelines)

    def suffices_for(self, other: AnyCondition) -> bool:
        """See Sufficing: the earliest entry is the same in every interval, until one's end lets go of it."""
        if not isinstance(other, FirstTime) or self.selectors != other.selectors:
            return False
        mine, others = self.interval.until_ms, other.interval.until_ms
        return mine is None or (others is not None and others <= mine)


def _first_ms(timelines: Timelines) -> int | None:
    named: Timeline = timelines[0]
    return named[0][0] if named else None
