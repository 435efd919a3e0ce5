"""The read side in Redis. Every method is one exchange, but for `members`, which is a few."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from cohort_store.ports import PAGE_MAX, Looked, Membership, MembersPage, Position
from cohort_store.redis.keys import Layout, ShardKeys, unpack_person
from cohort_store.redis.link import Call, Link, pack
from cohort_store.redis.listing import Listing, Place, read_page
from cohort_store.redis.positions import read_positions
from cohort_store.subjects import DISTINCT_ID, Subject, shard_of

_STANDING = (b"ready", b"now_ms", b"stale", b"warm_from_ms", b"readers_from")


class RedisMembershipReader:
    """See MembershipReader."""

    def __init__(self, link: Link, prefix: str, shards: int) -> None:
        self._link = link
        self._layout = Layout(prefix)
        self._shards = shards
        self._standing: dict[int, Call] = {}
        """The same command each time, packed once a shard."""

    async def persons(self, distinct_ids: Sequence[tuple[int, str]]) -> list[str | None]:
        persons, _ = await self.look_up(distinct_ids, ())
        return persons

    async def memberships(self, subjects: Sequence[Subject]) -> list[Membership]:
        _, memberships = await self.look_up((), subjects)
        return memberships

    async def look_up(
        self, distinct_ids: Sequence[tuple[int, str]], subjects: Sequence[Subject]
    ) -> tuple[list[str | None], list[Membership]]:
        persons, memberships, _ = await self.look_up_with_records(distinct_ids, subjects, ())
        return persons, memberships

    async def look_up_with_records(
        self, distinct_ids: Sequence[tuple[int, str]], subjects: Sequence[Subject], recorded: Sequence[Subject]
    ) -> Looked:
        shards = [shard_of(subject, self._shards) for subject in subjects]
        calls = [self._person_call(team, text) for team, text in distinct_ids]
        for shard, subject in zip(shards, subjects, strict=True):
            keys = self._layout[shard]
            calls.append(Call(keys.prefix, pack(b"SMEMBERS", keys.memberships(subject))))
        # Positions behind the sets: where a shard is lost in between, it is the position that is missing, and where
        # it lets go of a version in between, the position says so.
        distinct = dict.fromkeys(shards)
        calls += map(self._standing_call, distinct)
        calls += map(self._record_call, recorded)
        replies = iter(await self._link.run(calls))
        held = list(islice(replies, len(distinct_ids)))
        sets = list(islice(replies, len(subjects)))
        standings = dict(zip(distinct, islice(replies, len(distinct)), strict=True))
        persons = [None if packed is None else unpack_person(packed) for packed in held]
        memberships = [_membership(handles, standings[shard]) for shard, handles in zip(shards, sets, strict=True)]
        return Looked(persons, memberships, list(replies))

    async def records(self, subjects: Sequence[Subject]) -> list[bytes | None]:
        return await self._link.run([self._record_call(subject) for subject in subjects])

    async def members(self, handle: int, cursor: str | None, limit: int) -> MembersPage:
        place = Place() if cursor is None else Place.parse(cursor)
        return await read_page(self._link, self._layout, Listing(handle, self._shards), place, min(limit, PAGE_MAX))

    async def size(self, handle: int) -> int:
        (size,) = await self.sizes([handle])
        return size

    async def sizes(self, handles: Sequence[int]) -> list[int]:
        if not handles:
            return []
        fields = [b"%d" % handle for handle in handles]
        shards = (self._layout[shard] for shard in range(self._shards))
        replies = await self._link.run([Call(keys.prefix, pack(b"HMGET", keys.counts, *fields)) for keys in shards])
        return [sum(int(count or 0) for count in counts) for counts in zip(*replies, strict=True)]

    async def positions(self, shards: Sequence[int]) -> dict[int, Position]:
        return await read_positions(self._link, self._layout, shards)

    async def aclose(self) -> None:
        await self._link.aclose()

    def _keys(self, subject: Subject) -> ShardKeys:
        return self._layout[shard_of(subject, self._shards)]

    def _standing_call(self, shard: int) -> Call:
        call = self._standing.get(shard)
        if call is None:
            keys = self._layout[shard]
            call = self._standing[shard] = Call(keys.prefix, pack(b"HMGET", keys.pos, *_STANDING))
        return call

    def _record_call(self, subject: Subject) -> Call:
        keys = self._keys(subject)
        return Call(keys.prefix, pack(b"GET", keys.record(subject)))

    def _person_call(self, team: int, distinct_id: str) -> Call:
        keys = self._keys(Subject(team, DISTINCT_ID, distinct_id))
        return Call(keys.prefix, pack(b"GET", keys.person(team, distinct_id)))


def _membership(handles: Sequence[bytes], standing: Sequence[bytes | None]) -> Membership:
    ready, now_ms, stale, warm_from_ms, readers_from = standing
    if ready is None:
        return Membership(frozenset(), None, 0, False, 0)
    return Membership(
        frozenset(map(int, handles)),
        int(ready),
        int(now_ms or 0),
        stale == b"1",
        int(warm_from_ms or 0),
        int(readers_from or 0),
    )
