"""How the clients of Muster's own processes ask about topics: two changes to aiokafka's client, which has no option for
either. A process that only uses Muster as a library is left as it is.

**They create none.** A broker that creates what it is asked about (Apache Kafka does unless it is told not to) gives it
partitions and settings of its own. Where Kafka lost all that it held, roles that went on asking would have it do so
before `topics.ensure_topics` comes, which then refuses them.

**They wait a little before they ask again**, as Kafka's own client does. aiokafka asks again at once as long as an
assigned partition has no leader or no longer exists: some thousand times a second, for a whole core.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from aiokafka import client
from aiokafka.protocol.metadata import MetadataRequest

BACKOFF_S = 0.1
"""Between two questions of one client."""

_AskOnce = Callable[..., Awaitable[bool]]
_asked_s: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
"""Client → when it asked last."""


def enable() -> None:
    """Let the clients of this process ask so. Doing it twice is harmless."""
    client.MetadataRequest = partial(MetadataRequest, allow_auto_topic_creation=False)
    ask = client.AIOKafkaClient._metadata_update  # noqa: SLF001 - the one place where it asks again by itself
    if not hasattr(ask, "__wrapped__"):
        client.AIOKafkaClient._metadata_update = _patiently(ask)  # noqa: SLF001


def _patiently(ask: _AskOnce) -> _AskOnce:
    @wraps(ask)
    async def asking(self: Any, *arguments: Any) -> bool:
        wait_s = _asked_s.get(self, -BACKOFF_S) + BACKOFF_S - monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        _asked_s[self] = monotonic()
        return await ask(self, *arguments)

    return asking
