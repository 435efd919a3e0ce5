"""sequence(A, B, U, W): some a in the interval and some b with a < b ≤ a + U and b ≤ t.

Reads two timelines, or one where both selectors are the same: then it needs two events. Equal times are in no order, so
of several entries in one millisecond one is enough. Proof sketch, of what must be kept of the entries at or before now:

* Let a* be the latest a that has its b by now. While a* is in the interval the condition holds, and whatever is
  earlier leaves before it does: nothing before a* matters any more, late arrivals included. So a* and its earliest b
  stay.
* An a behind a* has no b yet. One that arrives late, or is still to come, may complete it: every such a stays.
* An a that arrives late behind a* looks for a b in a window of length U behind itself, so behind a* too. Thinning by U
  leaves one in every such window that had any; it keeps the first of all, which is the earliest b of a*.

An absolute interval bounds a only: b may come until U behind its end.

**Cap.** Any number of a may wait for their b. At most ENTRIES_MAX of each are kept: a* and its b, and the newest. An
entry more never makes the condition false, so where it holds it does whatever was lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from cohort_store.conditions.condition import AnyCondition, OverInterval, Selection, Windowed, window_ms_of
from cohort_store.interval import Interval
from cohort_store.selectors import Selector
from cohort_store.thinning import thin
from cohort_store.timelines import Timeline, Timelines, at_or_before, first_after, union

ENTRIES_MAX = 256


class SequenceDefinition(Windowed):
    """One, then another: `{kind: sequence, first: {event: a}, then: {event: b}, then_within: 2d, within: 30d}`."""

    kind: Literal["sequence"] = "sequence"
    first: Selection = Field(description="The events that come first; the interval is about these.")
    then: Selection = Field(description="The events that must follow, later by a millisecond at least.")
    then_within: str = Field(description="How long after the first one the second may come: 2d, 30m.")

    @model_validator(mode="after")
    def _there_is_time_for_both(self) -> SequenceDefinition:
        window_ms_of(self.then_within)
        return self

    def compile(self) -> Sequence:
        first, then = self.first.selector(), self.then.selector()
        selectors = (first,) if first == then else (first, then)
        return Sequence(selectors, self.interval(), window_ms_of(self.then_within))


@dataclass(frozen=True, slots=True)
class Sequence(OverInterval):
    """See the module's docstring. `selectors` has one element where both are the same."""

    selectors: tuple[Selector, ...]
    interval: Interval
    then_ms: int
    cap: int = ENTRIES_MAX

    @property
    def entries_max(self) -> int:
        return self.cap if len(self.selectors) == 2 else 2 * self.cap

    def holds(self, timelines: Timelines, now: int) -> bool:
        return self._completed(timelines, now) is not None

    def next_change(self, timelines: Timelines, now: int) -> int | None:
        completed = self._completed(timelines, now)
        if completed is None:
            return first_after(timelines[-1], now)
        return self.interval.expiry(completed)

    def forget_at(self, timelines: Timelines, now: int) -> int | None:
        gone = [self.interval.all_gone_at(timeline, now) for timeline in timelines]
        return max((instant for instant in gone if instant is not None), default=None)

    def keep(self, timelines: Timelines, now: int) -> Timelines:
        firsts = self._kept_firsts(timelines, now)
        thens = self._kept_thens(timelines, now)
        return (firsts, thens) if len(self.selectors) == 2 else (union(firsts, thens),)

    def cut(self, timelines: Timelines, now: int) -> tuple[int | None, ...]:
        if max(map(len, timelines)) <= self.cap:
            return tuple(None for _ in timelines)
        is_completed = self._completed(timelines, now) is not None
        firsts = _dropped(self._waiting_firsts(timelines, now), self.cap, keeps_first=is_completed)
        thens = _dropped(self._waiting_thens(timelines, now), self.cap, keeps_first=is_completed)
        if len(timelines) == 2:
            return firsts, thens
        return (max((each for each in (firsts, thens) if each is not None), default=None),)

    def holds_despite_loss(self, timelines: Timelines, now: int) -> bool | None:
        return self.holds(timelines, now) or None

    def suffices_for(self, other: AnyCondition) -> bool:
        """See Sufficing: a* of a shorter interval is this one's, or none is in it; all else lies behind."""
        return (
            isinstance(other, Sequence)
            and self.selectors == other.selectors
            and self.interval.covers(other.interval)
            and (self.then_ms, self.cap) == (other.then_ms, other.cap)
        )

    def _completed(self, timelines: Timelines, now: int) -> int | None:
        """The time of a*: the latest first one in the interval that has its second one by now."""
        firsts, thens = timelines[0], timelines[-1]
        begin, end = self.interval.slice(firsts, now)
        last = at_or_before(thens, now)
        for index in range(end - 1, begin - 1, -1):
            time_ms = firsts[index][0]
            while last and thens[last - 1][0] > time_ms:
                last -= 1
            following = thens[last][0] if last < len(thens) else None
            if following is not None and following <= min(time_ms + self.then_ms, now):
                return time_ms
        return None

    def _kept_firsts(self, timelines: Timelines, now: int) -> Timeline:
        waiting, keeps_first = self._waiting_firsts(timelines, now), self._completed(timelines, now) is not None
        to_come = self._to_come(timelines[0], now, self.interval.until_ms)
        return (*_newest(waiting, self.cap, keeps_first=keeps_first), *to_come)

    def _kept_thens(self, timelines: Timelines, now: int) -> Timeline:
        waiting, keeps_first = self._waiting_thens(timelines, now), self._completed(timelines, now) is not None
        to_come = self._to_come(timelines[-1], now, self._latest_then_ms())
        return (*_newest(waiting, self.cap, keeps_first=keeps_first), *to_come)

    def _waiting_firsts(self, timelines: Timelines, now: int) -> Timeline:
        """Of those by now: a*, and every one behind it, once a millisecond."""
        firsts = timelines[0]
        begin, end = self.interval.slice(firsts, now)
        completed = self._completed(timelines, now)
        if completed is not None:
            begin = at_or_before(firsts, completed - 1)
        return _once_a_millisecond(firsts[begin:end])

    def _waiting_thens(self, timelines: Timelines, now: int) -> Timeline:
        """Of those by now: the ones behind a*, or in the interval, thinned."""
        thens = timelines[-1]
        completed = self._completed(timelines, now)
        begin = at_or_before(thens, self.interval.floor(now) if completed is None else completed)
        latest_ms = self._latest_then_ms()
        end = at_or_before(thens, now if latest_ms is None else min(now, latest_ms))
        return thin(_once_a_millisecond(thens[begin:end]), self.then_ms)

    def _latest_then_ms(self) -> int | None:
        """Behind this no second one matters."""
        return None if self.interval.until_ms is None else self.interval.until_ms + self.then_ms

    def _to_come(self, timeline: Timeline, now: int, latest_ms: int | None) -> Timeline:
        begin = at_or_before(timeline, max(now, self.interval.floor(now)))
        end = len(timeline) if latest_ms is None else at_or_before(timeline, latest_ms)
        return timeline[begin:end]


def _once_a_millisecond(timeline: Timeline) -> Timeline:
    """The first entry of each."""
    return tuple(entry for index, entry in enumerate(timeline) if not index or timeline[index - 1][0] != entry[0])


def _newest(timeline: Timeline, cap: int, *, keeps_first: bool) -> Timeline:
    """At most `cap` entries, the newest, of which one may be the first."""
    if len(timeline) <= cap:
        return timeline
    return (timeline[0], *timeline[1 - cap :]) if keeps_first else timeline[-cap:]


def _dropped(timeline: Timeline, cap: int, *, keeps_first: bool) -> int | None:
    """The time of the latest entry that `_newest` drops."""
    if len(timeline) <= cap:
        return None
    return timeline[len(timeline) - cap - (not keeps_first)][0]
