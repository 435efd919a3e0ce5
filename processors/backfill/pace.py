"""How fast persons are sent where somebody set a bound. Pure: instants come from a monotonic clock of the caller's."""

from __future__ import annotations

PIECE_PERSONS = 1_000
"""Persons who are sent at a time, at most."""


class Pace:
    """At most `persons_per_s`, counted over any time that is longer than a piece takes; None: no bound.

    Each piece takes the time that its persons have a right to, and the next waits until that is over. What nobody
    used is not saved up: a run that rested goes on at the same pace.
    """

    def __init__(self, persons_per_s: int | None = None) -> None:
        self._persons_per_s = persons_per_s
        self._free_s = float("-inf")

    @property
    def is_bounded(self) -> bool:
        """Whether there is a bound."""
        return self._persons_per_s is not None

    @property
    def piece_persons(self) -> int:
        """How many to send at a time: no more than a second's."""
        return PIECE_PERSONS if self._persons_per_s is None else min(PIECE_PERSONS, self._persons_per_s)

    def wait_s(self, now_s: float) -> float:
        """How long the next piece has to wait; 0.0: not at all."""
        return max(0.0, self._free_s - now_s)

    def take(self, persons: int, now_s: float) -> None:
        """So many are sent at `now_s`."""
        if self._persons_per_s is not None:
            self._free_s = max(now_s, self._free_s) + persons / self._persons_per_s
