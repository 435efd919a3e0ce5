"""When a store that fails is no longer asked, and when again: a circuit breaker. Pure; its shell does the waiting."""

from __future__ import annotations

from enum import IntEnum

FAILURES_TO_OPEN = 3
"""Calls that fail one after the other until the store is left alone."""

PROBE_AFTER_S = 0.25
"""Between two probes of a store that is left alone."""


class BreakerState(IntEnum):
    """The numbers are those of the metric."""

    CLOSED = 0
    """Calls go out."""
    HALF_OPEN = 1
    """One probe is out, and nothing else."""
    OPEN = 2
    """No call goes out."""


class Breaker:
    """Counts failures in a row. Any call that succeeds closes it, a late one too: the store has answered."""

    def __init__(self, failures_to_open: int = FAILURES_TO_OPEN) -> None:
        self._failures_to_open = failures_to_open
        self._failures = 0
        self.state = BreakerState.CLOSED

    def failed(self) -> bool:
        """A call has failed. Whether that opened the breaker, which was closed."""
        self._failures += 1
        if self.state is BreakerState.HALF_OPEN:
            self.state = BreakerState.OPEN
        elif self.state is BreakerState.CLOSED and self._failures >= self._failures_to_open:
            self.state = BreakerState.OPEN
            return True
        return False

    def succeeded(self) -> None:
        """A call was answered."""
        self._failures = 0
        self.state = BreakerState.CLOSED

    def probe(self) -> None:
        """One call goes out, to see whether the store answers again. For an open breaker."""
        self.state = BreakerState.HALF_OPEN
