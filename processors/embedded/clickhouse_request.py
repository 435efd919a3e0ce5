"""What an HTTP request to ClickHouse asks for: its URL and body read into one statement.

ClickHouse's HTTP interface takes the query from the parameter ``query`` and the body, one behind the other;
``param_<name>`` are values for ``{name:Type}`` in it; ``database`` and ``default_format`` stand beside them, and
every other parameter is a setting, but for those that concern the transport only.
"""

import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

DEFAULT_FORMAT = "TabSeparated"
INSERT_HEAD_BYTES_MAX = 65_536
PARAMETER_PREFIX = "param_"

# Known to the interface and of no meaning for one engine behind loopback: whoever reaches it may do all, a
# session has nothing to keep, and answers are not compressed.
_TRANSPORT_ONLY = frozenset(
    {
        "buffer_size",
        "client_protocol_version",
        "compress",
        "decompress",
        "enable_http_compression",
        "cancel_http_readonly_queries_on_client_close",
        "http_headers_progress_interval_ms",
        "password",
        "query_id",
        "quota_key",
        "role",
        "send_progress_in_http_headers",
        "session_check",
        "session_id",
        "session_timeout",
        "stacktrace",
        "user",
    }
)
# Formats without a frame around the whole: the blocks of a result, one behind the other, are the result.
_STREAMABLE = frozenset({"Native", "TabSeparated", "TSV", "CSV", "RowBinary", "JSONEachRow", "JSONCompactEachRow"})
_LEADING = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]+")
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*(?:\bSETTINGS\b[^;]*)?;?\s*\Z", re.IGNORECASE)
_INSERT_HEAD = re.compile(rb"(\s*INSERT\s+INTO\s.*?)\s+FORMAT\s+(\w+)[ \t]*\r?\n", re.IGNORECASE | re.DOTALL)
_INSERT_WHOLE = re.compile(rb"(\s*INSERT\s+INTO\s.*?)\s+FORMAT\s+(\w+)\s*\Z", re.IGNORECASE | re.DOTALL)
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
_ROWS = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK"})


class BadRequest(Exception):
    """The request is none that this interface takes; ``code`` is ClickHouse's number for the trouble."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Options:
    """What stands in the URL beside the query."""

    query: str = ""
    query_id: str = ""
    database: str = ""
    default_format: str = DEFAULT_FORMAT
    whole: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    """A statement without data behind it.

    ``format`` is what its answer is written in if it ``has_rows``; ``selects`` says that it is a SELECT, whose
    columns can be asked for.
    """

    sql: str
    format: str
    has_rows: bool
    selects: bool

    @property
    def can_stream(self) -> bool:
        return self.selects and self.format in _STREAMABLE


@dataclass(frozen=True, slots=True)
class InsertHead:
    """An INSERT whose rows follow in ``format``; ``rows`` are those that came in the same bytes."""

    sql: str
    format: str
    rows: bytes


def read_options(pairs: Iterable[tuple[str, str]]) -> Options:
    """Sort URL (or form) parameters into options; BadRequest for a setting whose name is no name."""
    plain: dict[str, str] = {}
    parameters: dict[str, str] = {}
    settings: dict[str, str] = {}
    for name, value in pairs:
        if name.startswith(PARAMETER_PREFIX):
            parameters[name.removeprefix(PARAMETER_PREFIX)] = value
        elif name in ("query", "query_id", "database", "default_format", "wait_end_of_query"):
            plain[name] = value
        elif name not in _TRANSPORT_ONLY:
            if not _SETTING_NAME.match(name):
                raise BadRequest(115, f"Unknown setting {name!r}: a setting's name is letters, digits and underscores")
            settings[name] = value
    return Options(
        query=plain.get("query", ""),
        query_id=plain.get("query_id", ""),
        database=plain.get("database", ""),
        default_format=plain.get("default_format", DEFAULT_FORMAT),
        whole=plain.get("wait_end_of_query", "0") not in ("", "0"),
        parameters=parameters,
        settings=settings,
    )


def read_query(sql: str, default_format: str) -> Query:
    """Classify a statement by its first word and its FORMAT clause."""
    found = _FORMAT.search(sql)
    answer_format = found.group(1) if found else default_format
    word = first_word(sql)
    return Query(sql=sql, format=answer_format, has_rows=word in _ROWS, selects=word in ("SELECT", "WITH"))


def first_word(sql: str) -> str:
    """The statement's first keyword in capitals, comments and parentheses skipped."""
    leading = _LEADING.match(sql)
    found = _WORD.match(sql, leading.end() if leading else 0)
    return found.group().upper() if found else ""


