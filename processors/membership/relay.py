"""The relay: changes out of the shards' outboxes into `muster.membership-changes`, at least once and in order.

**Why a partition is claimed, and given up only when nothing of it is under way.** An owner that adopts a partition
compares what is published there with what the store holds, since a failover may have lost what was published. A
change that somebody read from the outbox before, and publishes after that look, would stand for ever: nobody would
compare it with anything. So whoever adopts a partition claims it first (what others have not published by then
never will be), and `forget` waits for what this relay itself is publishing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

from cohort_store.errors import Retry
from cohort_store.ports import MembershipStore, OutboxEntry

BATCH_MAX = 500
RETRY_S = 0.5
GATHER_S = 0.1
"""What comes while changes are carried leaves together after this: a transaction costs the same for one as for many."""

_log = logging.getLogger(__name__)


class Displaced(Retry):
    """Another publisher has claimed the partition, or this one's claim is worth nothing any more."""


class Publisher(Protocol):
    """Appends changes to partitions of muster.membership-changes."""

    async def claim(self, partition: int) -> None:
        """Be the one who publishes there: what others have not published yet is refused from here on.

        Does nothing where the broker knows no transactions; there, only one process publishes at a time.
        Raises Retry for a broken connection.
        """
        ...

    async def publish(self, partition: int, changes: Sequence[bytes]) -> int:
        """Return, when all are acknowledged, the offset behind the last.

        Raises Retry where that is not known, and Displaced where the partition must be claimed again first.
        """
        ...


class Relay:
    """Carries what waits, whenever it is told that something does. `waiting` counts what is not yet published."""

    def __init__(self, store: MembershipStore, publisher: Publisher, partitions: int) -> None:
        self._store = store
        self._publisher = publisher
        self._partitions = partitions
        self._wake = asyncio.Event()
        self._under_way: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tenures: defaultdict[int, int] = defaultdict(int)
        """Partition → how often it was forgotten: what was read before must not be published after."""
        self.waiting: dict[int, int] = {}
        self.published: dict[int, int] = {}
        """Partition → the offset behind the last change that this relay published there."""
        self.displaced: set[int] = set()
        """Partitions that must be adopted anew, since somebody else has claimed them."""

    def told(self, shard: int, count: int) -> None:
        """So many changes were put into a shard's outbox."""
        self.waiting[shard] = self.waiting.get(shard, 0) + count
        self._wake.set()

    async def forget(self, partition: int) -> None:
        """Publish nothing more of a partition; returns when nothing of it is under way any more."""
        self._tenures[partition] += 1
        for shard in [shard for shard in self.waiting if shard % self._partitions == partition]:
            del self.waiting[shard]
        self.published.pop(partition, None)
        self.displaced.discard(partition)
        async with self._under_way[partition]:
            pass

    async def claim(self, partition: int) -> None:
        """See `Publisher.claim`."""
        await self._publisher.claim(partition)

    async def look(self, shards: Sequence[int]) -> None:
        """Find out what already waits in shards that were just adopted."""
        sizes = await self._store.outbox_sizes(shards)
        self.waiting.update(sizes)
        self._wake.set()

    async def look_again(self, shards: Sequence[int]) -> None:
        """Find out what waits and was not told of: a failover may bring back what was published and dropped."""
        tenures = self._tenures.copy()
        for shard, size in (await self._store.outbox_sizes(shards)).items():
            partition = shard % self._partitions
            if size and not self.waiting.get(shard) and self._tenures[partition] == tenures[partition]:
                self.told(shard, size)

    async def run(self) -> None:
        """Carry until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                held = await self.carry()
            except Retry as error:
                _log.warning("relay: changes wait for another try: %s", error)
                held = True
            await asyncio.sleep(RETRY_S if held else GATHER_S)
            if held:
                self._wake.set()

    async def carry(self) -> bool:
        """Publish all that waits, then forget it. Return whether some has to wait, for replicas to acknowledge it."""
        while shards := [shard for shard, count in self.waiting.items() if count > 0]:
            tenures, told = self._tenures.copy(), dict(self.waiting)
            found = await self._store.outbox(shards, BATCH_MAX)
            by_partition: dict[int, list[tuple[int, list[OutboxEntry]]]] = {}
            for shard, entries in found.items():
                by_partition.setdefault(shard % self._partitions, []).append((shard, entries))
            carried = (self._carry(number, of_number, tenures) for number, of_number in by_partition.items())
            for failed in await asyncio.gather(*carried, return_exceptions=True):
                if failed is not None:
                    raise failed
            if await self._has_held(told, [shard for shard in shards if shard not in found]):
                return True
        return False

    async def _carry(
        self, partition: int, found: Sequence[tuple[int, list[OutboxEntry]]], tenures: defaultdict[int, int]
    ) -> None:
        async with self._under_way[partition]:
            if self._tenures[partition] != tenures[partition]:
                return
            changes = [entry.change for _, entries in found for entry in entries]
            try:
                behind = await self._publisher.publish(partition, changes)
            except Displaced:
                self._give_up(partition)
                raise
            await self._store.drop_outbox({shard: entries[-1].id for shard, entries in found})
            if self._tenures[partition] == tenures[partition]:
                self.published[partition] = max(behind, self.published.get(partition, 0))
                for shard, entries in found:
                    self.waiting[shard] = max(0, self.waiting.get(shard, 0) - len(entries))

    def _give_up(self, partition: int) -> None:
        self.displaced.add(partition)
        for shard in [shard for shard in self.waiting if shard % self._partitions == partition]:
            del self.waiting[shard]

    async def _has_held(self, told: dict[int, int], absent: Iterable[int]) -> bool:
        """Look at shards that gave nothing: what was told of them is gone, or is held until replicas have it."""
        asked = [shard for shard in absent if shard in self.waiting and self.waiting[shard] == told[shard]]
        sizes = await self._store.outbox_sizes(asked) if asked else {}
        for shard in asked:
            if sizes.get(shard, 0) == 0 and self.waiting.get(shard) == told[shard]:
                self.waiting.pop(shard, None)
        return any(sizes.values())
