"""Reconciling on its real parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from cohort_store.clocks import SystemClock
from cohort_store.kafka import clients
from cohort_store.ports import MembershipReader
from cohort_store.redis.wiring import connect_reader, connect_store
from cohort_store.registry import Registry
from cohort_store.settings import Settings
from processors.backfill.ports import SeedLog
from processors.backfill.wiring import archived_of, history_of
from processors.clickhouse.drift import DriftTable
from processors.clickhouse.history_source import source_of
from processors.clickhouse.past_side import PastEvents
from processors.kafka.delta_log import KafkaDeltaLog
from processors.kafka.settled import SettledSources
from processors.reconcile.checking import CheckingParts
from processors.reconcile.reconciling import ReconcilingParts
from processors.reconcile.repairing import RepairParts

PERSONS_MAX = 20_000
"""Who are compared at a time: both sides of so many are held in memory."""
PATIENCE_S = 60.0
"""How long the history may take to hold what the sources hold."""


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
    source = source_of(settings)
    history = PastEvents(history_of(settings), source, settings.shards)
    archived = archived_of(settings, source)
    patience_s = PATIENCE_S if source.is_archive else PATIENCE_S + settings.history.settle_ms / 1_000
    return ReconcilingParts(
        checking=CheckingParts(
            history=history,
            settled=SettledSources(
                settings.kafka, lambda: registry().partitions(), archived, SystemClock(), patience_s
            ),
            store=store,
            reader=reader,
            shards=settings.shards,
            slack_ms=settings.clock_slack_ms,
        ),
        repair=RepairParts(history, reader, deltas, settings.shards, settings.partitions),
        book=DriftTable(settings.clickhouse),
        part_persons=min(settings.backfill_part_persons, PERSONS_MAX),
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
