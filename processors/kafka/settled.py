"""Whether the history holds what the sources hold: see ``processors.reconcile.ports.Settled``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from cohort_store.clocks import Clock
from cohort_store.errors import Retry
from cohort_store.kafka.ends import end_offsets
from processors.backfill.ports import Archived
from processors.router.progress import Source

LOOK_S = 0.25


class SettledSources:
    """`sources` tells the partitions that count, `archived` how much of them the history holds.

    The clock is the wall's, by which a table settles.
    """

    def __init__(
        self,
        bootstrap: str,
        sources: Callable[[], Iterable[tuple[str, int]]],
        archived: Archived,
        clock: Clock,
        patience_s: float,
    ) -> None:
        self._bootstrap = bootstrap
        self._sources = sources
        self._archived = archived
        self._clock = clock
        self._patience_s = patience_s

    async def settled(self) -> None:
        """Return once the history holds all that is in the sources now."""
        partitions = [TopicPartition(*source) for source in self._sources()]
        since_ms, give_up_at = self._clock.now_ms(), monotonic() + self._patience_s
        try:
            ends = await end_offsets(self._bootstrap, partitions)
        except (KafkaError, OSError, TimeoutError) as error:
            raise Retry(f"the ends of the sources cannot be looked up ({error!r})") from error
        wanted = {Source(*partition): offset for partition, offset in ends.items()}
        while waits_for := await self._archived.awaited(wanted, since_ms):
            if monotonic() > give_up_at:
                raise Retry(f"{self._patience_s:.0f} s were not enough, waiting for {waits_for}")
            await asyncio.sleep(LOOK_S)
