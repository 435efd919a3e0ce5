"""Files of rows as lines of JSON: JSONL as it stands, CSV and Parquet made into it, any text gzipped or not.

In a CSV or Parquet file the columns that a `Table` names are fields, `properties` holds a JSON object, and every other
column that is not empty is a property of its own: as text in CSV (Muster compares numbers in texts as numbers), as
the column's type says in Parquet.
"""

from __future__ import annotations

import csv
import gzip
import io
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from cohort_store.errors import Reject

CHUNK_BYTES = 524_288
CHUNK_ROWS = 2_000
PROPERTIES = "properties"
_UUID_BYTES = 16


class Unreadable(Reject):
    """A file cannot be read to its end; the message names it."""


class BadLine(NamedTuple):
    """A line that cannot be used, and why."""

    number: int
    problem: str


class Chunk(NamedTuple):
    """Some lines of a file: JSON texts, one a line, and the number of each, from 1; a CSV's header counts."""

    numbers: Sequence[int]
    data: bytes


class Table(NamedTuple):
    """What the columns of a CSV or Parquet file mean."""

    row: str
    """What a row is, for messages."""
    fields: frozenset[str]
    needed: tuple[tuple[str, ...], ...]
    """Of each of these at least one column must be there."""
    lists: frozenset[str] = frozenset()
    """Fields that hold a list: in CSV a JSON list, or one text."""


EVENTS = Table(
    "event",
    frozenset(("uuid", "event", "person_id", "distinct_id", "timestamp", "team_id")),
    (("event",), ("timestamp",), ("person_id", "distinct_id")),
)


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


def is_parquet(path: Path) -> bool:
    """By the name: .parquet."""
    return path.name.lower().endswith(".parquet")


def read_chunks(path: Path, table: Table) -> Iterator[Chunk | BadLine]:
    """Every line of the file, in its order. Raises Unreadable where it is damaged or not there."""
    try:
        if is_parquet(path):
            yield from _chunks_of(parquet_lines(path, table))
            return
        with opened(path) as (source, _):
            yield from _chunks_of(csv_lines(source, table)) if is_csv(path) else _text_chunks(source)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(f"{path} cannot be read to its end ({error}); is it damaged or cut off?") from None


def csv_lines(source: BinaryIO, table: Table) -> Iterator[tuple[int, bytes] | BadLine]:
    """Every row as JSON, with the number of its line."""
    reader = csv.reader(io.TextIOWrapper(source, "utf-8-sig", errors="surrogateescape", newline=""))
    header = next(reader, [])
    trouble = _missing(table, header, "a CSV")
    if trouble:
        yield BadLine(1, trouble)
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
            yield _csv_row(reader.line_num, header, row, table)


def parquet_lines(path: Path, table: Table) -> Iterator[tuple[int, bytes] | BadLine]:
    """Every row as JSON, with its number. Raises Unreadable for what is no Parquet file."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            trouble = _missing(table, file.schema_arrow.names, "a Parquet file")
            if trouble:
                yield BadLine(1, trouble)
                return
            number = 0
            for batch in file.iter_batches(batch_size=CHUNK_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield _encoded(number, row.items(), table)
    except ArrowException as error:
        raise Unreadable(f"{path} is no Parquet file that can be read ({str(error)[:200]})") from None


def _missing(table: Table, header: Sequence[str], file: str) -> str | None:
    if all(set(header) & set(choices) for choices in table.needed):
        return None
    *first, last = (" or ".join(choices) for choices in table.needed)
    needed = f"{', '.join(first)} and {last}" if first else last
    columns = "columns" if first else "column"
    return f"{file} needs the {columns} {needed}; this one has {list(header)[:20]}"


def _text_chunks(source: BinaryIO) -> Iterator[Chunk]:
    number = 1
    rest = b""
    while True:
        read = source.read(CHUNK_BYTES)
        # A chunk ends with a line, so that a line is never parted.
        end = read.rfind(b"\n") + 1 if read else 0
        if read and not end:
            rest += read
            continue
        data, rest = rest + read[:end], read[end:]
        if data:
            count = data.count(b"\n") + (not data.endswith(b"\n"))
            yield Chunk(range(number, number + count), data)
            number += count
        if not read:
            return


def _chunks_of(lines: Iterator[tuple[int, bytes] | BadLine]) -> Iterator[Chunk | BadLine]:
    while batch := list(islice(lines, CHUNK_ROWS)):
        yield from (line for line in batch if isinstance(line, BadLine))
        good = [line for line in batch if not isinstance(line, BadLine)]
        yield Chunk([number for number, _ in good], b"\n".join([raw for _, raw in good]))


def _csv_row(number: int, header: list[str], row: list[str], table: Table) -> tuple[int, bytes] | BadLine:
    if len(row) != len(header):
        return BadLine(number, f"{len(row)} fields under a header of {len(header)}")
    return _encoded(
        number, ((column, _csv_value(column, text, table)) for column, text in zip(header, row, strict=True)), table
    )


def _csv_value(column: str, text: str, table: Table) -> Any:
    """A CSV knows texts only: whole numbers and lists are read out of those fields that have them."""
    if not text:
        return None
    if column in ("team_id", "timestamp") and text.isascii() and text.isdigit():
        return int(text[:18])
    if column in table.lists:
        try:
            return msgspec.json.decode(text, type=list[str]) if text.startswith("[") else [text]
        except (msgspec.MsgspecError, UnicodeError):
            return text
    return text


def _encoded(number: int, cells: Iterable[tuple[str, Any]], table: Table) -> tuple[int, bytes] | BadLine:
    """The row as one JSON object."""
    fields: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for column, value in cells:
        if value is None:
            continue
        if column == PROPERTIES:
            try:
                properties = _object(value) | properties
            except ValueError as error:
                return BadLine(number, str(error))
        elif column not in table.fields:
            properties[column] = value
        elif value != "":
            fields[column] = _uuid_text(value) if column == "uuid" else value
    if properties:
        fields[PROPERTIES] = properties
    try:
        return number, msgspec.json.encode(fields, enc_hook=_plain)
    except UnicodeEncodeError:
        return BadLine(number, "not UTF-8")


def _object(value: Any) -> dict[str, Any]:
    """A cell of the column `properties`: JSON text, or a struct or map. ValueError for anything else."""
    if isinstance(value, str):
        try:
            return msgspec.json.decode(value, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise ValueError(f"properties are no JSON object: {error}") from None
    if isinstance(value, dict):
        return {name: inner for name, inner in value.items() if inner is not None}
    try:
        return dict(value)
    except (TypeError, ValueError):
        raise ValueError(f"properties are {str(value)[:40]!r}; write a JSON object") from None


def _uuid_text(value: Any) -> Any:
    return str(uuid.UUID(bytes=value)) if isinstance(value, bytes) and len(value) == _UUID_BYTES else value


def _plain(value: Any) -> Any:
    """What a Parquet cell of a type that JSON does not know is written as."""
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
