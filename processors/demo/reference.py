"""Who is in each example cohort, asked of ClickHouse by `reference.sql`: SQL over the raw events, written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from cohort_store.clickhouse.client import translated

SQL = Path(__file__).with_name("reference.sql")
"""Two statements: the events up to an instant, and everybody's cohorts among them."""

KNOWN = "known"
"""Beside the cohorts: everybody with an event so far."""

ARTICLE_FROM, ARTICLE_TO = "2024-02-29T00:00:00Z", "2024-03-04T00:00:00Z"
"""The article's days in the log as it is shipped: the first instant of them, and the first after them."""

EDITED = " (edited)"
"""Stands behind the keys of the cohorts that the demo edits, where the SQL is of what they are afterwards."""

_EXISTS = "EXISTS TABLE events"
_ARCHIVED = "SELECT uniqExact(_partition, _offset) FROM events WHERE _topic = {topic:String}"


class Client(Protocol):
    """What is used of clickhouse-connect's client."""

    async def query(self, query: str, parameters: dict[str, Any]) -> Any: ...
    async def command(self, cmd: str, parameters: dict[str, Any] | None = None) -> Any: ...


class Reference:
    """Asks ClickHouse. `article_ms` is where ARTICLE_FROM and ARTICLE_TO lie now."""

    def __init__(self, client: Client, article_ms: tuple[int, int]) -> None:
        self._client = client
        self._events_sql, self._cohorts_sql = SQL.read_text().split(";\n")
        self._article_ms = article_ms

    async def members(self, now_ms: int, *, edited: bool = False) -> dict[str, frozenset[str]]:
        """Each cohort's members at the instant, before the demo's edit or after it, and KNOWN."""
        values = {"now": now_ms, "article_from": self._article_ms[0], "article_to": self._article_ms[1]}
        with translated():
            await self._client.command(self._events_sql, values)
            answer = await self._client.query(self._cohorts_sql, values)
        found = {cohort: frozenset(persons) for cohort, persons in answer.result_rows}
        afterwards = {cohort.removesuffix(EDITED): found.pop(cohort) for cohort in list(found) if EDITED in cohort}
        return found | afterwards if edited else found

    async def archived(self, topic: str) -> int:
        """How many messages of the topic are in the archive, which makes its table with the first of them."""
        with translated():
            if not await self._client.command(_EXISTS):
                return 0
            answer = await self._client.query(_ARCHIVED, {"topic": topic})
        return int(answer.result_rows[0][0])
