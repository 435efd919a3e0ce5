"""chDB, ClickHouse's engine in this process, asked one statement at a time.

chDB opens a folder for one process only, but within it any number of connections, each with its own settings and
its own database. Every statement here gets a fresh one (about a millisecond), so that nothing of one request
can reach the next, and several run at the same time.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import msgspec

from processors.embedded.clickhouse_request import InsertHead, Options, Query, quoted, without_format

UNKNOWN_EXCEPTION = 1002
_CODE = re.compile(r"Code: (\d+)\.")
_SETTINGS = re.compile(r"\s+SETTINGS\s+\w+\s*=", re.IGNORECASE)
SPOOL = "inserts"
"""Beside the engine's folder: rows on their way into a table."""
_PLAIN = "TabSeparated"


class EngineError(Exception):
    """A statement failed; ``code`` is ClickHouse's error number, the text is ClickHouse's own."""

    def __init__(self, text: str) -> None:
        found = _CODE.search(text)
        super().__init__(text[found.start() :].strip() if found else text.strip())
        self.code = int(found.group(1)) if found else UNKNOWN_EXCEPTION


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole result with the figures that ClickHouse reports beside it."""

    body: bytes
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    elapsed_s: float = 0.0


class Engine:
    """Owns the folder from construction to ``close``. Methods may be called from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._spool = folder.with_name(SPOOL)
        shutil.rmtree(self._spool, ignore_errors=True)
        self._spool.mkdir(parents=True)
        # The engine lives while any connection does: this one carries it from request to request.
        self._root = _connect(self._folder)
        version, zone = _ask(self._root, "SELECT version(), timezone()").decode().strip().split("\t")
        self.version = version
        self.timezone = zone

    def close(self) -> None:
        """Flush and close the folder; nothing may be running any more."""
        self._root.close()

    def run(self, query: Query, options: Options) -> Answer:
        """Run a statement to its end; EngineError if it fails."""
        connection = self._prepared(options)
        try:
            result = connection.query(query.sql, query.format, params=dict(options.parameters))
            body = result.bytes()
            if not body and query.selects and query.format == "Native":
                body = _empty_block(connection, query.sql, options)
            return Answer(
                body=body,
                read_rows=result.storage_rows_read(),
                read_bytes=result.storage_bytes_read(),
                written_rows=result.rows_written(),
                written_bytes=result.bytes_written(),
                elapsed_s=result.elapsed(),
            )
        except RuntimeError as error:
            raise EngineError(str(error)) from None
        finally:
            connection.close()

    def stream(self, query: Query, options: Options) -> Iterator[bytes]:
        """The result piece by piece; EngineError at the piece where it fails. Close the iterator to cancel."""
        connection = self._prepared(options)
        try:
            result = connection.send_query(query.sql, query.format, params=dict(options.parameters))
            empty = True
            try:
                for piece in result:
                    empty = False
                    yield piece.bytes()
            finally:
                result.close()
            if empty and query.format == "Native":
                yield _empty_block(connection, query.sql, options)
        except RuntimeError as error:
            raise EngineError(str(error)) from None
        finally:
            connection.close()

    def insert(self, head: InsertHead, options: Options) -> "Insert":
        """Begin an INSERT; whether there is such a table shows when it is finished."""
        connection = self._prepared(options)
        try:
            for name, value in options.parameters.items():
                connection.query(f"SET param_{name} = {quoted(value)}", _PLAIN)
            return Insert(connection, head, self._spool)
        except (RuntimeError, OSError) as error:
            connection.close()
            raise EngineError(str(error)) from None

    def _prepared(self, options: Options) -> Any:
        connection = _connect(self._folder)
        try:
            if options.settings:
                assignments = ", ".join(f"{name} = {quoted(value)}" for name, value in options.settings.items())
                connection.query(f"SET {assignments}", _PLAIN)
            if options.database:
                connection.query(f"USE `{options.database.replace('`', '``')}`", _PLAIN)
        except RuntimeError as error:
            connection.close()
            raise EngineError(str(error)) from None
        return connection


class Insert:
    """Rows on their way into a table: ``append`` any number of times, then ``finish`` or ``cancel``.

    Why a file, not chDB's own inserter: that one takes rows for written once it could read them, and says nothing
    where a constraint, a materialized view or the disk then refuses them (chDB 4.4).
    """

    def __init__(self, connection: Any, head: InsertHead, spool: Path) -> None:
        self._connection = connection
        self._head = head
        self._rows = NamedTemporaryFile(dir=spool)  # noqa: SIM115 - closed by finish or cancel

    def append(self, rows: bytes) -> None:
        try:
            self._rows.write(rows)
        except OSError as error:
            raise EngineError(f"rows cannot be kept: {error}") from None

    def finish(self) -> Answer:
        """Make the rows part of the table; EngineError if they are not rows of it."""
        try:
            self._rows.flush()
            result = self._connection.query(self._sql(), _PLAIN)
            return Answer(
                body=b"",
                written_rows=result.rows_written(),
                written_bytes=result.bytes_written(),
                elapsed_s=result.elapsed(),
            )
        except (RuntimeError, OSError) as error:
            raise EngineError(str(error)) from None
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Drop what was appended. Harmless after ``finish``."""
        self._rows.close()
        self._connection.close()

    def _sql(self) -> str:
        settings = _SETTINGS.search(self._head.sql)
        end = settings.start() if settings else len(self._head.sql)
        into, rest = self._head.sql[:end], self._head.sql[end:]
        return f"{into} FROM INFILE {quoted(self._rows.name)} COMPRESSION 'none'{rest} FORMAT {self._head.format}"


def _connect(folder: str) -> Any:
    from chdb.state.sqlitelike import Connection

    return Connection(folder)


def _ask(connection: Any, sql: str) -> bytes:
    answer: bytes = connection.query(sql, _PLAIN).bytes()
    return answer


def _empty_block(connection: Any, sql: str, options: Options) -> bytes:
    """A Native block of no rows: chDB writes nothing for an empty result, a server writes its columns."""
    described = connection.query(
        f"DESCRIBE TABLE ({without_format(sql)}\n)", "JSONCompact", params=dict(options.parameters)
    )
    columns = msgspec.json.decode(described.bytes())["data"]
    texts = [text for column in columns for text in column[:2]]
    return _length(len(columns)) + b"\x00" + b"".join(_text(text) for text in texts)


def _text(text: str) -> bytes:
    raw = text.encode()
    return _length(len(raw)) + raw


def _length(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
