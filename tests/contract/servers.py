"""Servers of a test's own, and views on them."""

import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import redis

from cohort_store.redis.wiring import connect_reader, connect_store
from cohort_store.settings import Settings
from tests.contract.building import SHARDS, View


class connected:  # noqa: N801 - reads as a verb where it is used
    """A view on that URL, closed behind the block."""

    def __init__(self, url: str) -> None:
        self._settings = Settings(redis=url, shards=SHARDS)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> View:
        store, reader = connect_store(self._settings), connect_reader(self._settings)
        self._stack.push_async_callback(store.aclose)
        self._stack.push_async_callback(reader.aclose)
        return View(store, reader, self._settings.redis)

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()


@contextmanager
def client_of(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        yield client


def hang(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def wake(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)
