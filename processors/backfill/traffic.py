"""Whether live events come into the topic that seeds go into. Pure: instants are those of a monotonic clock."""

from __future__ import annotations

from collections.abc import Mapping

LIVE_MESSAGES_A_S = 5.0
"""Messages of others a second and partition; marks alone are one for each router."""
LOOK_S = 1.0
"""So long, all partitions' times together, is counted before it is said anew: in some milliseconds nothing may come."""


class Traffic:
    """Counts others' messages between one's own, by the offsets that those get."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, float]] = {}
        self._others, self._elapsed_s = 0, 0.0
        self.is_live = True
        """Until the contrary is seen."""

    def sent(self, behind: Mapping[int, int], own: Mapping[int, int], now_s: float) -> None:
        """By partition: the offset behind what was just sent, and how many messages that were."""
        for partition, offset in behind.items():
            if partition in self._last:
                before, before_s = self._last[partition]
                self._others += offset - before - own[partition]
                self._elapsed_s += now_s - before_s
            self._last[partition] = offset, now_s
        if self._elapsed_s >= LOOK_S:
            self.is_live = self._others >= LIVE_MESSAGES_A_S * self._elapsed_s
            self._others, self._elapsed_s = 0, 0.0
