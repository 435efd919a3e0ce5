"""regularly(E, P, n, k, v): of the n periods (t − (i + 1)P, t − iP], i = 0 … n − 1, at least k hold v or more events.

Proof sketch. Every period, at every instant, is a window of length P, and of it only matters whether it holds v
events. Thinning by P and v leaves in every such window v entries or all that it had. An entry at or before now − nP
is in no period from now on. A period gains or loses an entry only at a whole number of periods behind that
entry's time, so nothing changes between those instants.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from pydantic import Field, model_validator

from cohort_store.conditions.condition import AnyCondition, EventSelection, window_ms_of
from cohort_store.durations import WINDOW_MS_MAX, format_duration
from cohort_store.interval import Interval
from cohort_store.selectors import Selector
from cohort_store.thinning import thin
from cohort_store.timelines import Timelines, at_or_before

PERIODS_MAX = 1_000
TIMES_MAX = 1_000


class RegularlyDefinition(EventSelection):
    """In enough of the last periods: `{kind: regularly, event: login, period: 7d, periods: 4, min_periods: 3}`."""

    kind: Literal["regularly"] = "regularly"
    period: str = Field(description="How long one period is: 7d, 24h.")
    periods: int = Field(strict=True, ge=1, le=PERIODS_MAX, description="How many periods, the last ending now.")
    min_periods: int = Field(strict=True, ge=1, le=PERIODS_MAX, description="In how many of them; at most `periods`.")
    times: int = Field(default=1, strict=True, ge=1, le=TIMES_MAX, description="How many events a period, at least.")

    @model_validator(mode="after")
    def _periods_fit(self) -> RegularlyDefinition:
        if self.min_periods > self.periods:
            raise ValueError(f"min_periods {self.min_periods} is more than periods {self.periods}; lower it")
        whole_ms = window_ms_of(self.period) * self.periods
        if whole_ms > WINDOW_MS_MAX:
            limit = format_duration(WINDOW_MS_MAX)
            raise ValueError(
                f"{self.periods} periods of {self.period} are more than {limit}; take fewer or shorter ones"
            )
        return self

    def compile(self) -> Regularly:
        return Regularly(self.selector(), window_ms_of(self.period), self.periods, self.min_periods, self.times)


@dataclass(frozen=True, slots=True)
class Regularly:
    """See the module's docstring."""

    selector: Selector
    period_ms: int
    periods: int
    min_periods: int
    times: int

    @property
    def selectors(self) -> tuple[Selector, ...]:
        return (self.selector,)

    @property
    def interval(self) -> Interval:
        """All periods together."""
        return Interval.rolling(self.period_ms * self.periods)

    @property
    def entries_max(self) -> int:
        return 2 * self.times * (self.periods + 1)

    @property
    def warm_up_ms(self) -> int | None:
        return self.interval.window_ms

    def holds(self, timelines: Timelines, now: int) -> bool:
        return self._active(self._counts(timelines, now)) >= self.min_periods

    def next_change(self, timelines: Timelines, now: int) -> int | None:
        arriving = self.interval.next_entry(timelines[0], now)
        turn = self._next_turn(timelines, now)
        if turn is None or arriving is None:
            return turn if arriving is None else arriving
        return min(turn, arriving)

    def _next_turn(self, timelines: Timelines, now: int) -> int | None:
        """The next instant at which the entries' moving on from period to period tells; early by at most a period.

        Each entry moves on once within the next period; if none of those moves tells, they are looked at again then.
        """
        counts = self._counts(timelines, now)
        active = self._active(counts)
        present = active >= self.min_periods
        first, last = self.interval.slice(timelines[0], now)
        places = [(now - entry[0]) // self.period_ms for entry in timelines[0][first:last]]
        moves = sorted(
            (entry[0] + (place + 1) * self.period_ms, place)
            for entry, place in zip(timelines[0][first:last], places, strict=True)
        )
        for instant, movers in groupby(moves, _instant):
            for _, place in movers:
                counts[place] -= 1
                if place + 1 < self.periods:
                    counts[place + 1] += 1
            if (self._active(counts) >= self.min_periods) is not present:
                return instant
        return moves[-1][0] if any(counts) else None

    def _counts(self, timelines: Timelines, now: int) -> list[int]:
        """How many entries each period holds, the latest period first."""
        counts = [0] * self.periods
        first, last = self.interval.slice(timelines[0], now)
        for entry in timelines[0][first:last]:
            counts[(now - entry[0]) // self.period_ms] += 1
        return counts

    def _active(self, counts: list[int]) -> int:
        return sum(1 for count in counts if count >= self.times)

    def forget_at(self, timelines: Timelines, now: int) -> int | None:
        return self.interval.all_gone_at(timelines[0], now)

    def keep(self, timelines: Timelines, now: int) -> Timelines:
        timeline = timelines[0]
        first, last = self.interval.slice(timeline, now)
        return ((*thin(timeline[first:last], self.period_ms, self.times), *timeline[at_or_before(timeline, now) :]),)

    def suffices_for(self, other: AnyCondition) -> bool:
        """See Sufficing: the last periods of more, thinned for as many events in each or for more."""
        return (
            isinstance(other, Regularly)
            and (self.selector, self.period_ms) == (other.selector, other.period_ms)
            and self.periods >= other.periods
            and self.times >= other.times
        )


def _instant(move: tuple[int, int]) -> int:
    return move[0]
