"""Whether the history is there, and is what the settings describe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cohort_store.clickhouse.client import CONTENT_CODES, connected
from cohort_store.errors import Crash
from processors.clickhouse.history_source import Expression, HistorySource

if TYPE_CHECKING:
    from clickhouse_connect.driver import AsyncClient

_EXISTS = "EXISTS TABLE events"
_EXPRESSION_CODES = CONTENT_CODES | {
    10,  # NOT_FOUND_COLUMN_IN_BLOCK
    16,  # NO_SUCH_COLUMN_IN_TABLE
    34,  # TOO_MANY_ARGUMENTS_FOR_FUNCTION
    35,  # TOO_FEW_ARGUMENTS_FOR_FUNCTION
    36,  # BAD_ARGUMENTS
    42,  # NUMBER_OF_ARGUMENTS_DOESNT_MATCH
    43,  # ILLEGAL_TYPE_OF_ARGUMENT
    44,  # ILLEGAL_COLUMN
    46,  # UNKNOWN_FUNCTION
    47,  # UNKNOWN_IDENTIFIER
    48,  # NOT_IMPLEMENTED
    50,  # UNKNOWN_TYPE
    59,  # ILLEGAL_TYPE_OF_COLUMN_FOR_FILTER
    60,  # UNKNOWN_TABLE
    62,  # SYNTAX_ERROR
    63,  # UNKNOWN_AGGREGATE_FUNCTION
    81,  # UNKNOWN_DATABASE
    184,  # ILLEGAL_AGGREGATION
    207,  # AMBIGUOUS_IDENTIFIER
    386,  # NO_COMMON_TYPE
    497,  # ACCESS_DENIED
}
"""ClickHouse's error codes by which it refuses what somebody wrote, so that again cannot help."""
_TIMES = ("time", "persons.created_at")


class BadHistory(Crash):
    """The setting `history` describes what ClickHouse has not; the message names the field and what is wrong."""


async def is_there(url: str, source: HistorySource) -> bool:
    """Whether there is a table of events; one that the settings describe must be.

    Raises Retry where ClickHouse cannot be asked, BadHistory where it refuses a part of what is described.
    """
    if source.is_archive:
        async with connected(url) as client:
            return bool(await client.command(_EXISTS))
    await check_history(url, source)
    return True


async def check_history(url: str, source: HistorySource) -> None:
    """Raise BadHistory where ClickHouse refuses what is described; nothing is read for it."""
    async with connected(url) as client:
        refused = await _refused(client, source.statement("SELECT * FROM events LIMIT 0"))
        if not refused and source.states:
            refused = await _refused(client, f"SELECT * FROM ({source.states}) LIMIT 0")  # noqa: S608 - ours
        # Which part of it is wrong is asked only where one is; but a text would be taken for an instant in silence.
        for each in source.mapping:
            if refused or each.field in _TIMES:
                await _check(client, each)
    if refused:
        raise BadHistory(f"the setting history does not fit ClickHouse's {source.table.sql}: {refused}")


async def _check(client: AsyncClient, each: Expression) -> None:
    refused = await _refused(client, each.probe)
    if not refused and each.field in _TIMES:
        (column,) = (await client.query(each.probe)).column_types
        if "DateTime" not in column.name:
            refused = f"it is a {column.name}; write a DateTime or DateTime64, like parseDateTime64BestEffort(text, 3)"
    if refused:
        raise BadHistory(f"history.{each.field} = {each.sql!r} does not fit ClickHouse: {refused}")


async def _refused(client: AsyncClient, sql: str) -> str:
    """ClickHouse's own words; empty where it takes the statement."""
    from clickhouse_connect.driver.exceptions import Error

    try:
        await client.query(sql, {"team": 1} if "{team:" in sql else None)
    except Error as error:
        if error.code not in _EXPRESSION_CODES:
            raise
        return str(error)[:500]
    return ""
