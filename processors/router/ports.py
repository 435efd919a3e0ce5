"""What the router needs of the world: a source of messages, a place for deltas, and persons of distinct ids."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from processors.router.packing import Packed
from processors.router.progress import Source


class Message(Protocol):
    """One message of a source, as consumers hand them out."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """When it reached the log, epoch milliseconds; negative where the log does not say."""
        ...

    @property
    def value(self) -> bytes | None: ...


STAMP_AHEAD_MS_MAX = 86_400_000
"""A message's timestamp further ahead of the reader's clock is no arrival: who sent it has stamped it wrongly."""


def arrival_ms_of(message: Message, now: int) -> int:
    """When a message reached the log, as far as its timestamp can be believed at `now`."""
    return min(message.timestamp, now + STAMP_AHEAD_MS_MAX) if message.timestamp >= 0 else now


class ReadOut(NamedTuple):
    """A fetch sent at `sent_ms`, or later, found nothing at or behind `next_offset`."""

    next_offset: int
    sent_ms: int


class Polled(NamedTuple):
    """One poll's worth. Messages of a partition are in order and follow those of the poll before."""

    generation: int
    """Changes whenever partitions may have been moved, even if the same ones come back."""
    messages: Mapping[Source, Sequence[Message]]
    read_out: Mapping[Source, ReadOut] = {}
    """Partitions known to be at their end, once the messages above are delivered."""


class EventSource(Protocol):
    """A group member that reads raw events. Raises Retry when the log cannot be reached."""

    @property
    def assigned(self) -> frozenset[Source]:
        """The partitions of the present generation."""
        ...

    async def poll(self) -> Polled:
        """The next messages; returns without any after a short while."""
        ...

    def hold(self, sources: Collection[Source]) -> None:
        """Let exactly these wait: polls give nothing of them until they are held no more, and then all of it."""
        ...

    async def commit(self, offsets: Mapping[Source, int]) -> None:
        """Let the group continue there. Partitions that were moved away are ignored."""
        ...


class DeltaSink(Protocol):
    """Where deltas go."""

    async def send(self, messages: Sequence[Packed]) -> None:
        """Return when all are acknowledged. Raises Retry where that is not known; sending again is harmless."""
        ...


class PersonLookup(Protocol):
    """The part of MembershipReader that the router uses."""

    async def persons(self, distinct_ids: Sequence[tuple[int, str]]) -> list[str | None]:
        """The persons of (team, distinct id) pairs, in that order; None where none is known."""
        ...
