"""The router on its real parts."""

from __future__ import annotations

from contextlib import AsyncExitStack

from cohort_store.clocks import clock_from
from cohort_store.kafka import clients
from cohort_store.kafka.registry import RegistryFollower
from cohort_store.kafka.topics import ensure_topics, muster_topics
from cohort_store.redis.wiring import connect_reader
from cohort_store.settings import Settings
from processors.codecs.codec import codecs_of, pair_codecs_of, person_codecs_of
from processors.kafka.dead_letters import KafkaDeadLetters
from processors.kafka.event_source import KafkaEventSource
from processors.kafka.router_sink import KafkaDeltaSink
from processors.metrics import serve_metrics
from processors.process import run_until_signalled
from processors.router.worker import Router, RouterConfig, RouterParts

ROLE = "router"


def run(settings: Settings) -> None:
    """Route a share of the sources until SIGTERM or SIGINT."""
    run_until_signalled(lambda: serve(settings))


async def serve(settings: Settings) -> None:
    """Route a share of the sources until cancelled."""
    serve_metrics(settings.metrics_port)
    await ensure_topics(settings.kafka, muster_topics(settings.partitions), replication=settings.topic_replication)
    clock = clock_from(settings.clock)
    async with AsyncExitStack() as stack:
        persons = connect_reader(settings)
        stack.push_async_callback(persons.aclose)
        plans = RegistryFollower(settings.kafka, settings.shards)
        await plans.start()
        stack.push_async_callback(plans.stop)
        producer = clients.producer(settings.kafka)
        await producer.start()
        stack.push_async_callback(producer.stop)
        source = KafkaEventSource(settings, settings.sources, clock, ROLE)
        stack.push_async_callback(source.stop)
        await source.start()
        parts = RouterParts(
            source,
            KafkaDeltaSink(producer),
            KafkaDeadLetters(producer),
            plans,
            persons,
            codecs_of(settings),
            clock,
            person_codecs_of(settings),
            pair_codecs_of(settings),
        )
        await Router(parts, router_config(settings)).run()


def router_config(settings: Settings) -> RouterConfig:
    """What the router needs of the settings."""
    return RouterConfig(settings.shards, settings.partitions, settings.mark_interval_ms, settings.event_bytes_max)
