"""The in-memory twins of the router's ports: a log, a sink and persons that live in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from cohort_store.clocks import Clock
from cohort_store.deltas import Delta, DeltaMessage, Mark, decode_message
from cohort_store.errors import Retry
from processors.router.packing import Packed
from processors.router.ports import Polled, ReadOut
from processors.router.progress import Source


class Stored(NamedTuple):
    """A message of the log."""

    offset: int
    timestamp: int
    value: bytes | None


class MemoryLog:
    """Topics of raw events, with what the group has committed."""

    def __init__(self) -> None:
        self._partitions: dict[Source, list[Stored]] = {}
        self.committed: dict[Source, int] = {}

    def append(self, source: Source, value: bytes | None, timestamp: int) -> int:
        """Write a message; its offset."""
        messages = self._partitions.setdefault(source, [])
        messages.append(Stored(len(messages), timestamp, value))
        return len(messages) - 1

    def read(self, source: Source, offset: int, limit: int) -> list[Stored]:
        """At most `limit` messages from an offset on."""
        return self._partitions.get(source, [])[offset : offset + limit]


class MemorySource:
    """An EventSource: a member whose partitions are moved by hand."""

    def __init__(self, log: MemoryLog, clock: Clock, *, limit: int = 1_000) -> None:
        self._log = log
        self._clock = clock
        self._limit = limit
        self._generation = 0
        self._positions: dict[Source, int] = {}
        self._held: frozenset[Source] = frozenset()

    def move(self, sources: Iterable[Source]) -> None:
        """Assign exactly these; reading goes on where the group has committed."""
        self._generation += 1
        self._positions = {source: self._log.committed.get(source, 0) for source in sources}

    @property
    def assigned(self) -> frozenset[Source]:
        """The partitions of the present generation."""
        return frozenset(self._positions)

    async def poll(self) -> Polled:
        """The next messages, and at once; others run meanwhile, as with a real poll."""
        await asyncio.sleep(0)
        sent_ms = self._clock.now_ms()
        messages: dict[Source, Sequence[Stored]] = {}
        read_out: dict[Source, ReadOut] = {}
        for source, position in self._positions.items():
            if source in self._held:
                continue
            found = self._log.read(source, position, self._limit)
            if found:
                messages[source] = found
                self._positions[source] = position + len(found)
            else:
                read_out[source] = ReadOut(position, sent_ms)
        return Polled(self._generation, messages, read_out)

    def hold(self, sources: Collection[Source]) -> None:
        """Let these wait."""
        self._held = frozenset(sources)

    async def commit(self, offsets: Mapping[Source, int]) -> None:
        """Commit those that are still assigned."""
        self._log.committed.update({s: offset for s, offset in offsets.items() if s in self._positions})


class MemorySink:
    """A DeltaSink: lists of messages, by partition."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, DeltaMessage]] = []
        self._failing = 0

    def failing_first(self, times: int) -> MemorySink:
        """Let the next sends fail although they were written, as a broken connection does."""
        self._failing = times
        return self

    async def send(self, messages: Sequence[Packed]) -> None:
        """Keep them."""
        self.messages += [(message.partition, decode_message(message.value)) for message in messages]
        if self._failing:
            self._failing -= 1
            raise Retry("the acknowledgement did not come")

    def deltas(self) -> list[Delta]:
        """Every delta, in the order of arrival."""
        return [delta for _, message in self.messages for delta in message.deltas]

    def marks(self, partition: int = 0) -> list[Mark]:
        """Every mark that a partition was sent."""
        return [mark for number, message in self.messages if number == partition for mark in message.marks]


class MemoryPersons:
    """A PersonLookup: a dictionary. `asked` has what each call asked for."""

    def __init__(self, known: Mapping[tuple[int, str], str] | None = None) -> None:
        self.known = dict(known or {})
        self.asked: list[list[tuple[int, str]]] = []

    async def persons(self, distinct_ids: Sequence[tuple[int, str]]) -> list[str | None]:
        """The persons that are known."""
        self.asked.append(sorted(distinct_ids))
        return [self.known.get(distinct_id) for distinct_id in distinct_ids]
