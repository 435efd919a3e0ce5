"""The link to a Redis Cluster: calls are grouped by the node that has their slot, and the nodes asked at once.

While a slot migrates, its calls are Retry until it has arrived; the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - redis-py's own
    MovedError,
    ReadOnlyError,
    RedisError,
    TimeoutError,  # noqa: A004 - redis-py's own
)

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

PORT_DEFAULT = 6379

Exchange = Callable[[AbstractConnection, Sequence[Call]], Coroutine[Any, Any, list[Any]]]

_LOST = (ConnectionError, TimeoutError, ClusterDownError, MovedError, ReadOnlyError)


class ClusterLink:
    """The Cluster of which the URL names one node, or several with commas between. Opens nothing before the first call.

    Any of the nodes serves to find the others, then and after a failover.
    """

    def __init__(self, url: str) -> None:
        first, *others = url.split(",")
        nodes = [_named(other) for other in others]
        options = connection_options()
        self._cluster = RedisCluster.from_url(first, startup_nodes=nodes, max_connections=EXCHANGES_MAX, **options)
        self._turns = asyncio.Semaphore(EXCHANGES_MAX)

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        async def exchange(connection: AbstractConnection, group: Sequence[Call]) -> list[Any]:
            return await converse(connection, [call.packed for call in group])

        return await self._exchange(calls, exchange)

    async def run_acknowledged(self, calls: Sequence[Call], replicas: int, timeout_ms: int) -> list[Any]:
        async def exchange(connection: AbstractConnection, group: Sequence[Call]) -> list[Any]:
            return await converse_acknowledged(connection, group, replicas, timeout_ms)

        return await self._exchange(calls, exchange)

    async def everywhere(self, packed: bytes) -> dict[str, Any]:
        calls = [Call(b"", packed)]
        try:
            async with asyncio.timeout(EXCHANGE_S_MAX):
                await self._cluster.initialize()
                nodes = self._cluster.get_nodes()
                replies = [(await self._ask(node, calls, _converse))[0] for node in nodes]
                # A replica that is down must not keep anybody from starting.
                answered = {
                    n.name: reply for n, reply in zip(nodes, replies, strict=True) if not isinstance(reply, _LOST)
                }
                raise_first(list(answered.values()) or replies)
        except FAILURES as error:
            raise translated(error) from error
        return answered

    async def subscriber(self, route: bytes) -> Redis:
        try:
            async with asyncio.timeout(EXCHANGE_S_MAX):
                await self._cluster.initialize()
                node = self._node(route)
        except FAILURES as error:
            raise translated(error) from error
        return _client(node)

    async def aclose(self) -> None:
        await self._cluster.aclose()

    async def _exchange(self, calls: Sequence[Call], exchange: Exchange) -> list[Any]:
        if not calls:
            return []
        try:
            async with asyncio.timeout(EXCHANGE_S_MAX), self._turns:
                return await self._attempts(calls, exchange)
        except FAILURES as error:
            raise translated(error) from error

    async def _attempts(self, calls: Sequence[Call], exchange: Exchange) -> list[Any]:
        await self._cluster.initialize()
        replies: list[Any] = [None] * len(calls)
        left = list(range(len(calls)))
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._learn_map(replies)
            await self._scatter(calls, left, replies, exchange)
            left = [index for index in left if isinstance(replies[index], _LOST)]
            if not left or any(isinstance(replies[index], AuthenticationError) for index in left):
                break
        raise_first([_as_passing(reply) for reply in replies])
        return replies

    async def _learn_map(self, replies: Sequence[Any]) -> None:
        """Read the map anew, from whichever node answers; a node that knew better is believed instead."""
        await self._cluster.nodes_manager.initialize()
        for reply in replies:
            if isinstance(reply, MovedError):
                await self._cluster.nodes_manager.move_slot(reply)

    async def _scatter(self, calls: Sequence[Call], indexes: list[int], replies: list[Any], exchange: Exchange) -> None:
        groups: dict[ClusterNode, list[int]] = {}
        for index in indexes:
            groups.setdefault(self._node(calls[index].route), []).append(index)
        answers = await asyncio.gather(
            *(self._ask(node, [calls[index] for index in group], exchange) for node, group in groups.items()),
        )
        for group, answer in zip(groups.values(), answers, strict=True):
            for index, reply in zip(group, answer, strict=True):
                replies[index] = reply

    async def _ask(self, node: ClusterNode, calls: Sequence[Call], exchange: Exchange) -> list[Any]:
        """The node's replies; where it cannot be reached, the reason in place of each."""
        try:
            connection = node.acquire_connection()
        except ConnectionError as error:
            return [error] * len(calls)
        try:
            await node.disconnect_if_needed(connection)
            return await exchange(connection, calls)
        except (RedisError, OSError) as error:
            return [error if isinstance(error, RedisError) else ConnectionError(str(error))] * len(calls)
        finally:
            node.release(connection)

    def _node(self, route: bytes) -> ClusterNode:
        return self._cluster.nodes_manager.get_node_from_slot(self._cluster.keyslot(route))


def _named(address: str) -> ClusterNode:
    """A further node of the URL: host:port, or a URL of its own, whose login is the first one's."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    return ClusterNode(parts.hostname or "localhost", parts.port or PORT_DEFAULT)


async def _converse(connection: AbstractConnection, calls: Sequence[Call]) -> list[Any]:
    return await converse(connection, [call.packed for call in calls])


def _as_passing(reply: Any) -> Any:
    # A slot that is still elsewhere after the map was read anew is on the move.
    return ClusterDownError(f"MOVED {reply}") if isinstance(reply, MovedError) else reply


def _client(node: ClusterNode) -> Redis:
    options = node.connection_kwargs
    kept = {name: options[name] for name in ("host", "port", "username", "password") if options.get(name) is not None}
    return Redis(ssl="ssl_ca_certs" in options, **kept, **connection_options())
