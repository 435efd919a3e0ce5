"""Shards that began anew are told again whom to keep away: they lost the tombstones with the records.

That goes into the topic before the history that they are filled with, which so adds nothing from before, and brings
back what is new of somebody forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cohort_store.deltas import Delta, Erasure
from cohort_store.ports import Position
from cohort_store.subjects import shard_of
from processors.backfill.ports import DeltaLog
from processors.forgetting.ports import Forgotten
from processors.router.packing import Packer


@dataclass(slots=True)
class Reminding:
    """What this process has told. To tell it again, as a process that takes over does, is harmless."""

    forgotten: Forgotten
    log: DeltaLog
    shards: int
    partitions: int
    _told: dict[int, int] = field(default_factory=dict)
    """Shard → when it began anew, as of the last telling."""

    async def remind(self, registry_version: int, positions: Mapping[int, Position]) -> None:
        """Tell the shards that say that they began anew, each once. Raises Retry; it is told again then."""
        began = {shard: position.warm_from_ms for shard, position in positions.items() if position.warm_from_ms}
        lacking = {shard for shard, began_ms in began.items() if self._told.get(shard) != began_ms}
        if lacking:
            packers: dict[Erasure, Packer] = {}
            for subject, erasure in await self.forgotten.rows():
                if shard_of(subject, self.shards) in lacking:
                    packer = packers.setdefault(erasure, Packer(self.shards, self.partitions))
                    packer.add(Delta(subject))
            for erasure, packer in packers.items():
                await self.log.send(packer.forgets(registry_version, erasure))
        self._told = began
