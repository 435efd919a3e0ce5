"""The table `forgotten`: of whom nothing from before an instant may be written again.

Who writes rows that name persons (the archive, control's books of changes and of drift) asks it before each of its
inserts. A router or an archive that reads a stretch of the sources again therefore brings no row back.

Why the rows of somebody forgotten are deleted and kept from being written, and not left out where they are read: what
is erased has to be gone, and then there is nothing to leave out, in whatever statement. In the meantime, and for as
long as another's table may still hold her, her record's tombstone refuses what a backfill or a repair makes of it.

It holds ids as they are, not their hashes: shards that lost their records are told of them again, and the tombstones
that this makes bear the ids too. A row goes when it is no longer needed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cohort_store.clickhouse.client import connect, translated
from cohort_store.deltas import Erasure
from cohort_store.errors import Retry
from cohort_store.forgetting import Forgettings
from cohort_store.subjects import Subject
from processors.forgetting.ports import Kept

if TYPE_CHECKING:
    from clickhouse_connect.driver import AsyncClient

TABLE = "forgotten"

# By the time of ClickHouse, whatever time the installation goes by.
CREATE_SQL = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    team UInt32,
    kind UInt8 COMMENT '0: a person, 15: a distinct id of hers',
    id String,
    at DateTime64(3, 'UTC') COMMENT 'what is from then or before stays away',
    until DateTime64(3, 'UTC') COMMENT 'how long her tombstones are kept',
    written DateTime DEFAULT now(),
    kept_s UInt32 COMMENT 'for how long the row is'
) ENGINE = ReplacingMergeTree
ORDER BY (team, kind, id, at)
TTL written + toIntervalSecond(kept_s)
"""
_COLUMNS = ("team", "kind", "id", "at", "until", "kept_s")
_READ = f"""
SELECT team, kind, id, toUnixTimestamp64Milli(at), toUnixTimestamp64Milli(until) FROM {TABLE}
WHERE written + toIntervalSecond(kept_s) > now()
"""  # noqa: S608 - made of the name above


class ForgottenTable:
    """See ``processors.forgetting.ports.Forgotten``. Connects when it is first needed; every method raises Retry."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: AsyncClient | None = None

    async def add(self, subjects: Collection[Subject], erasure: Erasure) -> None:
        """Nothing of these, persons and distinct ids, may be written again. Twice is as good as once."""
        at, until = (datetime.fromtimestamp(time_ms / 1_000, UTC) for time_ms in erasure)
        kept_s = -(-(erasure.until_ms - erasure.at_ms) // 1_000)
        rows = [(*subject, at, until, kept_s) for subject in subjects]
        async with self._connected() as client:
            await client.insert(TABLE, rows, column_names=_COLUMNS)

    async def rows(self) -> list[Kept]:
        """All that is kept."""
        async with self._connected() as client:
            found = (await client.query(_READ)).result_rows
        return [Kept(Subject(int(t), int(k), str(i)), Erasure(int(at), int(until))) for t, k, i, at, until in found]

    async def read(self) -> Forgettings:
        """Of whom what is from before stays away."""
        instants: dict[Subject, int] = {}
        for subject, erasure in await self.rows():
            instants[subject] = max(erasure.at_ms, instants.get(subject, erasure.at_ms))
        return Forgettings(instants)

    async def close(self) -> None:
        """Disconnect. Doing it twice is harmless."""
        client, self._client = self._client, None
        if client is not None:
            with translated():
                await client.close()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncClient]:
        """After a failure the next one connects anew, and makes sure of the table, should it be gone."""
        try:
            if self._client is None:
                self._client = await connect(self._url)
                with translated():
                    await self._client.command(CREATE_SQL)
            with translated():
                yield self._client
        except Retry:
            with suppress(Retry):
                await self.close()
            raise
