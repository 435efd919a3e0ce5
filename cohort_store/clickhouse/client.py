"""How Muster reaches ClickHouse: one client over HTTP, and its troubles as Retry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from cohort_store.errors import Crash, Reject, Retry

if TYPE_CHECKING:
    from clickhouse_connect.driver import AsyncClient

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 60
DATABASE_DEFAULT = "default"


CONTENT_CODES = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        25,  # CANNOT_PARSE_ESCAPE_SEQUENCE
        26,  # CANNOT_PARSE_QUOTED_STRING
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA
        131,  # TOO_LARGE_STRING_SIZE
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        376,  # CANNOT_PARSE_UUID
        407,  # DECIMAL_OVERFLOW
        441,  # CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING
        467,  # CANNOT_PARSE_BOOL
        469,  # VIOLATED_CONSTRAINT
        675,  # CANNOT_PARSE_IPV4
        676,  # CANNOT_PARSE_IPV6
        691,  # UNKNOWN_ELEMENT_OF_ENUM
    }
)
"""ClickHouse's error codes by which an INSERT is refused for what is in its rows, so that again cannot help."""


class BadAddress(Crash):
    """The setting `clickhouse` is no URL of an HTTP interface."""


OUT_OF_MEMORY = 241
"""ClickHouse's error code MEMORY_LIMIT_EXCEEDED."""
_OF_ALL = "(total)"
"""In the message of that error where not the query's own limit was met, but what the whole server may take."""


class OutOfMemory(Retry):
    """A query took more memory than it may; the server has more."""


class RefusedRows(Reject):
    """ClickHouse refused an INSERT for what is in some of its rows. The message is ClickHouse's own."""


async def connect(url: str, answer_timeout_s: int = ANSWER_TIMEOUT_S) -> AsyncClient:
    """A client of the ClickHouse at `http(s)://user:password@host:port/database`. The caller closes it.

    Raises BadAddress for another form of URL, Retry where nothing answers.
    """
    import clickhouse_connect

    parts = check_address(url)
    with translated():
        return await clickhouse_connect.get_async_client(
            host=parts.hostname,
            port=parts.port or (8_443 if parts.scheme == "https" else 8_123),
            username=unquote(parts.username or "") or None,
            password=unquote(parts.password or ""),
            database=database_of(url),
            secure=parts.scheme == "https",
            connect_timeout=CONNECT_TIMEOUT_S,
            send_receive_timeout=answer_timeout_s,
        )


@asynccontextmanager
async def connected(url: str, answer_timeout_s: int = ANSWER_TIMEOUT_S) -> AsyncIterator[AsyncClient]:
    """A client for the length of a block; what goes wrong in it is Retry."""
    client = await connect(url, answer_timeout_s)
    try:
        with translated():
            yield client
    finally:
        await client.close()


def database_of(url: str) -> str:
    """The database that the URL names. Raises BadAddress for what is no URL."""
    return check_address(url).path.strip("/") or DATABASE_DEFAULT


def check_address(url: str) -> SplitResult:
    """The parts of an HTTP interface's URL. Raises BadAddress for anything else."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadAddress(f"clickhouse {_shown(url)!r} is not known; write http://user:password@host:8123/database")
    return parts


@contextmanager
def translated() -> Iterator[None]:
    """Turns what clickhouse-connect and its transport raise into Retry."""
    from aiohttp import ClientError
    from clickhouse_connect.driver.exceptions import ClickHouseError, Error

    try:
        yield
    except (ClickHouseError, ClientError, OSError, TimeoutError) as error:
        code = error.code if isinstance(error, Error) else None
        raise trouble_of(code, f"ClickHouse did not do it ({type(error).__name__}: {str(error)[:300]})") from error


def trouble_of(code: int | None, told: str) -> Retry:
    """What an error of ClickHouse's is, by its code and what it told."""
    return OutOfMemory(told) if code == OUT_OF_MEMORY and _OF_ALL not in told else Retry(told)


@contextmanager
def content_refused() -> Iterator[None]:
    """Turns a refusal by a CONTENT_CODES code into RefusedRows; stands inside `translated`."""
    from clickhouse_connect.driver.exceptions import Error

    try:
        yield
    except Error as error:
        if error.code in CONTENT_CODES:
            raise RefusedRows(str(error)[:300]) from error
        raise


def _shown(url: str) -> str:
    """The URL without its password."""
    password = urlsplit(url).password
    return url.replace(f":{password}@", ":…@") if password else url
