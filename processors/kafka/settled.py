"""Whether the archive has written what the sources hold: see ``processors.reconcile.ports.Settled``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from cohort_store.errors import Retry
from processors.backfill.ports import Archived
from processors.kafka.ends import end_offsets
from processors.router.progress import Source

LOOK_S = 0.25
LOOKS_MAX = 240


class SettledSources:
    """`sources` tells the partitions that count, `archived` how much of them the history holds."""

    def __init__(self, bootstrap: str, sources: Callable[[], Iterable[tuple[str, int]]], archived: Archived) -> None:
        self._bootstrap = bootstrap
        self._sources = sources
        self._archived = archived

    async def settled(self) -> None:
        """Return once the history holds all that is in the sources now."""
        partitions = [TopicPartition(*source) for source in self._sources()]
        try:
            ends = await end_offsets(self._bootstrap, partitions)
        except (KafkaError, OSError, TimeoutError) as error:
            raise Retry(f"the ends of the sources cannot be looked up ({error!r})") from error
        wanted = {Source(*partition): offset for partition, offset in ends.items()}
        looks = 0
        while missing := await self._archived.missing(wanted):
            if (looks := looks + 1) > LOOKS_MAX:
                source, count = max(missing.items(), key=lambda each: each[1])
                raise Retry(f"the archive of {source.topic}/{source.partition} is {count} messages behind: start it")
            await asyncio.sleep(LOOK_S)
