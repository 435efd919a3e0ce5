"""Reads bodies within bounds: of one body, of all that are being read at once, and of the time that it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any, Protocol

from evaluator.http.bodies import BODY_BYTES_MAX, too_large
from evaluator.http.messages import Headers, Problem, ProblemBody

BODY_DEADLINE_S = 10.0
"""How long a body may take to arrive; then 408."""

BODIES_BYTES_MAX = 256 * 1_048_576
"""Of all bodies that are being read at once; beyond, a request is told to come again."""


_DIGITS_MAX = 18
"""Of a length; a number of thousands of digits is none that Python reads."""


class Body(Protocol):
    """A request's body, which has not been read yet."""

    async def __call__(self) -> bytes: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


SWEEPS = 10
"""How often, in one deadline, those under way are looked at: a body may be late by that part of it."""


class BodyReader:
    """Reads bodies for one server. `bytes_max` bounds what those under way hold together.

    Why one timer for all of them, not one each: nearly every body is there at once, and a timer costs more than it.
    """

    def __init__(self, *, deadline_s: float = BODY_DEADLINE_S, bytes_max: int = BODIES_BYTES_MAX) -> None:
        self._deadline_s = deadline_s
        self._bytes_max = bytes_max
        self._bytes = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        """Asked for once: each time asks the system for the process's number, a twentieth of a whole request."""
        self._reading: dict[asyncio.Task[Any], float] = {}
        """Who reads, with the instant at which the body is late; the oldest first."""
        self._late: set[asyncio.Task[Any]] = set()
        self._is_watched = False

    async def read(self, headers: Headers, body: Body, bytes_max: int = BODY_BYTES_MAX) -> bytes:
        """The whole body of at most `bytes_max`. Raises Problem 408, 413, or 503 where too much is being read."""
        length = _length(headers, bytes_max)
        # How long a body without a length becomes is not known, so the most that it may be is set aside.
        set_aside = bytes_max if length is None else length
        if self._bytes + set_aside > self._bytes_max:
            raise self._too_busy()
        self._bytes += set_aside
        task = self._begin()
        try:
            return await body() if length is not None else await _read_chunks(body, bytes_max)
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            raise self._too_slow() from None
        finally:
            self._bytes -= set_aside
            self._reading.pop(task, None)
            self._late.discard(task)

    def _begin(self) -> asyncio.Task[Any]:
        loop = self._loop = self._loop or asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a body is read in a task of its own")
        self._reading[task] = monotonic() + self._deadline_s
        if not self._is_watched:
            self._watch()
        return task

    def _watch(self) -> None:
        self._is_watched = bool(self._reading)
        if self._is_watched:
            asyncio.get_running_loop().call_later(self._deadline_s / SWEEPS, self._sweep)

    def _sweep(self) -> None:
        now = monotonic()
        for task, late_at in self._reading.items():
            if late_at > now:
                break
            if task not in self._late:
                self._late.add(task)
                task.cancel()
        self._watch()

    def _too_slow(self) -> Problem:
        detail = f"the body did not arrive within {self._deadline_s:g} s; send a shorter one, or over a faster line"
        return Problem(408, ProblemBody("validation_error", "body_too_slow", detail, None))

    def _too_busy(self) -> Problem:
        detail = f"bodies of {self._bytes_max} bytes are being read already; send this one again"
        return Problem(503, ProblemBody("unavailable", "too_busy", detail, None), (("retry-after", "1"),))


def _length(headers: Headers, bytes_max: int) -> int | None:
    """The length that the request tells of, if any. Raises Problem 413."""
    told = headers.get("content-length")
    if told is None or not told.isdigit():
        return None
    if len(told) > _DIGITS_MAX or int(told) > bytes_max:
        raise too_large(bytes_max)
    return int(told)


async def _read_chunks(body: Body, bytes_max: int) -> bytes:
    read = bytearray()
    async for chunk in body:
        read += chunk
        if len(read) > bytes_max:
            raise too_large(bytes_max)
    return bytes(read)
