"""Which partitions the source topics have."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from cohort_store.kafka.topics import BrokerUnreachable

DEADLINE_S = 10.0


async def partitions_of(bootstrap: str, topics: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The partitions of those topics that exist, in order. Never creates one. Raises Retry (BrokerUnreachable)."""
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await admin.start()
            existing = set(await admin.list_topics())
            wanted = [topic for topic in topics if topic in existing]
            described = await admin.describe_topics(wanted) if wanted else []
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerUnreachable(f"{bootstrap} does not say which partitions there are ({error!r})") from error
    finally:
        await admin.close()
    return {
        topic["topic"]: tuple(sorted(partition["partition"] for partition in topic["partitions"]))
        for topic in described
        if not topic["error_code"] and topic["partitions"]
    }
