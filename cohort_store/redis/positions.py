"""Reading positions, for owners and readers alike."""

from __future__ import annotations

from collections.abc import Sequence

from cohort_store.ports import Position
from cohort_store.redis.keys import Layout, unpack_position
from cohort_store.redis.link import Call, Link, pack


async def read_positions(link: Link, layout: Layout, shards: Sequence[int]) -> dict[int, Position]:
    """The positions of those shards that have one, in one exchange."""
    calls = [Call(layout[shard].prefix, pack(b"HGETALL", layout[shard].pos)) for shard in shards]
    read = zip(shards, map(unpack_position, await link.run(calls)), strict=True)
    return {shard: position for shard, position in read if position is not None}
