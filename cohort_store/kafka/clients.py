"""How Muster opens Kafka clients: every option that matters, decided once.

Producers wait for all replicas and do without idempotence: the embedded broker has none, and each message of
Muster may be delivered twice, or out of order behind a retry, without harm. Consumers never commit by
themselves, and see only committed transactions. A fetch waits briefly at the broker, since look-ups of
offsets queue behind it on the same connection, and the embedded broker notices new messages late in a long wait.
In Muster's own processes clients ask about topics as ``metadata.py`` says.
"""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from cohort_store.kafka import fetching
from cohort_store.settings import Settings

FETCH_WAIT_MS = 20
TAIL_WAIT_MS = 50
PARTITION_FETCH_BYTES_MAX = 1_048_576
"""Of one partition in one fetch; a longer message still comes, alone."""
BATCH_BYTES_MAX = 262_144
"""Of a producer: what waits for one partition leaves together."""
REQUEST_BYTES_MAX = 64 * 1024 * 1024
"""So that whatever could be read can be written to the dead-letter topic."""
HEARTBEATS_A_SESSION = 5
TRANSACTION_TIMEOUT_MS = 15_000
"""How long a producer that died in a transaction may keep consumers waiting, where nobody takes its place."""


def producer(bootstrap: str) -> AIOKafkaProducer:
    """A producer, not started. What it has acknowledged is on all in-sync replicas."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=False,
        max_batch_size=BATCH_BYTES_MAX,
        max_request_size=REQUEST_BYTES_MAX,
    )


def transactional_producer(bootstrap: str, transactional_id: str) -> AIOKafkaProducer:
    """A producer, not started; starting it shuts every other one of that id out. UnknownError: there are none here."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        max_batch_size=BATCH_BYTES_MAX,
        transactional_id=transactional_id,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
    )


def partition_consumer(
    bootstrap: str, *, wait_ms: int = FETCH_WAIT_MS, isolation: str = "read_committed"
) -> AIOKafkaConsumer:
    """A consumer without a group, not started; its caller assigns and seeks. A bad position raises, never jumps."""
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level=isolation,
        fetch_max_wait_ms=wait_ms,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES_MAX,
    )


def group_consumer(settings: Settings, role: str) -> AIOKafkaConsumer:
    """A member of the role's group, not started and not subscribed; a group without offsets starts at the beginning.

    Session and rebalance time-outs are the same short one: a join waits about half of it on the embedded broker.
    It fetches as `fetching` says.
    """
    fetching.enable()
    session_ms = settings.session_timeout_ms
    return AIOKafkaConsumer(
        bootstrap_servers=settings.kafka,
        group_id=group_of(settings, role),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        session_timeout_ms=session_ms,
        rebalance_timeout_ms=session_ms,
        heartbeat_interval_ms=max(session_ms // HEARTBEATS_A_SESSION, 100),
        fetch_max_wait_ms=FETCH_WAIT_MS,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES_MAX,
        key_deserializer=fetching.as_parsed,
    )


def group_of(settings: Settings, role: str) -> str:
    """The name of the role's consumer group."""
    return f"{settings.group_prefix}-{role}"


async def stop(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer, started or not.

    aiokafka awaits the fetches that it cancels there, and one that was about to be tried again lets its
    CancelledError through. Whoever stops the consumer has not been cancelled, and must not take it for that.
    """
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        await consumer._client.close()  # noqa: SLF001 - what aiokafka's stop did not come to any more
