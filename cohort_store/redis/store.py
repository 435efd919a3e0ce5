"""The write side in Redis: one script call per commit, all commits of a batch in one exchange."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cohort_store.errors import Crash
from cohort_store.ports import Due, OutboxEntry, Outcome, Position, ShardCommit, SubjectsPage, check_commits
from cohort_store.redis.commits import encode_commit
from cohort_store.redis.keys import Layout, unpack_subject
from cohort_store.redis.link import Call, Link, pack
from cohort_store.redis.positions import read_positions
from cohort_store.redis.scripts import Script, ScriptCall, run_script
from cohort_store.subjects import Subject

ACKNOWLEDGE_MS_MAX = 1_000
"""How long `outbox` waits for replicas; what they do not have by then is told at a later call."""

VERSION_MIN = (7, 0)

_DIGEST_CHARS = 16


class Memory(NamedTuple):
    """What a server uses, and the most that it may; 0: as much as there is."""

    used_bytes: int
    max_bytes: int


class RedisMembershipStore:
    """See MembershipStore. `replicas` must acknowledge a change before `outbox` tells it."""

    def __init__(self, link: Link, prefix: str, replicas: int = 0) -> None:
        self._link = link
        self._layout = Layout(prefix)
        self._replicas = replicas
        self._commit = Script("commit.lua")
        self._drop = Script("drop.lua")

    async def check(self) -> None:
        for address, reply in (await self._link.everywhere(pack(b"INFO"))).items():
            _check_server(address, _fields(reply))

    async def memory(self) -> dict[str, Memory]:
        """Of every server that can be reached, by address. Raises Retry."""
        replies = await self._link.everywhere(pack(b"INFO", b"memory"))
        fields = {address: _fields(reply) for address, reply in replies.items()}
        return {
            address: Memory(int(found.get("used_memory", 0)), int(found.get("maxmemory", 0)))
            for address, found in fields.items()
        }

    async def positions(self, shards: Sequence[int]) -> dict[int, Position]:
        return await read_positions(self._link, self._layout, shards)

    async def load(self, subjects: Mapping[int, Sequence[Subject]]) -> dict[Subject, bytes]:
        asked = [(self._layout[shard], wanted) for shard, wanted in subjects.items() if wanted]
        calls = [Call(keys.prefix, pack(b"MGET", *map(keys.record, wanted))) for keys, wanted in asked]
        replies = await self._link.run(calls)
        return {
            subject: record
            for (_, wanted), records in zip(asked, replies, strict=True)
            for subject, record in zip(wanted, records, strict=True)
            if record is not None
        }

    async def commit(self, commits: Sequence[ShardCommit]) -> list[Outcome]:
        check_commits(commits)
        calls = []
        for commit in commits:
            keys = self._layout[commit.shard]
            calls.append(ScriptCall((keys.pos, keys.timers, keys.outbox), encode_commit(commit)))
        replies = await run_script(self._link, self._commit, calls)
        return [Outcome.COMMITTED if reply else Outcome.FENCED for reply in replies]

    async def due(self, instants: Mapping[int, int], limit: int) -> dict[int, Due]:
        calls = []
        for shard, now_ms in instants.items():
            keys, now = self._layout[shard], b"%d" % now_ms
            ripe = (b"-inf", now, b"WITHSCORES", b"LIMIT", b"0", b"%d" % (limit + 1))
            later = (b"(" + now, b"+inf", b"WITHSCORES", b"LIMIT", b"0", b"1")
            calls.append(Call(keys.prefix, pack(b"ZRANGEBYSCORE", keys.timers, *ripe)))
            calls.append(Call(keys.prefix, pack(b"ZRANGEBYSCORE", keys.timers, *later)))
        replies = await self._link.run(calls)
        return {
            shard: _due(replies[2 * i] + replies[2 * i + 1], now, limit)
            for i, (shard, now) in enumerate(instants.items())
        }

    async def subjects(self, shard: int, cursor: str | None, limit: int) -> SubjectsPage:
        keys = self._layout[shard]
        start = (cursor or "0").encode()
        call = Call(keys.prefix, pack(b"ZSCAN", keys.timers, start, b"COUNT", b"%d" % limit))
        ((after, found),) = await self._link.run([call])
        return SubjectsPage(tuple(map(unpack_subject, found[::2])), None if after == b"0" else after.decode())

    async def outbox(self, shards: Sequence[int], limit: int) -> dict[int, list[OutboxEntry]]:
        count = b"%d" % limit
        calls = [
            Call(keys.prefix, pack(b"XRANGE", keys.outbox, b"-", b"+", b"COUNT", count))
            for keys in (self._layout[shard] for shard in shards)
        ]
        if self._replicas:
            replies = await self._link.run_acknowledged(calls, self._replicas, ACKNOWLEDGE_MS_MAX)
        else:
            replies = await self._link.run(calls)
        return {shard: list(map(_entry, found)) for shard, found in zip(shards, replies, strict=True) if found}

    async def newest_changes(self, shards: Sequence[int]) -> dict[int, bytes]:
        calls = [
            Call(keys.prefix, pack(b"XREVRANGE", keys.outbox, b"+", b"-", b"COUNT", b"1"))
            for keys in (self._layout[shard] for shard in shards)
        ]
        replies = await self._link.run(calls)
        return {shard: _entry(found[0]).change for shard, found in zip(shards, replies, strict=True) if found}

    async def outbox_sizes(self, shards: Sequence[int]) -> dict[int, int]:
        calls = [Call(self._layout[shard].prefix, pack(b"XLEN", self._layout[shard].outbox)) for shard in shards]
        return dict(zip(shards, await self._link.run(calls), strict=True))

    async def drop_outbox(self, published: Mapping[int, bytes]) -> None:
        calls = []
        for shard, entry in published.items():
            stream_id, digest = entry.split(b"/")
            made_ms, number = stream_id.split(b"-")
            behind = b"%b-%d" % (made_ms, int(number) + 1)
            calls.append(ScriptCall((self._layout[shard].outbox,), (stream_id, digest, behind)))
        await run_script(self._link, self._drop, calls)

    async def aclose(self) -> None:
        await self._link.aclose()


def _due(found: Sequence[bytes], now_ms: int, limit: int) -> Due:
    """From members and scores in turns: at most `limit` + 1 that are due, then the first that is not."""
    scores = found[1::2]
    ripe = sum(1 for score in scores if float(score) <= now_ms)
    told = min(ripe, limit)
    left = scores[told] if told < len(scores) else b"inf"
    return Due(tuple(map(unpack_subject, found[: 2 * told : 2])), None if left == b"inf" else int(float(left)))


def _entry(found: Any) -> OutboxEntry:
    stream_id, (_, change) = found
    digest = hashlib.sha1(change, usedforsecurity=False).hexdigest()[:_DIGEST_CHARS]
    return OutboxEntry(stream_id + b"/" + digest.encode(), change)


def _fields(info: bytes) -> dict[str, str]:
    lines = info.decode().splitlines()
    return {name: value for name, separator, value in (line.partition(":") for line in lines) if separator}


def _check_server(address: str, info: Mapping[str, str]) -> None:
    version = info.get("redis_version", "0")
    if tuple(int(part) for part in version.split(".")[:2]) < VERSION_MIN:
        raise Crash(f"the view at {address} is version {version}, Muster needs 7.0 or newer: upgrade it")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise Crash(
            f"the view at {address} has maxmemory-policy {policy}, which drops records silently when memory is short: "
            "set it to noeviction"
        )
