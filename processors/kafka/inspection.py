"""Looking at a broker's topics without changing anything."""

from __future__ import annotations

import asyncio

from cohort_store.errors import Retry

LOOK_S_MAX = 10.0
_REQUEST_TIMEOUT_MS = 5_000


async def partition_counts(bootstrap: str) -> dict[str, int]:
    """Every topic with its number of partitions. Raises Retry where no broker answers within LOOK_S_MAX."""
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=_REQUEST_TIMEOUT_MS)
    try:
        async with asyncio.timeout(LOOK_S_MAX):
            await admin.start()
            topics = await admin.describe_topics(await admin.list_topics())
    except (KafkaError, OSError, TimeoutError) as error:
        raise Retry(f"no broker answers at {bootstrap} ({error or 'no answer'})") from error
    finally:
        await admin.close()
    return {topic["topic"]: len(topic["partitions"]) for topic in topics}
