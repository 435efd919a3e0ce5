"""Membership on its real parts."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from cohort_store.clocks import clock_from
from cohort_store.kafka import clients
from cohort_store.kafka.registry import RegistryFollower
from cohort_store.kafka.topics import ensure_topics, muster_topics
from cohort_store.redis.wiring import connect_store
from cohort_store.settings import Settings
from processors.backfill.wiring import has_all
from processors.kafka.change_publisher import ChangePublisher
from processors.kafka.dead_letters import KafkaDeadLetters
from processors.kafka.membership_consumer import DeltasConsumer
from processors.kafka.membership_log import MembershipLog
from processors.membership.owner import HEARTBEAT_MS, Owner, OwnerConfig
from processors.membership.relay import Relay
from processors.membership.worker import Parts, Worker
from processors.metrics import serve_metrics
from processors.process import run_until_signalled


def run(settings: Settings) -> None:
    """Own a share of the shards until SIGTERM or SIGINT."""
    run_until_signalled(lambda: serve(settings))


async def serve(settings: Settings) -> None:
    """Own a share of the shards until cancelled."""
    serve_metrics(settings.metrics_port)
    await ensure_topics(settings.kafka, muster_topics(settings.partitions), replication=settings.topic_replication)
    async with AsyncExitStack() as stack:
        store = connect_store(settings)
        stack.push_async_callback(store.aclose)
        await store.check()
        plans = RegistryFollower(settings.kafka, settings.shards)
        await plans.start()
        stack.push_async_callback(plans.stop)
        producer = clients.producer(settings.kafka)
        await producer.start()
        stack.push_async_callback(producer.stop)
        publisher = ChangePublisher(settings.kafka, settings.group_prefix, producer)
        stack.push_async_callback(publisher.stop)
        deltas = DeltasConsumer(settings)
        worker = Worker(
            Parts(
                store=store,
                owner=Owner(store, clock_from(settings.clock), elapsed_ms, owner_config(settings)),
                relay=Relay(store, publisher, settings.partitions),
                deltas=deltas,
                log=MembershipLog(settings.kafka),
                plans=plans,
                dead_letters=KafkaDeadLetters(producer),
                outbox_max=settings.outbox_max,
            )
        )
        await deltas.start(worker)
        stack.push_async_callback(deltas.stop)
        await worker.run()


def owner_config(settings: Settings) -> OwnerConfig:
    """What the owner needs of the settings."""
    return OwnerConfig(
        settings.shards,
        settings.partitions,
        settings.clock_slack_ms,
        settings.max_hold_ms,
        settings.records_cached_max,
        # Where marks come more often than that, positions keep up with them.
        min(HEARTBEAT_MS, settings.mark_interval_ms),
        has_history=has_all(settings),
    )


def elapsed_ms() -> int:
    """A monotonic clock: how long something has been silent, whatever the wall clock or stepped time say."""
    return time.monotonic_ns() // 1_000_000
