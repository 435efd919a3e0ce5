"""The only module that reads a clock.

Time is integer milliseconds since 1970, UTC. Domain code receives it as an argument; the shells
of the processes hold one `Clock` and pass on what it says.
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import Protocol

from cohort_store.errors import Crash

_FORMAT = struct.Struct("<q")


class BadClock(Crash, ValueError):
    """The file of a clock is not there, or holds no instant."""


class Clock(Protocol):
    """Says which instant is now."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class SteppedClock:
    """A clock that moves only when told; for tests in one process."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def set(self, now_ms: int) -> None:
        """Move to `now_ms`; going back is allowed, since real clocks do it too."""
        self._now_ms = now_ms


class FileClock:
    """A clock kept in a file of 8 bytes (little-endian int64), so that many processes share stepped time.

    One process sets it, any number read it. A file of any other size, or none, raises BadClock at each read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def now_ms(self) -> int:
        try:
            raw = self._path.read_bytes()
        except OSError as error:
            raise BadClock(
                f"clock file {self._path} cannot be read ({error.strerror}); write it, or set MUSTER_CLOCK to system"
            ) from None
        if len(raw) != _FORMAT.size:
            raise BadClock(
                f"clock file {self._path}: {len(raw)} bytes, not {_FORMAT.size}; write it with FileClock.set"
            )
        now_ms: int = _FORMAT.unpack(raw)[0]
        return now_ms

    def set(self, now_ms: int) -> None:
        """Write a new instant; readers see the old one or the new one, never a mixture."""
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        fresh.write_bytes(_FORMAT.pack(now_ms))
        fresh.replace(self._path)


def clock_from(setting: str) -> Clock:
    """The clock that a setting names: `system`, or `file:<path>`.

    Raises ValueError for anything else.
    """
    if setting == "system":
        return SystemClock()
    kind, _, path = setting.partition(":")
    if kind == "file" and path:
        return FileClock(Path(path))
    raise ValueError(f"clock {setting!r} is not known; use 'system' or 'file:<path>'")
