"""Where a partition's shards go on from, once their positions and the topic's bounds are known. Pure.

The position in the store decides, not the consumer group's offset: after a failover that lost the last
seconds it is the older one, and the same deltas are read again. A position outside of the topic's bounds,
or a last message with another id, means another topic (or an expired one): the shards keep their records,
start at the topic's beginning, and say from when on they are warm.

Shards that lost their positions do the same; but where the history is filled in again, they start at the topic's end.
What is before is in the history by the time that is read: it is waited for until it holds all that the sources held
after they began anew (`processors.kafka.activation`). A topic keeps its messages for days, which take days to read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cohort_store.errors import Crash
from cohort_store.ports import Offset, Position
from processors.membership.shards import Shard

UNREADABLE_ID = b""
"""Stands for the id of a message that could not be read."""


class Bounds(NamedTuple):
    """A partition of the log: the first offset that it holds, and the one behind its last."""

    beginning: int
    end: int


class Resumed(NamedTuple):
    """The shards, and the offset to read from."""

    shards: dict[int, Shard]
    next_offset: int
    another_topic: bool


def last_folded(topic: str, positions: Mapping[int, Position]) -> Offset | None:
    """The furthest offset of any of the shards: the one whose message is compared with the log."""
    offsets = [position.offsets[topic] for position in positions.values() if topic in position.offsets]
    return max(offsets, default=None)


def is_same_topic(furthest: Offset | None, bounds: Bounds, id_there: bytes | None) -> bool:
    """Whether a position belongs to the log as it is. `id_there`: of the message before it, None if there is none."""
    if furthest is None:
        return True
    if not bounds.beginning <= furthest.next <= bounds.end:
        return False
    return furthest.next == bounds.beginning or id_there == furthest.last_id


def resume(
    numbers: Iterable[int],
    topic: str,
    positions: Mapping[int, Position],
    bounds: Bounds,
    fresh: Position,
    *,
    same: bool,
    is_new: bool = False,
) -> Resumed:
    """Shards ready to go on. `fresh` is the position of a shard without one; its `warm_from_ms` is now.

    `is_new`: nothing is defined yet, so a shard without a position never had one, and lacks nothing where the topic has
    its beginning. Else its position was lost, and the topic may be younger than what is defined.

    Raises Crash for positions that were made with another number of partitions.
    """
    shards: dict[int, Shard] = {}
    for number in numbers:
        position = positions.get(number)
        if position is None:
            warm_from_ms = 0 if is_new and not bounds.beginning else fresh.warm_from_ms
            shards[number] = Shard(number, fresh._replace(warm_from_ms=warm_from_ms), known=False, next_due_ms=None)
            continue
        _check_partitions(number, position, fresh)
        offset = position.offsets.get(topic)
        if not same or (offset is not None and offset.next < bounds.beginning):
            offsets = {**position.offsets, topic: Offset(bounds.beginning, b"")}
            position = position._replace(offsets=offsets, warm_from_ms=fresh.warm_from_ms)
        shards[number] = Shard(number, position, known=True)
    offsets_next = (_next(shard.position, topic, bounds) for shard in shards.values())
    return Resumed(shards, min(offsets_next, default=bounds.beginning), not same)


def _next(position: Position, topic: str, bounds: Bounds) -> int:
    offset = position.offsets.get(topic)
    return bounds.beginning if offset is None else offset.next


def _check_partitions(number: int, position: Position, fresh: Position) -> None:
    if position.partitions != fresh.partitions:
        raise Crash(
            f"shard {number} was written with {position.partitions} partitions of the deltas topic, which now has "
            f"{fresh.partitions}; stop all but membership, let it fold to the end of every partition, stop it, delete "
            f"the positions, create the topics with the new number, and start again"
        )
