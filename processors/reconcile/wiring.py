"""Reconciling on its real parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from cohort_store.ports import MembershipReader
from cohort_store.redis.wiring import connect_reader, connect_store
from cohort_store.registry import Registry
from cohort_store.settings import Settings
from processors.archive.wiring import ROLE as ARCHIVE
from processors.backfill.ports import SeedLog
from processors.clickhouse.drift import DriftTable
from processors.clickhouse.past_side import PastEvents
from processors.clickhouse.seed_history import SeedHistory
from processors.kafka import clients
from processors.kafka.archived import ArchivedOffsets
from processors.kafka.delta_log import KafkaDeltaLog
from processors.kafka.settled import SettledSources
from processors.reconcile.checking import CheckingParts
from processors.reconcile.reconciling import ReconcilingParts
from processors.reconcile.repairing import RepairParts


async def connected_parts(
    settings: Settings,
    stack: AsyncExitStack,
    registry: Callable[[], Registry],
    deltas: SeedLog,
    reader: MembershipReader,
) -> ReconcilingParts:
    """What reconciling is made of; what it opens itself is closed with the stack."""
    store = connect_store(settings)
    stack.push_async_callback(store.aclose)
    history = PastEvents(
        SeedHistory(settings.clickhouse, settings.backfill_threads, settings.backfill_memory_bytes), settings.shards
    )
    archived = ArchivedOffsets(settings.kafka, clients.group_of(settings, ARCHIVE), settings.event_sources)
    return ReconcilingParts(
        checking=CheckingParts(
            history=history,
            settled=SettledSources(settings.kafka, lambda: registry().partitions(), archived),
            store=store,
            reader=reader,
            shards=settings.shards,
            slack_ms=settings.clock_slack_ms,
        ),
        repair=RepairParts(history, reader, deltas, settings.shards, settings.partitions),
        book=DriftTable(settings.clickhouse),
        part_persons=settings.backfill_part_persons,
    )


@asynccontextmanager
async def opened_parts(settings: Settings, registry: Registry) -> AsyncIterator[ReconcilingParts]:
    """The same with connections of its own, for as long as a command takes."""
    async with AsyncExitStack() as stack:
        reader = connect_reader(settings)
        stack.push_async_callback(reader.aclose)
        producer = clients.producer(settings.kafka)
        await producer.start()
        stack.push_async_callback(producer.stop)
        deltas = KafkaDeltaLog(settings.kafka, producer)
        yield await connected_parts(settings, stack, lambda: registry, deltas, reader)
