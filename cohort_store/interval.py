"""The interval in which events count: a rolling window, or absolute bounds.

Seen from an instant `now` both are a half-open stretch ``(floor, ceiling]``:

* rolling, length W: ``(now − W, now]``;
* absolute: ``[since, min(now, until)]``, which in whole milliseconds is ``(since − 1, min(now, until)]``.
"""

from __future__ import annotations

from dataclasses import dataclass

from cohort_store.timelines import Timeline, at_or_before


@dataclass(frozen=True, slots=True)
class Interval:
    """Made by `rolling` or `absolute`. All fields are milliseconds; one without window stands still."""

    window_ms: int | None
    since_ms: int
    until_ms: int | None

    @classmethod
    def rolling(cls, window_ms: int) -> Interval:
        """The last `window_ms` before now, exact to the millisecond."""
        return cls(window_ms, 0, None)

    @classmethod
    def absolute(cls, since_ms: int, until_ms: int | None) -> Interval:
        """From `since_ms` to `until_ms` (None: without end), both included."""
        return cls(None, since_ms, until_ms)

    @property
    def first_ms(self) -> int | None:
        """The first instant in an interval that stands still; None for one that rolls."""
        return self.since_ms if self.window_ms is None else None

    def covers(self, other: Interval) -> bool:
        """Whether at every instant the other lies in this one and ends with it: then its latest entries are too."""
        mine, others = self.window_ms, other.window_ms
        if mine is None or others is None:
            return mine is others and self.since_ms <= other.since_ms and self.until_ms == other.until_ms
        return mine >= others

    def floor(self, now: int) -> int:
        """The last instant before the interval."""
        return self.since_ms - 1 if self.window_ms is None else now - self.window_ms

    def ceiling(self, now: int) -> int:
        """The last instant in the interval."""
        return now if self.until_ms is None else min(now, self.until_ms)

    def slice(self, timeline: Timeline, now: int) -> tuple[int, int]:
        """Indices `(first, last)` such that `timeline[first:last]` are the entries in the interval."""
        last = at_or_before(timeline, self.ceiling(now))
        floor = self.floor(now)
        if last and timeline[0][0] > floor:
            return 0, last
        return min(at_or_before(timeline, floor), last), last

    def expiry(self, time_ms: int) -> int | None:
        """The instant at which an entry inside leaves by time alone; None where it never does."""
        return None if self.window_ms is None else time_ms + self.window_ms

    def all_gone_at(self, timeline: Timeline, now: int) -> int | None:
        """When the last entry leaves by time alone; None where it never does, has left, or there is none."""
        expiry = self.expiry(timeline[-1][0]) if timeline else None
        return None if expiry is None or expiry <= now else expiry

    def next_entry(self, timeline: Timeline, now: int) -> int | None:
        """The time of the first entry that has yet to come into the interval, if there is one."""
        index = at_or_before(timeline, max(now, self.floor(now)))
        if index == len(timeline):
            return None
        time_ms = timeline[index][0]
        return None if self.until_ms is not None and time_ms > self.until_ms else time_ms

    def next_crossing(self, timeline: Timeline, now: int, count: int) -> int | None:
        """The earliest later instant at which "at least `count` entries" differs with no new event; None where never.

        Exact: that many are in the interval from each entry on until the one `count` - 1 before it leaves, and such
        stretches that touch are one. `count` is 1 or more.
        """
        window_ms = self.window_ms
        first, last = self.slice(timeline, now)
        if count <= last - first:
            if window_ms is None:
                return None
            leaves_ms = timeline[last - count][0] + window_ms
            for index in range(last, len(timeline)):
                if timeline[index][0] > leaves_ms:
                    break
                leaves_ms = timeline[index - count + 1][0] + window_ms
            return leaves_ms
        if last == len(timeline):
            return None
        if window_ms is None:
            reaching = at_or_before(timeline, self.since_ms - 1) + count - 1
            if reaching >= len(timeline) or (self.until_ms is not None and timeline[reaching][0] > self.until_ms):
                return None
            return timeline[reaching][0]
        for index in range(max(last, count - 1), len(timeline)):
            if timeline[index - count + 1][0] + window_ms > timeline[index][0]:
                return timeline[index][0]
        return None

    def to_come(self, timeline: Timeline, now: int) -> Timeline:
        """The entries that have yet to come into the interval."""
        end = len(timeline) if self.until_ms is None else at_or_before(timeline, self.until_ms)
        return timeline[at_or_before(timeline, max(now, self.floor(now))) : end]

    def keep_latest(self, timeline: Timeline, now: int, count: int) -> Timeline:
        """The latest `count` entries in the interval, with those that have yet to come into it."""
        first, last = self.slice(timeline, now)
        first = max(first, last - count)
        end = len(timeline) if self.until_ms is None else at_or_before(timeline, self.until_ms)
        start = first if last > first else max(last, at_or_before(timeline, self.floor(now)))
        return timeline if start == 0 and end == len(timeline) else timeline[start:end]
