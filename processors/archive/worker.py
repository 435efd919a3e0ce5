"""The archive's loop: poll, collect, insert, commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from cohort_store.clocks import Clock
from cohort_store.errors import BadEvent, Retry
from cohort_store.forgetting import Forgettings, Origin
from processors import metrics
from processors.archive.halving import EventRows, Refused, Taken, insert_sound
from processors.archive.rows import row_of
from processors.codecs.codec import EventCodec
from processors.codecs.event import Event
from processors.kafka.dead_letters import DeadLetter, DeadLetters
from processors.router.ports import EventSource, Message, Polled, arrival_ms_of
from processors.router.progress import Source

BLOCK_ROWS_MAX = 20_000
BLOCK_BYTES_MAX = 32 * 1024 * 1024
BLOCK_AGE_S = 0.25
"""A block is written when it is full or this old: fewer, larger parts are kinder to ClickHouse."""
RETRY_S = 0.5
REASON = "refused_by_clickhouse"
"""Of a dead letter whose event is sound, and is in the archive's table nevertheless not."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Block:
    """Rows that are not written yet, and where the group may go on once they are."""

    rows: list[Taken] = field(default_factory=list)
    bytes: int = 0
    offsets: dict[Source, int] = field(default_factory=dict)
    began_s: float = 0.0

    def is_due(self, elapsed_s: float) -> bool:
        """Whether it should be written now."""
        if not self.offsets:
            return False
        full = len(self.rows) >= BLOCK_ROWS_MAX or self.bytes >= BLOCK_BYTES_MAX
        return full or elapsed_s - self.began_s >= BLOCK_AGE_S


class ForgottenOnes(Protocol):
    """Of whom nothing may be written again."""

    async def read(self) -> Forgettings:
        """Those whom the archive must leave out, as of now. Raises Retry where they cannot be asked for."""
        ...


@dataclass(frozen=True, slots=True)
class ArchiveParts:
    """What an archive is put together from."""

    source: EventSource
    table: EventRows
    forgotten: ForgottenOnes
    dead_letters: DeadLetters
    codecs: Mapping[str, EventCodec]
    clock: Clock


class Archive:
    """One member of the archive's group."""

    def __init__(self, parts: ArchiveParts) -> None:
        self._parts = parts
        self._block = Block()
        self._reached: dict[Source, int] = {}
        """Behind what was collected of each source."""

    async def run(self) -> None:
        """Archive until cancelled; what is collected by then is left for the next start."""
        while True:
            try:
                await self.step()
            except Retry as error:
                _log.warning("archive: trying again in %g s: %s", RETRY_S, error)
                metrics.ARCHIVE_RETRIES.add(1)
                await asyncio.sleep(RETRY_S)

    async def step(self) -> None:
        """Write the block if it is due, else collect more. Raises Retry and loses nothing by it."""
        if not self._block.is_due(monotonic()):
            self._collect(await self._parts.source.poll())
        if self._block.is_due(monotonic()):
            await self.flush()

    async def flush(self) -> None:
        """Write the block, bury what ClickHouse refuses, and then let the group go on behind it.

        Whom to leave out is asked for each block anew, after its last message came: so who erases somebody and then
        waits until the archive has what the sources held knows that nothing of hers is written any more.
        """
        block = self._block
        kept = await self._without_the_forgotten(block.rows)
        refused = await insert_sound(self._parts.table, kept)
        if refused:
            await self._bury(refused)
        self._block = Block()
        metrics.ARCHIVE_ROWS.add(len(kept) - len(refused))
        metrics.ARCHIVE_REFUSED.add(len(refused))
        try:
            await self._parts.source.commit(block.offsets)
        except Retry as error:
            _log.info("archive: offsets were not committed, and these rows may be written again: %s", error)

    async def _without_the_forgotten(self, rows: list[Taken]) -> list[Taken]:
        forgotten = await self._parts.forgotten.read() if rows else Forgettings()
        if not forgotten.instants:
            return rows
        return [taken for taken in rows if taken.origin is None or not forgotten.keep_away(taken.origin)]

    async def _bury(self, refused: list[Refused]) -> None:
        _log.warning("archive: %d rows go to the dead letters, the first of them: %s", len(refused), refused[0].detail)
        now = self._parts.clock.now_ms()
        await self._parts.dead_letters.send(
            [
                DeadLetter(source.topic, source.partition, message.offset, REASON, detail, message.value or b"", now)
                for (_, source, message, _), detail in refused
            ]
        )

    def _collect(self, polled: Polled) -> None:
        for source, messages in polled.messages.items():
            codec = self._parts.codecs[source.topic]
            for message in messages:
                self._take(source, message, codec)
            self._reach(source, messages[-1].offset + 1)
        # A transaction's end has an offset too, and no message: who waits until all is archived waits for that as well.
        for source, end in polled.read_out.items():
            if end.next_offset > self._reached.get(source, 0):
                self._reach(source, end.next_offset)

    def _reach(self, source: Source, offset: int) -> None:
        if not self._block.offsets:
            self._block.began_s = monotonic()
        self._block.offsets[source] = self._reached[source] = offset

    def _take(self, source: Source, message: Message, codec: EventCodec) -> None:
        arrival_ms = arrival_ms_of(message, self._parts.clock.now_ms())
        try:
            event = codec.decode(message.value or b"", arrival_ms)
        except BadEvent:
            metrics.ARCHIVE_SKIPPED.add(1)
            return
        row = row_of(event, source, message, arrival_ms)
        self._block.rows.append(Taken(row, source, message, _origin(event, arrival_ms)))
        self._block.bytes += len(row)


def _origin(event: Event, arrival_ms: int) -> Origin:
    return Origin(event.team, event.person_id, event.distinct_id, event.time_ms, arrival_ms)
