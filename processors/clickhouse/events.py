"""The table `events`: every sound event of the source topics, with the place where it stands in the log.

A row is a message: one that is written twice has the same key, merges remove the copy, and a read says FINAL so
that it never sees both. A row is not yet an event, since the same event may have been produced twice: rows
that agree in EVENT_KEY are one event, and a reader takes one of each (`LIMIT 1 BY` EVENT_KEY, or GROUP BY). A
reader that does so needs no FINAL.

`person_id` is empty where the message named nobody; the event then belongs to the person of its distinct id, if one
is known, else to the person whose id is that distinct id.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from cohort_store.clickhouse.client import connect, content_refused, translated
from cohort_store.errors import Retry

if TYPE_CHECKING:
    from clickhouse_connect.driver import AsyncClient

TABLE = "events"
EVENT_KEY = "team_id, event, timestamp, uuid, person_id, distinct_id"

# Not partitioned by time: one batch may hold events of many years, and ClickHouse refuses a block of too many parts.
CREATE_SQL = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    team_id UInt32,
    event LowCardinality(String),
    uuid UUID COMMENT 'given, or derived from the content as the router does',
    distinct_id String COMMENT 'empty where the message had none',
    person_id String COMMENT 'empty where the message had none',
    timestamp DateTime64(3, 'UTC'),
    properties String COMMENT 'a JSON object, as it came',
    _topic LowCardinality(String),
    _partition UInt32,
    _offset UInt64,
    _timestamp DateTime64(3, 'UTC') COMMENT 'arrival in the log'
) ENGINE = ReplacingMergeTree
ORDER BY (team_id, event, timestamp, uuid, _topic, _partition, _offset)
"""
COLUMNS = (
    "team_id",
    "event",
    "uuid",
    "distinct_id",
    "person_id",
    "timestamp",
    "properties",
    "_topic",
    "_partition",
    "_offset",
    "_timestamp",
)
CHECK_SQL = f"SELECT {', '.join(COLUMNS)} FROM {TABLE} LIMIT 0"  # noqa: S608 - made of the names above


class EventsTable:
    """Where events are written. Connects when it is first needed, and again after a failure."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: AsyncClient | None = None

    async def insert(self, rows: Sequence[bytes]) -> None:
        """Write rows, each a JSON object; again is harmless.

        Raises RefusedRows where some are refused for what is in them, Retry where not all are known to be written.
        """
        if not rows:
            return
        client = await self._connected()
        try:
            with translated(), content_refused():
                await client.raw_insert(TABLE, insert_block=b"\n".join(rows), fmt="JSONEachRow")
        except Retry:
            # The next attempt connects anew, and makes sure of the table, should it be gone.
            with suppress(Retry):
                await self.close()
            raise

    async def close(self) -> None:
        """Disconnect. Doing it twice is harmless."""
        client, self._client = self._client, None
        if client is not None:
            with translated():
                await client.close()

    async def _connected(self) -> AsyncClient:
        if self._client is None:
            client = await connect(self._url)
            with translated():
                await client.command(CREATE_SQL)
                # Of a table that is there already and lacks a column, every row would be refused for its content.
                await client.query(CHECK_SQL)
            self._client = client
        return self._client
