"""Event files as `muster send` reads them: JSONL or CSV, either of them gzipped, a line at a time.

A JSONL line is sent as it stands, in the shape of its topic's codec. A CSV row becomes a plain event: the columns
`uuid`, `event`, `person_id`, `distinct_id`, `timestamp` and `team_id` are its fields, every other one that is not
empty is a property (as text; Muster compares numbers in texts as numbers).
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from cohort_store.durations import format_instant
from cohort_store.errors import BadEvent
from processors.codecs.codec import EventCodec
from processors.codecs.times import parse_time

FIELDS = ("uuid", "event", "person_id", "distinct_id", "timestamp", "team_id")
IDENTITIES = ("person_id", "distinct_id")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_ARRIVAL_MS = 2**60


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


class BadLine(NamedTuple):
    """A line that cannot be sent, and why."""

    number: int
    problem: str


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The file as bytes, unzipped where its name ends with .gz, and the file as it lies on the disk, for `tell`."""
    with path.open("rb") as stored:
        if path.suffix == ".gz":
            with gzip.open(stored) as plain:
                yield plain, stored  # type: ignore[misc]  # GzipFile reads as BinaryIO does
        else:
            yield stored, stored


def is_csv(path: Path) -> bool:
    """By the name: .csv or .csv.gz."""
    return path.name.lower().removesuffix(".gz").endswith(".csv")


def read_lines(source: BinaryIO, codec: EventCodec, *, as_csv: bool) -> Iterator[EventLine | BadLine]:
    """Every line but empty ones, in the file's order; numbers count from 1, a CSV's header included.

    A line can be sent if the codec accepts it, as the router will; only how far ahead its time is depends on when
    it arrives, and is not judged here.
    """
    for line in _csv_lines(source) if as_csv else enumerate(source, 1):
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


def _csv_lines(source: BinaryIO) -> Iterator[tuple[int, bytes] | BadLine]:
    reader = csv.reader(io.TextIOWrapper(source, "utf-8-sig", errors="surrogateescape", newline=""))
    header = next(reader, [])
    if "event" not in header or "timestamp" not in header or not set(header) & set(IDENTITIES):
        yield BadLine(
            1, f"a CSV needs the columns event, timestamp and person_id or distinct_id; this one has {header[:20]}"
        )
        return
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            yield BadLine(reader.line_num, f"not CSV: {error}")
            continue
        if row is None:
            return
        if row:
            yield _csv_row(reader.line_num, header, row)


def _csv_row(number: int, header: list[str], row: list[str]) -> tuple[int, bytes] | BadLine:
    """The row as the JSON of a plain event."""
    if len(row) != len(header):
        return BadLine(number, f"{len(row)} fields under a header of {len(header)}")
    fields: dict[str, Any] = {}
    properties: dict[str, str] = {}
    for column, value in zip(header, row, strict=True):
        if column == "team_id" and value.isascii() and value.isdigit():
            fields[column] = int(value[:18])
        elif value:
            (fields if column in FIELDS else properties)[column] = value
    if properties:
        fields["properties"] = properties
    try:
        return number, msgspec.json.encode(fields)
    except UnicodeEncodeError:
        return BadLine(number, "not UTF-8")


def _moved(timestamp: int | str, shift_ms: int) -> int | str:
    if isinstance(timestamp, int):
        return timestamp + shift_ms
    moved_ms = parse_time(timestamp) + shift_ms
    if timestamp[10] == " ":
        return f"{_EPOCH + timedelta(milliseconds=moved_ms):%Y-%m-%d %H:%M:%S.%f}"
    return format_instant(moved_ms)