def without_format(sql: str) -> str:
    """The statement without its FORMAT clause and what follows it."""
    found = _FORMAT.search(sql)
    return sql[: found.start()] if found else sql


def read_insert(query: str, body: bytes) -> InsertHead | None:
    """The INSERT at the beginning of the request, None if it is (so far) none with rows behind it.

    The rows begin behind the first newline after the FORMAT clause, or with the body where the whole
    statement came in the URL.
    """
    if query:
        found = _INSERT_WHOLE.match(query.encode())
        rows = body
    else:
        found = _INSERT_HEAD.match(body)
        rows = body[found.end() :] if found else b""
    if found is None:
        return None
    return InsertHead(sql=found.group(1).decode().strip(), format=found.group(2).decode(), rows=rows)


def may_become_insert(body: bytes) -> bool:
    """True while more bytes could complete the head of an INSERT that carries rows."""
    return len(body) < INSERT_HEAD_BYTES_MAX and b"INSERT".startswith(body.lstrip()[:6].upper())


def quoted(text: str) -> str:
    """A ClickHouse string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class _Frame(Protocol):
    """Undoes one compressed frame; what follows the frame is left in ``unused_data``."""

    def decompress(self, data: bytes, /) -> bytes: ...

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...


class Decoder:
    """Undoes a content encoding piece by piece; a body is one compressed frame or several in a row."""

    def __init__(self, frame: Callable[[], _Frame] | None) -> None:
        self._new_frame = frame
        self._frame = frame() if frame else None

    def decode(self, data: bytes) -> bytes:
        """The plain bytes of the next piece; BadRequest (CANNOT_DECOMPRESS) if it is none of this encoding."""
        if self._frame is None or self._new_frame is None:
            return data
        plain = b""
        try:
            while data:
                plain += self._frame.decompress(data)
                data = b""
                if self._frame.eof:
                    data = self._frame.unused_data or b""
                    self._frame = self._new_frame()
        except Exception as error:  # every library has its own exception for bytes that it cannot undo
            raise BadRequest(271, f"Cannot decompress the request's body: {error}") from error
        return plain


def _gzip() -> _Frame:
    return zlib.decompressobj(16 + zlib.MAX_WBITS)


def _deflate() -> _Frame:
    return zlib.decompressobj()


def _lz4() -> _Frame:
    import lz4.frame

    frame: _Frame = lz4.frame.LZ4FrameDecompressor()
    return frame


def _zstd() -> _Frame:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # Python 3.14 and later
    except ImportError:
        from backports import zstd  # type: ignore[no-redef, unused-ignore]
    frame: _Frame = zstd.ZstdDecompressor()
    return frame


_FRAMES: Mapping[str, Callable[[], _Frame] | None] = {
    "": None,
    "identity": None,
    "gzip": _gzip,
    "deflate": _deflate,
    "lz4": _lz4,
    "zstd": _zstd,
}


def decoder_for(encoding: str) -> Decoder:
    """A fresh decoder for a Content-Encoding; BadRequest (UNKNOWN_COMPRESSION_METHOD) if there is none."""
    try:
        return Decoder(_FRAMES[encoding.strip().lower()])
    except (KeyError, ImportError):
        raise BadRequest(89, f"Unknown content encoding {encoding!r}: use {', '.join(filter(None, _FRAMES))}") from None
