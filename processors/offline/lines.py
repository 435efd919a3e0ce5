"""Lines of events and persons as typed rows, many at a time; what is no such line is told with its number.

The fast way decodes a whole chunk at once. Where anything in it is wrong, its lines are decoded one by one, so that
the wrong one is found and the others are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import msgspec

from cohort_store.errors import BadEvent
from processors.codecs.depth import has_many_brackets
from processors.codecs.event import Limits
from processors.codecs.messages import read_message
from processors.row_files import BadLine, Chunk, Table, read_chunks

Row = TypeVar("Row")

Refuse = Callable[[Path, BadLine], None]
"""Is told of each line that is left out."""

LIMITS = Limits()
"""As a router holds events to by default."""


class Rows(NamedTuple, Generic[Row]):
    """Rows with the number of the line of each."""

    numbers: Sequence[int]
    rows: Sequence[Row]


class LineReader(Generic[Row]):
    """Reads files of one kind of row."""

    def __init__(self, table: Table, row: type[Row], refuse: Refuse) -> None:
        self._table = table
        self._decoder: msgspec.json.Decoder[Row] = msgspec.json.Decoder(row)
        self._refuse = refuse

    def read(self, path: Path) -> Iterator[Rows[Row]]:
        """Every row of the file. Raises Unreadable where it is damaged."""
        for chunk in read_chunks(path, self._table):
            if isinstance(chunk, BadLine):
                self._refuse(path, chunk)
            else:
                yield self._rows(path, chunk)

    def _rows(self, path: Path, chunk: Chunk) -> Rows[Row]:
        try:
            rows = self._decoder.decode_lines(chunk.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return self._one_by_one(path, chunk)
        # Empty lines shift the numbers, and a line of more than a chunk may be longer than an event can be.
        if len(rows) != len(chunk.numbers) or len(chunk.data) > LIMITS.event_bytes_max:
            return self._one_by_one(path, chunk)
        return Rows(chunk.numbers, rows)

    def _one_by_one(self, path: Path, chunk: Chunk) -> Rows[Row]:
        numbers: list[int] = []
        rows: list[Row] = []
        for number, line in zip(chunk.numbers, chunk.data.split(b"\n"), strict=False):
            raw = line.strip()
            if not raw:
                continue
            try:
                rows.append(read_message(raw, self._decoder, LIMITS, many_brackets=has_many_brackets(raw)))
                numbers.append(number)
            except BadEvent as error:
                self._refuse(path, BadLine(number, error.detail))
        return Rows(numbers, rows)
