"""The archive on its real parts."""

from __future__ import annotations

from contextlib import AsyncExitStack

from cohort_store.clocks import clock_from
from cohort_store.errors import Crash
from cohort_store.kafka import clients
from cohort_store.kafka.topics import ensure_topics, muster_topics
from cohort_store.settings import Settings
from processors.archive.worker import Archive, ArchiveParts
from processors.clickhouse.events import EventsTable
from processors.clickhouse.forgotten import ForgottenTable
from processors.codecs.codec import codecs_of
from processors.kafka.dead_letters import KafkaDeadLetters
from processors.kafka.event_source import KafkaEventSource
from processors.metrics import serve_metrics
from processors.process import run_until_signalled

ROLE = "archive"


def run(settings: Settings) -> None:
    """Archive a share of the sources until SIGTERM or SIGINT."""
    run_until_signalled(lambda: serve(settings))


async def serve(settings: Settings) -> None:
    """Archive a share of the sources until cancelled. Raises Crash where there is no ClickHouse to write to."""
    if not settings.clickhouse:
        raise Crash("there is no ClickHouse to archive to: set MUSTER_CLICKHOUSE, or do not run the archive")
    if not settings.event_sources:
        raise Crash("no source has events to archive: name one in MUSTER_SOURCES, or do not run the archive")
    serve_metrics(settings.metrics_port)
    await ensure_topics(settings.kafka, muster_topics(settings.partitions), replication=settings.topic_replication)
    clock = clock_from(settings.clock)
    async with AsyncExitStack() as stack:
        table, forgotten = EventsTable(settings.clickhouse), ForgottenTable(settings.clickhouse)
        stack.push_async_callback(table.close)
        stack.push_async_callback(forgotten.close)
        producer = clients.producer(settings.kafka)
        await producer.start()
        stack.push_async_callback(producer.stop)
        source = KafkaEventSource(settings, settings.event_sources, clock, ROLE)
        stack.push_async_callback(source.stop)
        await source.start()
        letters = KafkaDeadLetters(producer)
        await Archive(ArchiveParts(source, table, forgotten, letters, codecs_of(settings), clock)).run()
