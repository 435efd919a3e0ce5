"""Paging through the list of a version's members: shard by shard, bucket by bucket, within a bucket by value.

Buckets only ever split, and what leaves a bucket goes to a later one: so a walk in this order misses nobody
who stays, and repeats only who is moved while it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

from cohort_store.ports import MembersPage
from cohort_store.redis.keys import Layout, unpack_member
from cohort_store.redis.link import Call, Link, pack

SHARDS_AT_ONCE = 256
BUCKETS_AT_ONCE = 256
ROUNDS_MAX = 8
"""After so many exchanges a page ends, however short it is."""


class Place(NamedTuple):
    """How far a walk has come: in this bucket of this shard, everything up to this member is told."""

    shard: int = 0
    bucket: int = 0
    member: bytes = b""

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """The inverse of `str()`. Raises ValueError for anything else."""
        try:
            shard, bucket, member = cursor.split(".")
            place = cls(int(shard), int(bucket), bytes.fromhex(member))
        except ValueError:
            place = cls(-1)
        if min(place.shard, place.bucket) < 0:
            raise ValueError(f"cursor {cursor!r} is not one that a page ended with: start without one")
        return place

    def __str__(self) -> str:
        return f"{self.shard}.{self.bucket}.{self.member.hex()}"


class Listing(NamedTuple):
    """What is walked through."""

    handle: int
    shards: int


async def read_page(link: Link, layout: Layout, listing: Listing, place: Place, limit: int) -> MembersPage:
    """At most `limit` members behind `place`."""
    told: list[bytes] = []
    for _ in range(ROUNDS_MAX):
        if place.shard >= listing.shards:
            return _page(told, None)
        buckets, behind = await _next_buckets(link, layout, listing, place, limit - len(told))
        for at, members in await _read_buckets(link, layout, listing.handle, buckets):
            fresh = sorted(member for member in members if at > place[:2] or member > place.member)
            room = limit - len(told)
            told += fresh[:room]
            if len(fresh) >= room:
                return _page(told, Place(*at, told[-1]))
        place = behind
    return _page(told, place if place.shard < listing.shards else None)


async def _next_buckets(
    link: Link, layout: Layout, listing: Listing, place: Place, room: int
) -> tuple[list[tuple[int, int]], Place]:
    """Buckets from `place` on that should fill the room, and the place behind them."""
    shards = range(place.shard, min(place.shard + SHARDS_AT_ONCE, listing.shards))
    fields = (b"%d" % listing.handle, b"b%d" % listing.handle)
    calls = [Call(layout[shard].prefix, pack(b"HMGET", layout[shard].counts, *fields)) for shard in shards]
    chosen: list[tuple[int, int]] = []
    expected = 0.0
    for shard, (count, split) in zip(shards, await link.run(calls), strict=True):
        buckets = int(split or 0)
        for bucket in range(place.bucket if shard == place.shard else 0, buckets):
            if expected > room or len(chosen) == BUCKETS_AT_ONCE:
                return chosen, Place(shard, bucket)
            chosen.append((shard, bucket))
            expected += int(count or 0) / buckets
    return chosen, Place(shards.stop)


async def _read_buckets(
    link: Link, layout: Layout, handle: int, buckets: Sequence[tuple[int, int]]
) -> list[tuple[tuple[int, int], list[bytes]]]:
    calls = [
        Call(layout[shard].prefix, pack(b"SMEMBERS", layout[shard].bucket(handle, bucket))) for shard, bucket in buckets
    ]
    return list(zip(buckets, await link.run(calls), strict=True))


def _page(told: Sequence[bytes], place: Place | None) -> MembersPage:
    return MembersPage(tuple(map(unpack_member, told)), str(place) if place else None)
