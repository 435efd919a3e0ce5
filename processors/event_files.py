"""Event files as `muster send` reads them: JSONL or CSV, either of them gzipped, a line at a time.

A JSONL line is sent as it stands, in the shape of its topic's codec. A CSV row becomes a plain event, as
`row_files.py` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, NamedTuple

import msgspec

from cohort_store.durations import format_instant
from cohort_store.errors import BadEvent
from processors.codecs.codec import EventCodec
from processors.codecs.times import parse_time
from processors.row_files import EVENTS, BadLine, csv_lines

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_ARRIVAL_MS = 2**60
"""A file does not say when its events arrived, so none is too far ahead of its arrival."""


class EventLine(NamedTuple):
    """A line that can be sent. `key` is the id that the event names, the person's before the distinct one."""

    number: int
    key: str
    time_ms: int
    raw: bytes

    def moved(self, shift_ms: int) -> bytes:
        """The event with its time moved, in the notation in which it was written; by 0 it is left as it stands."""
        if not shift_ms:
            return self.raw
        fields = msgspec.json.decode(self.raw)
        return msgspec.json.encode({**fields, "timestamp": _moved(fields["timestamp"], shift_ms)})


def read_lines(source: BinaryIO, codec: EventCodec, *, as_csv: bool) -> Iterator[EventLine | BadLine]:
    """Every line but empty ones, in the file's order; numbers count from 1, a CSV's header included.

    A line can be sent if the codec accepts it, as the router will; only how far ahead its time is depends on when
    it arrives, and is not judged here.
    """
    for line in csv_lines(source, EVENTS) if as_csv else enumerate(source, 1):
        if isinstance(line, BadLine):
            yield line
            continue
        number, raw = line[0], line[1].strip()
        if raw:
            try:
                event = codec.decode(raw, NO_ARRIVAL_MS)
            except BadEvent as error:
                yield BadLine(number, error.detail)
            else:
                yield EventLine(number, event.person_id or event.distinct_id or "", event.time_ms, raw)


def _moved(timestamp: int | str, shift_ms: int) -> int | str:
    if isinstance(timestamp, int):
        return timestamp + shift_ms
    moved_ms = parse_time(timestamp) + shift_ms
    if timestamp[10] == " ":
        return f"{_EPOCH + timedelta(milliseconds=moved_ms):%Y-%m-%d %H:%M:%S.%f}"
    return format_instant(moved_ms)
