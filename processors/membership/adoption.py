"""What has to be known of partitions before they are adopted, and whether what is owned is still the same topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from cohort_store.changes import Change, decode_change
from cohort_store.ports import MembershipStore, Offset, Position
from processors.membership.concurrency import together
from processors.membership.owner import Owner
from processors.membership.partition import DELTAS
from processors.membership.resume import Bounds, Resumed, is_same_topic, last_folded, resume


class Log(Protocol):
    """Looking back into the log; see processors.kafka.membership_log."""

    async def bounds(self, partitions: Sequence[int]) -> dict[int, Bounds]:
        """The bounds of partitions of muster.deltas."""
        ...

    async def message_ids(self, offsets: Mapping[int, int]) -> dict[int, bytes | None]:
        """The id of the message at each partition's offset, which lies within the partition's bounds.

        UNREADABLE_ID where it is none of ours, None where there is nothing at that very offset.
        """
        ...

    async def changes(self, partition: int, offset: int) -> tuple[list[Change], int]:
        """The changes published from an offset on, the last of each (cohort, subject), and the offset behind all."""
        ...


class Standing(NamedTuple):
    """Where a partition stands: its shards, the changes that may have been lost, and the offset behind those."""

    resumed: Resumed
    changes: list[Change]
    changes_offset: int
    waiting: Mapping[int, int]
    """By shard, the number of the newest change that is not published yet, where there is one."""


async def look_up(store: MembershipStore, log: Log, owner: Owner, partitions: Sequence[int]) -> dict[int, Standing]:
    """Everything that adopting these partitions needs. Their changes must have been claimed before."""
    shards = {number: owner.shards_of(number) for number in partitions}
    held = await store.positions([shard for of_partition in shards.values() for shard in of_partition])
    positions = {number: {s: held[s] for s in of_number if s in held} for number, of_number in shards.items()}
    furthest = {number: last_folded(DELTAS, of_number) for number, of_number in positions.items()}
    bounds, same = await same_topics(log, furthest)
    is_new = not any(team.cohorts for team in owner.plan.teams.values())
    lost = [number for number, of_number in shards.items() if len(positions[number]) < len(of_number)]
    begin_at = await _ends(log, {number: bounds[number] for number in lost}) if owner.is_refilled() else {}
    resumed = {
        number: resume(
            shards[number],
            DELTAS,
            positions[number],
            bounds[number],
            _begun_at(owner.fresh_position(number), begin_at.get(number)),
            same=same[number],
            is_new=is_new,
        )
        for number in partitions
    }
    waiting = await store.newest_changes([shard for of_partition in shards.values() for shard in of_partition])
    starts = [_changes_start(positions[number], len(shards[number])) for number in partitions]
    changes = await together(log.changes(number, start) for number, start in zip(partitions, starts, strict=True))
    numbers = {shard: decode_change(raw).sequence for shard, raw in waiting.items()}
    return {
        number: Standing(resumed[number], *found, {s: numbers[s] for s in shards[number] if s in numbers})
        for number, found in zip(partitions, changes, strict=True)
    }


async def same_topics(log: Log, furthest: Mapping[int, Offset | None]) -> tuple[dict[int, Bounds], dict[int, bool]]:
    """The partitions' bounds, and whether the offsets belong to the topic as it is.

    The bounds are looked up after the offsets: those of another owner, who goes on meanwhile, must not lie behind an
    end that was looked up before.
    """
    bounds = await log.bounds(list(furthest))
    inside = {
        number: offset.next - 1
        for number, offset in furthest.items()
        if offset is not None and bounds[number].beginning < offset.next <= bounds[number].end
    }
    ids = await log.message_ids(inside) if inside else {}
    return bounds, {
        number: is_same_topic(offset, bounds[number], ids.get(number)) for number, offset in furthest.items()
    }


def _begun_at(fresh: Position, offset: Offset | None) -> Position:
    return fresh if offset is None else fresh._replace(offsets={DELTAS: offset})


async def _ends(log: Log, bounds: Mapping[int, Bounds]) -> dict[int, Offset]:
    """The end of each partition, with the message before it; those are left out of which there is none."""
    last = {number: found.end - 1 for number, found in bounds.items() if found.end > found.beginning}
    ids = await log.message_ids(last) if last else {}
    return {number: Offset(last[number] + 1, last_id) for number, last_id in ids.items() if last_id is not None}


def _changes_start(positions: Mapping[int, Position], shards: int) -> int:
    """From where on changes may have been lost: a shard whose position is gone may have told anything that is there."""
    return min(position.changes_offset for position in positions.values()) if len(positions) == shards else 0
