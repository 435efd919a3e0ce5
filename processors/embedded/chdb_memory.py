"""chDB inside this process with nothing on the disk: for a question about files, where no service runs.

chDB has one such memory a process; each Memory has a database of its own in it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from processors.embedded.chdb_engine import EngineError

INSERT_ROWS_MAX = 10_000
"""So many are encoded at a time."""
MEMORY = ":memory:"

_encode = msgspec.json.Encoder().encode_lines
_decode = msgspec.json.Decoder(list[Any]).decode_lines


class Memory:
    """Tables in memory. Every method raises EngineError where ClickHouse refuses."""

    def __init__(self) -> None:
        from chdb.state.sqlitelike import Connection

        self._connection: Any = Connection(MEMORY)
        self._database = f"memory_{uuid.uuid4().hex}"
        self.command(f"CREATE DATABASE {self._database}")
        self.command(f"USE {self._database}")

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop everything."""
        self.command(f"DROP DATABASE {self._database}")
        self._connection.close()

    def command(self, sql: str) -> None:
        """Run a statement that answers nothing."""
        self._ask(sql, {})

    def query(self, sql: str, parameters: Mapping[str, int]) -> list[list[Any]]:
        """The rows of an answer, whole."""
        return _decode(self._ask(sql, parameters))

    def insert(self, table: str, rows: Iterable[Mapping[str, Any] | msgspec.Struct]) -> None:
        """Add rows, by the names of their columns."""
        inserter = None
        try:
            for block in _blocks(rows):
                inserter = inserter or self._connection.send_insert(f"INSERT INTO {table}", "JSONEachRow")
                inserter.append(_encode(block))
            if inserter is not None:
                inserter.finish()
        except RuntimeError as error:
            raise EngineError(str(error)) from None

    def _ask(self, sql: str, parameters: Mapping[str, int]) -> bytes:
        texts = {name: str(value) for name, value in parameters.items()}
        try:
            answer: bytes = self._connection.query(sql, "JSONCompactEachRow", params=texts).bytes()
        except RuntimeError as error:
            raise EngineError(str(error)) from None
        return answer


def _blocks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    source = iter(rows)
    while block := list(islice(source, INSERT_ROWS_MAX)):
        yield block
