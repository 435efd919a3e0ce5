"""The link to a single server (with or without replicas behind it)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, ReadOnlyError  # noqa: A004 - redis-py's own

from cohort_store.redis.link import (
    ATTEMPTS,
    EXCHANGE_S_MAX,
    EXCHANGES_MAX,
    FAILURES,
    Call,
    connection_options,
    converse,
    converse_acknowledged,
    raise_first,
    translated,
)

Exchange = Callable[[AbstractConnection], Coroutine[Any, Any, list[Any]]]


class ServerLink:
    """A pool of connections to one server. Opens nothing before the first call."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = ConnectionPool.from_url(url, max_connections=EXCHANGES_MAX, **connection_options())
        self._turns = asyncio.Semaphore(EXCHANGES_MAX)

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        if not calls:
            return []
        packed = [call.packed for call in calls]
        return await self._exchange(lambda connection: converse(connection, packed))

    async def run_acknowledged(self, calls: Sequence[Call], replicas: int, timeout_ms: int) -> list[Any]:
        if not calls:
            return []
        return await self._exchange(lambda connection: converse_acknowledged(connection, calls, replicas, timeout_ms))

    async def everywhere(self, packed: bytes) -> dict[str, Any]:
        (reply,) = await self.run([Call(b"", packed)])
        arguments = self._pool.connection_kwargs
        address = arguments.get("path") or f"{arguments.get('host', 'localhost')}:{arguments.get('port', 6379)}"
        return {address: reply}

    async def subscriber(self, route: bytes) -> Redis:  # noqa: ARG002 - there is one server
        return Redis.from_url(self._url, **connection_options())

    async def aclose(self) -> None:
        await self._pool.disconnect()

    async def _exchange(self, exchange: Exchange) -> list[Any]:
        try:
            async with asyncio.timeout(EXCHANGE_S_MAX), self._turns:
                replies = await self._attempt(exchange)
            raise_first(replies)
        except FAILURES as error:
            if isinstance(error, ReadOnlyError):
                # This one has been demoted: the address may lead to its successor by now.
                await self._pool.disconnect(inuse_connections=False)
            raise translated(error) from error
        return replies

    async def _attempt(self, exchange: Exchange) -> list[Any]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._once(exchange)
            except ConnectionError:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, exchange: Exchange) -> list[Any]:
        connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            return await exchange(connection)
        finally:
            await self._pool.release(connection)
