"""In whose place persons came, in Redis: a hash for each person, in her own shard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cohort_store.hash_keys import HashKeys
from cohort_store.redis.keys import Layout
from cohort_store.redis.link import Call, Link, pack
from cohort_store.subjects import Subject, shard_of


class RedisHashKeys:
    """See HashKeyStore. What nobody asks for within `kept_ms` is let go."""

    def __init__(self, link: Link, prefix: str, shards: int, kept_ms: int) -> None:
        self._link = link
        self._layout = Layout(prefix)
        self._shards = shards
        self._kept = b"%d" % kept_ms

    async def read(self, subjects: Sequence[Subject]) -> list[HashKeys]:
        calls = [call for subject in subjects for call in self._reading(subject)]
        replies = await self._link.run(calls)
        return [_hash_keys(reply) for reply in replies[::2]]

    async def keep(self, subject: Subject, keys: HashKeys) -> HashKeys:
        route, key = self._place(subject)
        writes = [
            Call(route, pack(b"HSETNX", key, flag.encode(), kept.encode(errors="surrogatepass")))
            for flag, kept in keys.items()
        ]
        replies = await self._link.run([*writes, *self._reading(subject)])
        return _hash_keys(replies[len(writes)])

    async def forget(self, subjects: Sequence[Subject]) -> None:
        places = map(self._place, subjects)
        await self._link.run([Call(route, pack(b"DEL", key)) for route, key in places])

    async def aclose(self) -> None:
        await self._link.aclose()

    def _reading(self, subject: Subject) -> tuple[Call, Call]:
        """What is kept, which is then kept on."""
        route, key = self._place(subject)
        return Call(route, pack(b"HGETALL", key)), Call(route, pack(b"PEXPIRE", key, self._kept))

    def _place(self, subject: Subject) -> tuple[bytes, bytes]:
        keys = self._layout[shard_of(subject, self._shards)]
        return keys.prefix, keys.hash_keys(subject)


def _hash_keys(reply: Any) -> HashKeys:
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {flag.decode(): kept.decode(errors="surrogatepass") for flag, kept in pairs}
