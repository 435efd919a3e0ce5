"""The log's first months as the archive would have written them: rows of ClickHouse's table `events`, and no message.

A row is known by its place in a log. These lie in a topic that no source has, so that no live event's row is ever
taken for one of theirs, and each at an offset of its own: written twice they are the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from processors.archive.rows import row_of
from processors.clickhouse.events import EventsTable
from processors.codecs.event import Limits
from processors.codecs.plain import PlainCodec
from processors.demo.log import LoggedEvent
from processors.router.progress import Source

HISTORY_TOPIC = "shop.history"
ROWS_A_BLOCK = 10_000


class _Place(NamedTuple):
    """Where an event would stand, had it been a message."""

    offset: int
    timestamp: int
    value: bytes | None


def history_rows(events: Sequence[LoggedEvent]) -> list[bytes]:
    """A row for each event, in their order; each arrived when it happened."""
    codec, source = PlainCodec(Limits()), Source(HISTORY_TOPIC, 0)
    return [
        row_of(codec.decode(each.raw, each.time_ms), source, _Place(offset, each.time_ms, each.raw), each.time_ms)
        for offset, each in enumerate(events)
    ]


async def write_history(url: str, events: Sequence[LoggedEvent]) -> None:
    """Have the events in the table of that ClickHouse, which is made where there is none. Raises Retry."""
    rows = history_rows(events)
    table = EventsTable(url)
    try:
        for first in range(0, len(rows), ROWS_A_BLOCK):
            await table.insert(rows[first : first + ROWS_A_BLOCK])
    finally:
        await table.close()
