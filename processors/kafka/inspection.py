"""Looking at a broker's topics without changing anything."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cohort_store.errors import Retry

LOOK_S_MAX = 10.0
_REQUEST_TIMEOUT_MS = 5_000


@dataclass(frozen=True, slots=True)
class TopicSeen:
    """A topic as it is. `replicas` is that of the partition that has the fewest."""

    partitions: int
    replicas: int


@dataclass(frozen=True, slots=True)
class ClusterSeen:
    """The live brokers, and every topic by its name."""

    brokers: int
    topics: Mapping[str, TopicSeen]


async def look(bootstrap: str) -> ClusterSeen:
    """What there is. Raises Retry where no broker answers within LOOK_S_MAX."""
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=_REQUEST_TIMEOUT_MS)
    try:
        async with asyncio.timeout(LOOK_S_MAX):
            await admin.start()
            brokers = (await admin.describe_cluster())["brokers"]
            topics = await admin.describe_topics(await admin.list_topics())
    except (KafkaError, OSError, TimeoutError) as error:
        raise Retry(f"no broker answers at {bootstrap} ({error or 'no answer'})") from error
    finally:
        await admin.close()
    return ClusterSeen(len(brokers), {topic["topic"]: _seen(topic["partitions"]) for topic in topics})


def _seen(partitions: Sequence[Mapping[str, Any]]) -> TopicSeen:
    return TopicSeen(len(partitions), min((len(partition["replicas"]) for partition in partitions), default=0))
