"""When which shards are compared, so that each is once in a round. Pure."""

from __future__ import annotations

from collections.abc import Sequence


class Rounds:
    """A round takes `round_ms`; its groups of shards are spread over it evenly. 0: never.

    Kept in memory only: a process that begins anew begins a round.
    """

    def __init__(self, round_ms: int, began_ms: int) -> None:
        self._round_ms = round_ms
        self._due_ms = began_ms
        self._next = 0

    def turn(self, groups: Sequence[Sequence[int]], elapsed_ms: int) -> Sequence[int]:
        """The shards whose turn it is; none, where it is nobody's yet.

        `groups` are all of them, `elapsed_ms` a monotonic clock. The first turn is a share of a round after the start.
        """
        if not self._round_ms or not groups:
            return ()
        share_ms = self._round_ms // len(groups)
        if elapsed_ms < self._due_ms + share_ms:
            return ()
        self._due_ms = elapsed_ms
        group = groups[self._next % len(groups)]
        self._next = (self._next + 1) % len(groups)
        return group
