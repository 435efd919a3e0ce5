"""How requests reach the view: many in one write, the replies in order, with a deadline for the whole.

Why not redis-py's own pipelines: with packing, callbacks and a timer for each reply they take 15 µs a command
where this takes 3, and commands are most of what a commit or an evaluation costs here. Connections, pools, TLS,
authentication, parsing and the Cluster's map are redis-py's; only the loop over one exchange is written out. Replies
that came together it takes straight from the parser, at less than half of what redis-py takes to hand out each.

**Everything sent through a link may be sent twice**: reads, of course, and the scripts, which know what they
have already done. So a connection that turns out to be closed, or a slot that has moved, is tried once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import hiredis
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry as Retries
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - redis-py's own
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004 - redis-py's own
    TryAgainError,
)

from cohort_store.errors import Crash, MusterError, Retry

EXCHANGE_S_MAX = 10.0
"""How long one exchange may take, from asking for a connection to the last reply; then it is Retry."""
CONNECT_S_MAX = 3.0
EXCHANGES_MAX = 32
"""Exchanges at a time, hence connections to a server; further ones wait for a turn."""
ATTEMPTS = 2

FAILURES = (RedisError, RedisClusterException, OSError)
"""Everything that redis-py raises; what became too late is an OSError too."""

_PASSING_CODES = ("BUSY", "MISCONF", "NOREPLICAS", "UNBLOCKED", "UNKILLABLE")


Argument = bytes | str | int


class Call(NamedTuple):
    """One command. `route` is a key, or the start of one up to its hash tag, that tells the Cluster's node."""

    route: bytes
    packed: bytes


class Link(Protocol):
    """A server, or a Cluster. Raises Retry or Crash and nothing of redis-py's."""

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """The replies, in order. NoScriptError is a reply; any other error is raised."""
        ...

    async def run_acknowledged(self, calls: Sequence[Call], replicas: int, timeout_ms: int) -> list[Any]:
        """As `run`, and then so many replicas had all that the calls saw, from the same server; None where not.

        Why in one exchange: a server that is demoted between a read and a separate WAIT would let its successor
        vouch for what only the old one had.
        """
        ...

    async def everywhere(self, packed: bytes) -> dict[str, Any]:
        """The reply of every server that can be reached, replicas too, by address."""
        ...

    async def subscriber(self, route: bytes) -> Redis:
        """A client of one server, for publish and subscribe; the caller closes it."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...


def pack(*arguments: Argument) -> bytes:
    """One command in the wire form."""
    packed: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type]  # its stub wants one-tuples
    return packed


def connection_options() -> dict[str, Any]:
    """What every connection is opened with. An exchange has one deadline, so single reads need none."""
    return {
        "protocol": 2,
        "socket_timeout": None,
        "socket_connect_timeout": CONNECT_S_MAX,
        "retry": Retries(NoBackoff(), 0),
    }


async def converse(connection: AbstractConnection, packed: Sequence[bytes]) -> list[Any]:
    """Send the commands in one write and read their replies; an error of a single one is its reply."""
    await connection.send_packed_command(b"".join(packed), check_health=False)
    replies: list[Any] = []
    while len(replies) < len(packed):
        try:
            replies.append(await connection.read_response())
        except ResponseError as error:
            replies.append(error)
        replies += await _arrived(connection, len(packed) - len(replies))
    return replies


async def _arrived(connection: AbstractConnection, count: int) -> list[Any]:
    """At most so many replies that came with the one just read."""
    # Private, and so bound to redis-py 8; nothing public tells what has come already.
    reader = connection._parser._reader  # type: ignore[attr-defined]  # noqa: SLF001
    replies: list[Any] = []
    while len(replies) < count and (reply := reader.gets()) is not NOT_ENOUGH_DATA:
        if isinstance(reply, ConnectionError):
            await connection.disconnect()
            raise reply
        replies.append(reply)
    return replies


async def converse_acknowledged(
    connection: AbstractConnection, calls: Sequence[Call], replicas: int, timeout_ms: int
) -> list[Any]:
    """As `converse`, with a write and a WAIT behind; all None where too few replicas answered in time.

    WAIT speaks of the connection's own writes, so there must be one: what it acknowledges covers, in the order
    of replication, everything that the calls before it saw.
    """
    mark = pack(b"SET", calls[0].route + b"ack", b"")
    wait = pack(b"WAIT", b"%d" % replicas, b"%d" % timeout_ms)
    *replies, marked, acknowledged = await converse(connection, [*(call.packed for call in calls), mark, wait])
    raise_first([marked, acknowledged])
    return replies if acknowledged >= replicas else [None] * len(calls)


def raise_first(replies: Sequence[Any]) -> None:
    """Raise the first reply that is an error, but for an unknown script."""
    for reply in replies:
        if isinstance(reply, RedisError) and not isinstance(reply, NoScriptError):
            raise reply


def translated(error: Exception) -> MusterError:
    """What a failure means to a caller: Retry where the same call may succeed later, else Crash."""
    if isinstance(error, RedisClusterException) and isinstance(error.__cause__, RedisError | RedisClusterException):
        error = error.__cause__
    if isinstance(error, AuthenticationError | AuthorizationError):
        return Crash(f"the view refuses the login ({error}): correct user and password in MUSTER_REDIS")
    if isinstance(error, OutOfMemoryError):
        return Retry(
            f"the view is full and takes no writes ({error}): raise its maxmemory; cohorts can be dropped only then"
        )
    if _is_passing(error):
        return Retry(f"the view cannot be used right now: {type(error).__name__} {error}".rstrip())
    if isinstance(error, MovedError):
        return Crash(f"the view is a Cluster ({error}): set MUSTER_REDIS_CLUSTER=true")
    if isinstance(error, RedisClusterException) and "mode is not enabled" in str(error):
        return Crash(f"the view is no Cluster ({error}): set MUSTER_REDIS_CLUSTER=false")
    return Crash(f"the view refused a request that Muster believes right: {type(error).__name__} {error}")


def _is_passing(error: Exception) -> bool:
    if isinstance(error, MovedError):
        return False
    if isinstance(error, ConnectionError | TimeoutError | OSError | ClusterDownError | TryAgainError | ReadOnlyError):
        return True
    if isinstance(error, RedisClusterException):
        return "mode is not enabled" not in str(error)
    return isinstance(error, AskError) or (isinstance(error, ResponseError) and str(error).startswith(_PASSING_CODES))
