"""Real services as fixtures: embedded ones, or those that CI installs.

MUSTER_TEST_KAFKA is ``embedded`` or ``apache``, MUSTER_TEST_REDIS is ``embedded`` or ``debian``. A service that this
machine lacks skips the tests that ask for it, or fails them where MUSTER_TEST_REQUIRE_SERVICES=1. A test that uses
one of these fixtures bears the mark ``services`` (``cluster`` too for ``redis_cluster``) without saying so.
"""

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import clickhouse_connect
import pytest
import redis
from aiokafka.admin import AIOKafkaAdminClient
from clickhouse_connect.driver import httputil

from cohort_store.kafka.topics import TopicSpec, ensure_topics
from processors.embedded.broker import EmbeddedBroker
from processors.embedded.history import EmbeddedHistory
from processors.embedded.view import EmbeddedView
from tests.services import apache_kafka, redis_servers

KAFKA = os.environ.get("MUSTER_TEST_KAFKA", "embedded")
REDIS = os.environ.get("MUSTER_TEST_REDIS", "embedded")
REQUIRED = os.environ.get("MUSTER_TEST_REQUIRE_SERVICES") == "1"
TOPIC_GONE_DEADLINE_S = 30.0
SERVICE_FIXTURES = frozenset(
    {"broker", "fresh_broker", "fresh_topic", "view_url", "view_server", "clickhouse", "history_server"}
)
CLUSTER_FIXTURES = frozenset({"cluster_server", "redis_cluster"})

FreshTopic = Callable[..., Awaitable[str]]


@dataclass(frozen=True, slots=True)
class ClickHouse:
    """Where a ClickHouse answers, and the database that belongs to one test alone."""

    host: str
    port: int
    database: str


# First, so that -m services sees the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if used & CLUSTER_FIXTURES:
            item.add_marker(pytest.mark.cluster)
        if used & (SERVICE_FIXTURES | CLUSTER_FIXTURES):
            item.add_marker(pytest.mark.services)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap address of a broker that the whole session shares: use topic names of your own."""
    folder = tmp_path_factory.mktemp("broker")
    if _chosen("MUSTER_TEST_KAFKA", KAFKA, "apache"):
        _require(apache_kafka.missing())
        kafka = apache_kafka.ApacheKafka(folder)
        kafka.start()
        try:
            yield kafka.bootstrap
        finally:
            kafka.stop()
    else:
        with EmbeddedBroker(folder) as embedded:
            yield embedded.bootstrap


@pytest.fixture
def fresh_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Bootstrap address of a broker without topics, for tests of whole pipelines whose topic names are fixed."""
    if KAFKA == "apache":
        bootstrap: str = request.getfixturevalue("broker")
        asyncio.run(_delete_topics(bootstrap))
        yield bootstrap
    else:
        with EmbeddedBroker(tmp_path / "broker") as embedded:
            yield embedded.bootstrap


@pytest.fixture
async def fresh_topic(broker: str) -> FreshTopic:
    """``await fresh_topic(partitions=1, compacted=False)`` makes a topic under a new name, and returns the name."""

    async def make(partitions: int = 1, *, compacted: bool = False) -> str:
        name = f"test.{uuid.uuid4().hex[:12]}"
        await ensure_topics(broker, [TopicSpec(name, partitions, compacted=compacted)])
        return name

    return make


@pytest.fixture(scope="session")
def view_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedView | redis_servers.RedisServer]:
    """The Valkey or Redis server that the session shares."""
    folder = tmp_path_factory.mktemp("view")
    server: EmbeddedView | redis_servers.RedisServer
    if _chosen("MUSTER_TEST_REDIS", REDIS, "debian"):
        _require(redis_servers.missing())
        server = redis_servers.RedisServer(folder)
        server.start()
    else:
        server = EmbeddedView(folder)
        server.launch()
        server.wait_ready()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def view_url(view_server: EmbeddedView | redis_servers.RedisServer) -> str:
    """redis:// URL of a server with nothing in it."""
    with redis.Redis.from_url(view_server.url) as client:
        client.flushall()
        client.script_flush()
    return view_server.url


@pytest.fixture(scope="session")
def history_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedHistory]:
    """The ClickHouse that the session shares."""
    with EmbeddedHistory(tmp_path_factory.mktemp("history")) as history:
        yield history


@pytest.fixture
def clickhouse(history_server: EmbeddedHistory) -> Iterator[ClickHouse]:
    """A ClickHouse and an empty database in it, dropped after the test."""
    database = f"test_{uuid.uuid4().hex[:12]}"
    # Connections of its own: one that a test shared may just be closed by the server, behind an error in a stream.
    client = clickhouse_connect.get_client(
        host=history_server.host, port=history_server.port, pool_mgr=httputil.get_pool_manager()
    )
    client.command(f"CREATE DATABASE {database}")
    yield ClickHouse(history_server.host, history_server.port, database)
    client.command(f"DROP DATABASE {database}")
    client.close()


@pytest.fixture(scope="session")
def cluster_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis_servers.RedisCluster]:
    """The Redis Cluster that the session shares."""
    _require(redis_servers.missing())
    cluster = redis_servers.RedisCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def redis_cluster(cluster_server: redis_servers.RedisCluster) -> redis_servers.RedisCluster:
    """A Redis Cluster of six nodes, healthy and empty, whatever the test before did to it."""
    cluster_server.revive()
    cluster_server.flush()
    return cluster_server


async def _delete_topics(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        async with asyncio.timeout(TOPIC_GONE_DEADLINE_S):
            while names := [name for name in await admin.list_topics() if not name.startswith("__")]:
                await admin.delete_topics(names)
                await asyncio.sleep(0.1)
    finally:
        await admin.close()


def _chosen(variable: str, value: str, alternative: str) -> bool:
    if value not in ("embedded", alternative):
        raise pytest.UsageError(f"{variable} is {value!r}: use embedded or {alternative}")
    return value == alternative


def _require(reason: str) -> None:
    if reason and REQUIRED:
        pytest.fail(f"{reason}, and MUSTER_TEST_REQUIRE_SERVICES=1 forbids to skip")
    if reason:
        pytest.skip(reason)
