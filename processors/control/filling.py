"""Filling static lists: their members' registers are sent to the shards, until every version that reads them has them.

A list is sent when a version that reads it is new, when this process has not sent it yet, and when a shard began anew
after its position was looked at for the last sending: it may have missed that. Who tells shards that they are whole
sends it by the positions that said that they were not (`FillingIn.fill`). Sending one again is harmless: the
writes are the same. A version that reads a list takes over only when every shard has folded what was sent of it, so no
reader sees a part of one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cohort_store.deltas import Delta
from cohort_store.kafka.topics import DELTAS
from cohort_store.ports import Position
from cohort_store.registry import Registry
from cohort_store.static_lists import TeamList, members_of, write_of
from cohort_store.subjects import PERSON, Subject
from processors.backfill.ports import DeltaLog
from processors.definition_changes import Values, list_chunks, lists_needed
from processors.router.packing import Packed, Packer

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Sent:
    """One sending of a list."""

    registry_version: int
    began: Mapping[int, int]
    """When each shard last began anew, as it was told before the sending."""
    behind: Mapping[int, int]


@dataclass(slots=True)
class Filling:
    """What this process has sent."""

    log: DeltaLog
    shards: int
    partitions: int
    _sent: dict[TeamList, _Sent] = field(default_factory=dict)

    async def fill(self, registry: Registry, values: Values, positions: Mapping[int, Position]) -> None:
        """Send every list that some shard may lack. Raises Retry; what was sent by then stays sent.

        `positions` must have been read just before: a list sent now reaches a shard as it was then, or later.
        """
        # One that has no position says when it has one: then it is sent again.
        began = {shard: position.warm_from_ms for shard, position in positions.items() if position.warm_from_ms}
        needed = lists_needed(registry)
        self._sent = {key: sent for key, sent in self._sent.items() if key in needed}
        for key, version in needed.items():
            sent = self._sent.get(key)
            if sent is None or sent.registry_version < version or sent.began != began:
                await self._send(key, registry.version, began, list_chunks(values, key))

    def unfolded(self, registry: Registry, positions: Mapping[int, Position]) -> frozenset[TeamList]:
        """The lists that some shard has not folded whole."""
        return frozenset(key for key in lists_needed(registry) if not self._is_folded(key, positions))

    def _is_folded(self, key: TeamList, positions: Mapping[int, Position]) -> bool:
        sent = self._sent.get(key)
        if sent is None or len(positions) < self.shards:
            return False
        return all(
            DELTAS in position.offsets and position.offsets[DELTAS].next >= sent.behind.get(shard % self.partitions, 0)
            for shard, position in positions.items()
            if shard % self.partitions in sent.behind
        )

    async def _send(
        self, key: TeamList, registry_version: int, began: Mapping[int, int], chunks: Sequence[bytes]
    ) -> None:
        if not chunks:
            return
        # In a thread: a hundred thousand ids take longer than a consumer group's heartbeat may wait.
        messages = await asyncio.to_thread(self._packed, key, registry_version, chunks)
        behind = await self.log.send(messages)
        self._sent[key] = _Sent(registry_version, began, behind)
        _log.info("control: sent list %s of team %d in %d messages", key.digest, key.team, len(messages))

    def _packed(self, key: TeamList, registry_version: int, chunks: Sequence[bytes]) -> list[Packed]:
        packer = Packer(self.shards, self.partitions)
        writes = (write_of(key.digest),)
        for member in members_of(chunks):
            packer.add(Delta(Subject(key.team, PERSON, member), (), writes))
        return packer.messages(registry_version)
