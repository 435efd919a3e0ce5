"""When which shards are compared, so that each is once in a round. Pure."""

from __future__ import annotations

from collections.abc import Sequence


class Rounds:
    """A round takes `round_ms`; its groups of shards are spread over it evenly. 0: never.

    Kept in memory only: a process that begins anew begins a round.
    """

    def __init__(self, round_ms: int, began_ms: int) -> None:
        self._round_ms = round_ms
        self._began_ms = began_ms
        self._share_ms = 0
        """Between two turns; 0 until it is known how many groups there are."""
        self._next = 0

    def is_due(self, elapsed_ms: int) -> bool:
        """Whether to ask for the groups, and take a `turn`; `elapsed_ms` is a monotonic clock."""
        return bool(self._round_ms) and elapsed_ms >= self._began_ms + self._share_ms

    def turn(self, groups: Sequence[Sequence[int]], elapsed_ms: int) -> Sequence[int]:
        """The shards whose turn it is, of all groups; none, where it is nobody's yet.

        The first turn is a share of a round after the start.
        """
        if not groups or not self._round_ms:
            return ()
        self._share_ms = self._round_ms // len(groups)
        if not self.is_due(elapsed_ms):
            return ()
        self._began_ms = elapsed_ms
        group = groups[self._next % len(groups)]
        self._next = (self._next + 1) % len(groups)
        return group
