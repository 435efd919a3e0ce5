"""Whether a table that others feed holds all that was produced before live events count.

Where it has the columns `_topic`, `_partition` and `_offset`, its rows tell: messages of a partition come into it in
their order, so the one with the last offset, or a later one, says that those before are there. Where it has not, a
time is waited that the operator names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from time import monotonic

from cohort_store.clickhouse.client import connected
from cohort_store.clocks import Clock
from cohort_store.durations import format_duration, format_instant
from processors.backfill.ports import farthest_behind
from processors.clickhouse.history_source import HistorySource
from processors.clickhouse.translation import literals
from processors.router.progress import Source

ANSWER_TIMEOUT_S = 3_600
RESTS = 9
"""How many times as long as a look at the table took it is left alone then."""
_PLACES = ("_topic", "_partition", "_offset")


class HistoryCoverage:
    """See ``processors.backfill.ports.Archived``. Of `topics` alone: others hold no events, so none is missing.

    The clock is the wall's, since what feeds the table knows no other.
    """

    def __init__(
        self, url: str, source: HistorySource, topics: Collection[str], *, settle_ms: int, clock: Clock
    ) -> None:
        self._url = url
        self._table = source.table
        self._topics = frozenset(topics)
        self._settle_ms = settle_ms
        self._clock = clock
        self._rests_until = 0.0

    async def awaited(self, activations: Mapping[Source, int], since_ms: int) -> str:
        """See the port."""
        wanted = {source: offset for source, offset in activations.items() if source.topic in self._topics and offset}
        if not wanted:
            return ""
        await asyncio.sleep(self._rests_until - monotonic())
        began = monotonic()
        async with connected(self._url, ANSWER_TIMEOUT_S) as client:
            if not await client.command(self._knows_places()):
                return self._settling(since_ms)
            rows = (await client.query(self._ends(wanted))).result_rows
        self._rests_until = monotonic() + RESTS * (monotonic() - began)
        found = {Source(topic, int(partition)): int(end) for topic, partition, end in rows}
        missing = {source: offset - found.get(source, 0) for source, offset in wanted.items()}
        behind = {source: count for source, count in missing.items() if count > 0}
        return farthest_behind(behind, f"ClickHouse's table {self._table.name}: its rows")

    def _settling(self, since_ms: int) -> str:
        until_ms = since_ms + self._settle_ms
        if self._clock.now_ms() >= until_ms:
            return ""
        settle = format_duration(self._settle_ms)
        return (
            f"ClickHouse's table {self._table.name} to settle (history.settle, {settle}) at {format_instant(until_ms)}"
        )

    def _knows_places(self) -> str:
        columns = f"system.columns WHERE {self._table.where} AND name IN {literals.texts(_PLACES)}"
        return f"SELECT count() = {len(_PLACES)} FROM {columns}"  # noqa: S608 - parts of ours

    def _ends(self, wanted: Collection[Source]) -> str:
        topics = literals.texts(source.topic for source in wanted)
        return (
            "SELECT toString(_topic) AS topic, _partition, max(_offset) + 1 "  # noqa: S608 - parts of ours
            f"FROM {self._table.sql} WHERE _topic IN {topics} GROUP BY topic, _partition"
        )
