"""Control as a process of its own, that can be killed, and what it is told and asked."""

import asyncio
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from cohort_store.ports import Position, ShardCommit
from cohort_store.redis.wiring import connect_mirror, connect_store
from cohort_store.registry import Registry, decode_registry
from cohort_store.settings import Settings
from processors.embedded.child import ChildProcess, ChildSpec, choose_port, exchange
from processors.up.configuration import environment_of

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0
T = TypeVar("T")
PROGRAM = "from processors.control.wiring import run; from cohort_store.settings import Settings; run(Settings())"


def control_settings(kafka: str, redis: str, folder: Path, **chosen: Any) -> Settings:
    """Settings of an installation with few shards, whose consumer group is its own."""
    return Settings(
        **{
            "kafka": kafka,
            "redis": redis,
            "shards": 4,
            "partitions": 2,
            "group_prefix": f"test-{uuid.uuid4().hex[:8]}",
            "session_timeout_ms": 1_500,
            "control_port": choose_port(None),
            "data_dir": str(folder),
            **chosen,
        }
    )


class ControlProcess:
    """One control process, from `with` to the end of it."""

    def __init__(self, settings: Settings, log: Path, *, before: str = "") -> None:
        """`before` is Python that the process runs first."""
        self.settings = settings
        self.child = ChildProcess(
            ChildSpec(
                name="control",
                command=[sys.executable, "-c", before + PROGRAM],
                log=log,
                ready=lambda: exchange(settings.control_port, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1."),
                environment=environment_of(settings) | {"PYTHONPATH": str(ROOT)},
            )
        )

    def __enter__(self) -> Self:
        self.child.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.child.stop()

    def page(self, path: str) -> Any:
        """A web view's JSON."""
        request = f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode()
        answer = _whole_answer(self.settings.control_port, request)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b" 200 " in head.splitlines()[0], answer
        return msgspec.json.decode(body)


def _whole_answer(port: int, request: bytes) -> bytes:
    import socket

    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        parts = []
        while part := connection.recv(65_536):
            parts.append(part)
        return b"".join(parts)


async def eventually(ask: Callable[[], Awaitable[T]], wanted: Callable[[T], bool]) -> T:
    """The first answer that is as wanted; the last one fails the test after the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not wanted(answer := await ask()):
        assert time.monotonic() < deadline, f"after {DEADLINE_S} s still {answer}"
        await asyncio.sleep(0.05)
    return answer


async def mirrored(settings: Settings) -> Registry:
    """The registry's copy in Redis."""
    async with AsyncExitStack() as stack:
        mirror = connect_mirror(settings)
        stack.push_async_callback(mirror.aclose)
        copy = await mirror.fetch()
        return decode_registry(copy) if copy else Registry()


async def fold_all_shards(settings: Settings, ready: int) -> None:
    """What membership does of a registry version where there is no record: each shard says that it has folded it."""
    async with AsyncExitStack() as stack:
        store = connect_store(settings)
        stack.push_async_callback(store.aclose)
        before = await store.positions(range(settings.shards))
        commits = []
        for shard in range(settings.shards):
            known = before.get(shard)
            position = Position(uuid.uuid4().bytes, shard % settings.partitions, settings.partitions, 0, ready)
            commits.append(ShardCommit(shard, known.commit_id if known else None, position))
        await store.commit(commits)
