"""Where the owners of shards stand, for whoever sends them seeds and waits until those are folded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from time import monotonic
from typing import NamedTuple

from cohort_store.errors import Retry
from cohort_store.kafka.topics import DELTAS
from cohort_store.ports import MembershipReader, Position
from processors.backfill.ports import SeedLog

PRUNED_BEFORE_MS = 60_000
"""How long before the slowest shard's now seeds are pruned: more than a failover of the store loses."""
LOOK_S = 0.5
FOLDED_LOOK_S = 0.01
TOPIC_LOOK_S = 5.0
WITHIN_S = 60.0

Look = Callable[[], Awaitable[None]]
"""Called every LOOK_S, about, of a wait; what it raises ends the wait."""


class AnotherTopic(Retry):
    """The deltas' topic is another one than that which seeds were sent to."""


async def _nothing() -> None:
    """Looks at nothing."""


class Owners(NamedTuple):
    """All of an installation's."""

    reader: MembershipReader
    deltas: SeedLog
    shards: int
    partitions: int
    elapsed_s: Callable[[], float] = monotonic

    async def positions(self, look: Look = _nothing) -> dict[int, Position]:
        """Every shard's, once each has one."""
        while len(found := await self.reader.positions(range(self.shards))) < self.shards:
            await look()
            await asyncio.sleep(LOOK_S)
        return found

    async def pruned_ms(self, look: Look = _nothing) -> int:
        """An instant that every shard has passed."""
        return min(position.now_ms for position in (await self.positions(look)).values()) - PRUNED_BEFORE_MS

    async def until_folded(
        self, behind: Mapping[int, int], shards: Collection[int] | None = None, look: Look = _nothing
    ) -> None:
        """Wait until these shards (None: all) have folded what lies before those offsets of their partitions.

        Raises AnotherTopic where that cannot be.
        """
        asked = range(self.shards) if shards is None else shards
        waiting = {shard for shard in asked if shard % self.partitions in behind}
        look_at, topic_at = self.elapsed_s() + LOOK_S, self.elapsed_s() + TOPIC_LOOK_S
        while waiting:
            positions = await self.reader.positions(sorted(waiting))
            waiting -= {
                shard
                for shard, position in positions.items()
                if DELTAS in position.offsets and position.offsets[DELTAS].next >= behind[shard % self.partitions]
            }
            if waiting and self.elapsed_s() >= look_at:
                look_at = self.elapsed_s() + LOOK_S
                await look()
            if waiting and self.elapsed_s() >= topic_at:
                topic_at = self.elapsed_s() + TOPIC_LOOK_S
                if not await self.is_same_topic(behind):
                    raise AnotherTopic(f"{DELTAS} is another topic than the one that seeds were sent to")
            if waiting:
                await asyncio.sleep(FOLDED_LOOK_S)

    async def have_folded(self, behind: Mapping[int, int], shards: Collection[int], what: str) -> None:
        """The same for a command, which waits for WITHIN_S at most. Raises Retry, which names `what` was sent."""
        try:
            async with asyncio.timeout(WITHIN_S):
                await self.until_folded(behind, shards)
        except TimeoutError:
            raise Retry(
                f"{what} was not folded within {WITHIN_S:g} s: let muster membership run, then say it again"
            ) from None

    async def is_same_topic(self, behind: Mapping[int, int]) -> bool:
        """Whether the deltas go on at least to where seeds were sent: a broker that lost everything begins anew."""
        ends = await self.deltas.ends(behind)
        return all(ends[partition] >= offset for partition, offset in behind.items())
