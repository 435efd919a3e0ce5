"""The views that the contract holds for: the twin, the session's Valkey or Redis, and a Redis Cluster.

MUSTER_TEST_REDIS=debian makes the server Debian's redis-server.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from cohort_store.memory import MemoryStore
from cohort_store.redis.wiring import connect_reader, connect_store
from cohort_store.settings import Settings
from tests.contract.building import SHARDS, Owner, View

CLUSTER = pytest.param("cluster", marks=[pytest.mark.cluster, pytest.mark.services])
SERVER = pytest.param("server", marks=pytest.mark.services)


def view_settings(request: pytest.FixtureRequest, kind: str) -> Settings:
    """Settings for an empty server or Cluster."""
    if kind == "cluster":
        return Settings(redis=request.getfixturevalue("redis_cluster").url, redis_cluster=True, shards=SHARDS)
    return Settings(redis=request.getfixturevalue("view_url"), shards=SHARDS)


@pytest.fixture(params=["memory", SERVER, CLUSTER])
async def view(request: pytest.FixtureRequest) -> AsyncIterator[View]:
    if request.param == "memory":
        both = MemoryStore(SHARDS)
        yield View(both, both, "")
        return
    settings = view_settings(request, request.param)
    async with AsyncExitStack() as stack:
        store, reader = connect_store(settings), connect_reader(settings)
        stack.push_async_callback(store.aclose)
        stack.push_async_callback(reader.aclose)
        yield View(store, reader, settings.redis)


@pytest.fixture
def owner(view: View) -> Owner:
    """The owner of shard 0, who has not committed yet."""
    return Owner(view.store)
