"""Rate limits as token buckets, one a client or key. Pure: time is an argument.

A bucket is kept as one number: the instant at which it is full again. A request moves that instant on by the time that
the rate gives it, and is refused where it would come to lie further ahead than the burst lasts. A bucket that is full
says the same as none, so a table that is full lets go of those that were used longest ago, which are most likely full.
"""

from __future__ import annotations

BUCKETS_MAX = 50_000
"""Clients or keys of whom a bucket is kept. Beyond, the one not used for longest is forgotten, and counts as full."""


class RateLimiter:
    """So many requests a second for each name, and after a rest so many seconds' worth of them at once.

    Refused requests take nothing: whoever waits as long as she was told gets through. Times are seconds of any clock;
    one that goes back lets nobody through earlier.
    """

    def __init__(self, per_s: float, burst_s: float, *, buckets_max: int = BUCKETS_MAX) -> None:
        if per_s <= 0:
            raise ValueError(f"{per_s} requests a second let nobody through; give more than 0")
        self._interval_s = 1 / per_s
        # At least one request must fit into an empty bucket.
        self._ahead_s = max(burst_s, self._interval_s)
        self._buckets_max = buckets_max
        self._full_at_s: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at_s)

    def take(self, name: str, now_s: float) -> float:
        """0.0 where the request may pass, and is counted; else in how many seconds it may."""
        full_at_s = max(self._full_at_s.pop(name, now_s), now_s) + self._interval_s
        wait_s = full_at_s - now_s - self._ahead_s
        if wait_s > _ROUNDING_S:
            self._full_at_s[name] = full_at_s - self._interval_s
            return wait_s
        self._full_at_s[name] = full_at_s
        if len(self._full_at_s) > self._buckets_max:
            del self._full_at_s[next(iter(self._full_at_s))]
        return 0.0


_ROUNDING_S = 1e-9
"""Sums of intervals are off by less than this; without it a burst of 10 could end at 9."""
