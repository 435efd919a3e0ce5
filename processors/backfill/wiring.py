"""The history on its real parts: where it is read, and how it is known what it holds."""

from __future__ import annotations

from cohort_store.clocks import SystemClock
from cohort_store.kafka import clients
from cohort_store.settings import Settings
from processors.archive.wiring import ROLE as ARCHIVE
from processors.backfill.ports import Archived
from processors.clickhouse.history_coverage import HistoryCoverage
from processors.clickhouse.history_source import HistorySource, source_of
from processors.clickhouse.seed_history import SeedHistory
from processors.kafka.archived import ArchivedOffsets


def history_of(settings: Settings) -> SeedHistory:
    """The tables that the settings describe."""
    threads, memory_bytes = settings.backfill_threads, settings.backfill_memory_bytes
    rows_per_s = settings.backfill_rows_per_s
    return SeedHistory(settings.clickhouse, threads, memory_bytes, source_of(settings), rows_per_s=rows_per_s)


def archived_of(settings: Settings, source: HistorySource) -> Archived:
    """How much of the source topics those hold."""
    if source.is_archive:
        return ArchivedOffsets(settings.kafka, clients.group_of(settings, ARCHIVE), settings.event_sources)
    settle_ms = settings.history.settle_ms
    return HistoryCoverage(
        settings.clickhouse, source, settings.event_sources, settle_ms=settle_ms, clock=SystemClock()
    )


def knows_persons(settings: Settings) -> bool:
    """Whether those hold all that sets properties of persons: where a source of persons does, their states too."""
    return not settings.person_sources or bool(source_of(settings).states)


def has_all(settings: Settings) -> bool:
    """Whether those hold all that deltas are made from, once they hold the events that are waited for.

    Nobody waits for what sources of persons and of distinct ids tell; and of several sources of events some may go
    elsewhere than into a table that others feed.
    """
    events_alone = settings.event_sources == settings.sources
    return bool(settings.clickhouse) and events_alone and (source_of(settings).is_archive or len(settings.sources) == 1)
