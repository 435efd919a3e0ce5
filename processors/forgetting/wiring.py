"""Forgetting on its real parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from cohort_store.clocks import SystemClock
from cohort_store.kafka import clients
from cohort_store.redis.wiring import connect_hash_keys, connect_reader
from cohort_store.registry import Registry
from cohort_store.settings import Settings
from processors.archive.wiring import ROLE as ARCHIVE
from processors.clickhouse.erasing import ErasingPast
from processors.forgetting.erasing import ErasingParts
from processors.kafka.archived import ArchivedOffsets
from processors.kafka.delta_log import KafkaDeltaLog
from processors.kafka.settled import SettledSources

PATIENCE_S = 60.0
"""How long the archive may take to write what is in the sources."""


@asynccontextmanager
async def opened_parts(settings: Settings, registry: Registry) -> AsyncIterator[ErasingParts]:
    """What an erasure is made of, for as long as a command takes."""
    async with AsyncExitStack() as stack:
        reader = connect_reader(settings)
        stack.push_async_callback(reader.aclose)
        hash_keys = connect_hash_keys(settings)
        stack.push_async_callback(hash_keys.aclose)
        producer = clients.producer(settings.kafka)
        await producer.start()
        stack.push_async_callback(producer.stop)
        archived = ArchivedOffsets(settings.kafka, clients.group_of(settings, ARCHIVE), settings.event_sources)
        yield ErasingParts(
            reader=reader,
            deltas=KafkaDeltaLog(settings.kafka, producer),
            past=ErasingPast(settings.clickhouse) if settings.clickhouse else None,
            settled=SettledSources(settings.kafka, registry.partitions, archived, SystemClock(), PATIENCE_S),
            shards=settings.shards,
            partitions=settings.partitions,
            hash_keys=hash_keys,
        )
