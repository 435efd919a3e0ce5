"""performed(E, W): at least one matching event in the interval.

Proof sketch. `holds` looks for the latest entry at or before now. A later entry leaves later than an
earlier one, so whenever any kept or dropped entry would answer yes, the latest one does: keeping it
alone answers every later instant, and an entry that arrives late only matters if it is later still.
One that has left the window never comes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cohort_store.conditions.condition import EventSelection, KeepsLatest, OverInterval, Windowed
from cohort_store.interval import Interval
from cohort_store.selectors import Selector
from cohort_store.timelines import Timelines


class PerformedDefinition(EventSelection, Windowed):
    """Did it at least once: `{kind: performed, event: purchase, within: 30d}`."""

    kind: Literal["performed"] = "performed"

    def compile(self) -> Performed:
        return Performed(self.selector(), self.interval())


@dataclass(frozen=True, slots=True)
class Performed(KeepsLatest, OverInterval):
    """See the module's docstring."""

    selector: Selector
    interval: Interval

    entries_max = 1

    @property
    def selectors(self) -> tuple[Selector, ...]:
        return (self.selector,)

    def holds(self, timelines: Timelines, now: int) -> bool:
        first, last = self.interval.slice(timelines[0], now)
        return first < last

    def next_change(self, timelines: Timelines, now: int) -> int | None:
        return self.interval.next_crossing(timelines[0], now, 1)

    def forget_at(self, timelines: Timelines, now: int) -> int | None:
        return self.interval.all_gone_at(timelines[0], now)

    def keep(self, timelines: Timelines, now: int) -> Timelines:
        return (self.interval.keep_latest(timelines[0], now, 1),)
