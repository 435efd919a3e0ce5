"""How fast persons are sent, and how many at a time. Pure: instants come from a monotonic clock of the caller's.

Where live events come in, they wait behind seeds in the same topic. So seeds yield: few at a time go, and the owners
rest from them for longer than those took to be folded, the wait for live events included. Owners who are busy slow
seeds down, and seeds slow owners down by a bounded share. Where none come in, nobody is in their way. Shards that lost
what they had answer nothing until they have it again: what they wait for hurries.
"""

from __future__ import annotations

from processors.backfill.traffic import Traffic

PIECE_PERSONS = 2_000
"""Persons who are sent at a time, at most."""
PIECES_AHEAD = 2
"""Pieces that are sent before those in front of them are folded: neither side waits for the other then."""
LIVE_PIECE_PERSONS = 25
"""The same where live events wait behind them: an owner takes a millisecond or two for these."""
REST = 3.0
"""How long owners rest from seeds, in the time that the last ones took: a history of 100,000 persons takes minutes."""
REST_S_MAX = 0.5
"""So that seeds get their share where owners are that busy."""


class Pace:
    """At most `persons_per_s`, counted over any time that is longer than a piece takes; None: no bound.

    Each piece takes the time that its persons have a right to, and the next waits until that is over. What nobody
    used is not saved up: a run that rested goes on at the same pace.
    """

    def __init__(self, persons_per_s: int | None = None, *, hurries: bool = False) -> None:
        self._persons_per_s = persons_per_s
        self._hurries = hurries
        self._free_s = float("-inf")
        self.traffic = Traffic()

    @property
    def piece_persons(self) -> int:
        """How many to send at a time: no more than a second's."""
        most = LIVE_PIECE_PERSONS if self._yields else PIECE_PERSONS
        return min(most, PIECE_PERSONS, self._persons_per_s or most)

    @property
    def pieces_ahead(self) -> int:
        """How many are sent before those in front of them are folded."""
        return 0 if self._yields else PIECES_AHEAD

    @property
    def _yields(self) -> bool:
        return self.traffic.is_live and not self._hurries

    def wait_s(self, now_s: float) -> float:
        """How long the next piece has to wait; 0.0: not at all."""
        return max(0.0, self._free_s - now_s)

    def rest_s(self, took_s: float) -> float:
        """How long to rest behind a piece that was folded, or made, within that time."""
        return min(REST * took_s, REST_S_MAX) if self._yields else 0.0

    def take(self, persons: int, now_s: float) -> None:
        """So many are sent at `now_s`."""
        if self._persons_per_s is not None:
            self._free_s = max(now_s, self._free_s) + persons / self._persons_per_s
