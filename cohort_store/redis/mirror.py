"""The registry's copy in Redis, and the word that it changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from redis.asyncio.client import PubSub

from cohort_store.redis.link import FAILURES, Call, Link, pack, translated
from cohort_store.redis.scripts import Script, ScriptCall, run_script

POLL_S = 1.0
"""How often the version is looked at while no word comes: a word that is lost delays a reader by this much."""


class RedisRegistryMirror:
    """See RegistryMirror. The hash ``<prefix>:registry``, and the channel of that name with ``:changed`` behind.

    Parts of static lists are fields of the hash ``<prefix>:lists``, notes of the hash ``<prefix>:notes``.
    """

    def __init__(self, link: Link, prefix: str) -> None:
        self._link = link
        self._key = f"{prefix}:registry".encode()
        self._lists = f"{prefix}:lists".encode()
        self._notes = f"{prefix}:notes".encode()
        self._channel = self._key + b":changed"
        self._publish = Script("publish.lua")
        self._fetched = 0
        self._words: PubSub | None = None

    async def publish(self, registry: bytes, version: int) -> None:
        call = ScriptCall((self._key,), (b"%d" % version, registry, self._channel))
        await run_script(self._link, self._publish, [call])

    async def fetch(self) -> bytes | None:
        call = Call(self._key, pack(b"HMGET", self._key, b"version", b"registry"))
        ((version, registry),) = await self._link.run([call])
        if version is None:
            return None
        self._fetched = int(version)
        copy: bytes = registry
        return copy

    async def keep_lists(self, lists: Mapping[str, bytes]) -> None:
        (held,) = await self._link.run([Call(self._lists, pack(b"HKEYS", self._lists))])
        wanted = {name.encode(): part for name, part in lists.items()}
        for name in wanted.keys() - set(held):
            await self._link.run([Call(self._lists, pack(b"HSET", self._lists, name, wanted[name]))])
        for name in set(held) - wanted.keys():
            await self._link.run([Call(self._lists, pack(b"HDEL", self._lists, name))])

    async def lists(self) -> dict[str, bytes]:
        (flat,) = await self._link.run([Call(self._lists, pack(b"HGETALL", self._lists))])
        pairs = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
        return {name.decode(): part for name, part in pairs}

    async def keep_note(self, name: str, note: bytes | None) -> None:
        field = name.encode()
        call = pack(b"HDEL", self._notes, field) if note is None else pack(b"HSET", self._notes, field, note)
        await self._link.run([Call(self._notes, call)])

    async def note(self, name: str) -> bytes | None:
        (note,) = await self._link.run([Call(self._notes, pack(b"HGET", self._notes, name.encode()))])
        found: bytes | None = note
        return found

    async def changed(self, timeout_s: float) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        words = await self._listen()
        while True:
            # Listening began first, so that whatever comes after this look is a word.
            if await self._version() > self._fetched:
                return True
            left = deadline - loop.time()
            if left <= 0:
                return False
            await self._word(words, min(left, POLL_S))

    async def aclose(self) -> None:
        await self._hang_up()
        await self._link.aclose()

    async def _version(self) -> int:
        (version,) = await self._link.run([Call(self._key, pack(b"HGET", self._key, b"version"))])
        return int(version or 0)

    async def _listen(self) -> PubSub:
        if self._words is not None:
            return self._words
        client = await self._link.subscriber(self._key)
        words = client.pubsub(ignore_subscribe_messages=True)
        try:
            await words.subscribe(self._channel)
        except FAILURES as error:
            await _close(words)
            raise translated(error) from error
        self._words = words
        return words

    async def _word(self, words: PubSub, timeout_s: float) -> None:
        """Return when somebody publishes, or after so long; a broken connection is Retry."""
        try:
            await words.get_message(timeout=timeout_s)
        except FAILURES as error:
            await self._hang_up()
            raise translated(error) from error

    async def _hang_up(self) -> None:
        words, self._words = self._words, None
        if words is not None:
            await _close(words)


async def _close(words: PubSub) -> None:
    await words.aclose()  # type: ignore[no-untyped-call]
    await words.connection_pool.disconnect()
