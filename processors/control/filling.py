"""Filling static lists: their members' registers are sent to the shards, until every version that reads them has them.

A list is sent when a version that reads it is new, when this process has not sent it yet, and when a shard says that it
may have missed something since. Sending one again is harmless: the writes are the same. A version that reads a list
takes over only when every shard has folded what was sent of it, so no reader sees a part of one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cohort_store.clocks import Clock
from cohort_store.deltas import Delta
from cohort_store.ports import Position
from cohort_store.registry import Registry
from cohort_store.static_lists import TeamList, members_of, write_of
from cohort_store.subjects import PERSON, Subject
from processors.definition_changes import Values, list_chunks, lists_needed
from processors.kafka.topics import DELTAS
from processors.router.packing import Packed, Packer

CLOCKS_APART_MS = 30_000
"""How far the clocks of control and of a shard's owner may differ: so long after a shard began anew, more is sent."""

_log = logging.getLogger(__name__)


class DeltaLog(Protocol):
    """The deltas' topic, for one who wants to know where they stand in it."""

    async def send(self, messages: Sequence[Packed]) -> dict[int, int]:
        """By partition, the offset behind the messages, once all are acknowledged. Raises Retry where not all are."""
        ...


@dataclass(frozen=True, slots=True)
class _Sent:
    """One sending of a list."""

    registry_version: int
    at_ms: int
    behind: Mapping[int, int]


@dataclass(slots=True)
class Filling:
    """What this process has sent."""

    log: DeltaLog
    clock: Clock
    shards: int
    partitions: int
    _sent: dict[TeamList, _Sent] = field(default_factory=dict)

    async def fill(self, registry: Registry, values: Values, positions: Iterable[Position]) -> None:
        """Send every list that some shard may lack. Raises Retry; what was sent by then stays sent."""
        missed_ms = max((position.warm_from_ms for position in positions), default=0) or -CLOCKS_APART_MS
        needed = lists_needed(registry)
        self._sent = {key: sent for key, sent in self._sent.items() if key in needed}
        for key, version in needed.items():
            sent = self._sent.get(key)
            if sent is None or sent.registry_version < version or sent.at_ms < missed_ms + CLOCKS_APART_MS:
                await self._send(key, registry.version, list_chunks(values, key))

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

    async def _send(self, key: TeamList, registry_version: int, chunks: Sequence[bytes]) -> None:
        if not chunks:
            return
        at_ms = self.clock.now_ms()
        # In a thread: a hundred thousand ids take longer than a consumer group's heartbeat may wait.
        messages = await asyncio.to_thread(self._packed, key, registry_version, chunks)
        behind = await self.log.send(messages)
        self._sent[key] = _Sent(registry_version, at_ms, behind)
        _log.info("control: sent list %s of team %d in %d messages", key.digest, key.team, len(messages))

    def _packed(self, key: TeamList, registry_version: int, chunks: Sequence[bytes]) -> list[Packed]:
        packer = Packer(self.shards, self.partitions)
        writes = (write_of(key.digest),)
        for member in members_of(chunks):
            packer.add(Delta(Subject(key.team, PERSON, member), (), writes))
        return packer.messages(registry_version)
