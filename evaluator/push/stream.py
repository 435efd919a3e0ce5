"""One listener's stream: what is still to be sent to it, within bounds.

**Why there are two bounds.** What waits for the writer is bounded by `WAITING_BYTES_MAX`. But the server's library
takes whatever it is given and keeps it until the client reads, without saying how much that is. So a stream also ends
once `SENT_BYTES_MAX` were given to it in all: one that reads comes back with its last event's id and misses nothing,
and one that does not has never more than that kept for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from uuid import uuid4

from evaluator.push.events import HEARTBEAT, Closing, Event, Form, Name, event, plain

WAITING_BYTES_MAX = 65_536
"""Of events that wait to be written; beyond, the listener is too slow and is let go of."""

SENT_BYTES_MAX = 1_048_576
"""Of all that a stream is given; then its client is asked to come back."""

_SLOW = Closing("slow", f"more than {WAITING_BYTES_MAX} bytes waited; connect again and read faster")
_FULL = Closing("full", f"{SENT_BYTES_MAX} bytes were sent; connect again with Last-Event-ID")


class Stream:
    """Filled by the hub, emptied by the connection. All methods are called on one event loop."""

    def __init__(
        self,
        form: Form = plain,
        last_id: str = "",
        *,
        waiting_max: int = WAITING_BYTES_MAX,
        sent_max: int = SENT_BYTES_MAX,
    ) -> None:
        self.id = uuid4().hex
        self.last_id = last_id
        """The last event that the client has seen; empty: none."""
        self.ended = ""
        """Why nothing more is put in; empty while something may be."""
        self._form = form
        self._waiting_max = waiting_max
        self._sent_max = sent_max
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._given = 0
        self._wake: asyncio.Future[None] | None = None

    def put(self, told: Event) -> None:
        """Give an event to the listener, or end the stream with a notice where a bound is passed."""
        self._put(self._form(told))

    def beat(self) -> None:
        """Let something be written, so that a connection which is gone is noticed."""
        self._put(HEARTBEAT)

    def end(self, notice: Closing) -> None:
        """Nothing comes after this notice. Doing it twice is harmless."""
        if not self.ended:
            self.ended = notice.reason
            self._append(self._form(event(Name.CLOSING, notice)))

    def abandon(self) -> None:
        """The client is gone: what waits is thrown away."""
        self.ended = self.ended or "gone"
        self._waiting.clear()
        self._notify()

    async def next(self) -> bytes:
        """Everything that waits, as soon as something does; empty at the end. For one caller."""
        while not self._waiting:
            if self.ended:
                return b""
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        chunk = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        return chunk

    def _put(self, text: bytes) -> None:
        if self.ended:
            return
        if self._waiting_bytes + len(text) > self._waiting_max:
            self.end(_SLOW)
        elif self._given + len(text) > self._sent_max:
            self.end(_FULL)
        else:
            self._append(text)

    def _append(self, text: bytes) -> None:
        self._waiting.append(text)
        self._waiting_bytes += len(text)
        self._given += len(text)
        self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
