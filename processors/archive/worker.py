"""The archive's loop: poll, collect, insert, commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from cohort_store.clocks import Clock
from cohort_store.errors import BadEvent, Retry
from processors import metrics
from processors.archive.rows import row_of
from processors.codecs.codec import EventCodec
from processors.router.ports import EventSource, Message, Polled, arrival_ms_of
from processors.router.progress import Source

BLOCK_ROWS_MAX = 20_000
BLOCK_BYTES_MAX = 32 * 1024 * 1024
BLOCK_AGE_S = 0.25
"""A block is written when it is full or this old: fewer, larger parts are kinder to ClickHouse."""
RETRY_S = 0.5

_log = logging.getLogger(__name__)


class EventRows(Protocol):
    """Where rows go."""

    async def insert(self, rows: Sequence[bytes]) -> None:
        """Write rows, each a JSON object. Raises Retry where not all are known to be written; again is harmless."""
        ...


@dataclass(slots=True)
class Block:
    """Rows that are not written yet, and where the group may go on once they are."""

    rows: list[bytes] = field(default_factory=list)
    bytes: int = 0
    offsets: dict[Source, int] = field(default_factory=dict)
    began_s: float = 0.0

    def is_due(self, elapsed_s: float) -> bool:
        """Whether it should be written now."""
        if not self.offsets:
            return False
        full = len(self.rows) >= BLOCK_ROWS_MAX or self.bytes >= BLOCK_BYTES_MAX
        return full or elapsed_s - self.began_s >= BLOCK_AGE_S


class Archive:
    """One member of the archive's group."""

    def __init__(self, source: EventSource, table: EventRows, codecs: Mapping[str, EventCodec], clock: Clock) -> None:
        self._source = source
        self._table = table
        self._codecs = codecs
        self._clock = clock
        self._block = Block()

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
            self._collect(await self._source.poll())
        if self._block.is_due(monotonic()):
            await self.flush()

    async def flush(self) -> None:
        """Write the block, and then let the group go on behind it."""
        block = self._block
        await self._table.insert(block.rows)
        self._block = Block()
        metrics.ARCHIVE_ROWS.add(len(block.rows))
        try:
            await self._source.commit(block.offsets)
        except Retry as error:
            _log.info("archive: offsets were not committed, and these rows may be written again: %s", error)

    def _collect(self, polled: Polled) -> None:
        block = self._block
        if polled.messages and not block.offsets:
            block.began_s = monotonic()
        for source, messages in polled.messages.items():
            codec = self._codecs[source.topic]
            for message in messages:
                self._take(source, message, codec)
            block.offsets[source] = messages[-1].offset + 1

    def _take(self, source: Source, message: Message, codec: EventCodec) -> None:
        arrival_ms = arrival_ms_of(message, self._clock.now_ms())
        try:
            event = codec.decode(message.value or b"", arrival_ms)
        except BadEvent:
            metrics.ARCHIVE_SKIPPED.add(1)
            return
        row = row_of(event, source, message, arrival_ms)
        self._block.rows.append(row)
        self._block.bytes += len(row)
