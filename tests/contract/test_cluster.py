"""What only a Cluster can show: failovers, replicas that acknowledge, slots that move."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from itertools import count
from time import monotonic

import pytest
import redis
from redis.crc import key_slot

from cohort_store.errors import Crash, Retry
from cohort_store.ports import MembershipStore, Outcome
from cohort_store.redis import store as store_module
from cohort_store.redis.wiring import connect_mirror, connect_reader, connect_store
from cohort_store.settings import Settings
from tests.contract.building import DEADLINE_S, SHARDS, Owner, View, person, write
from tests.contract.numbered import assert_whole, commit_numbered, keep_committing, resumed
from tests.services.redis_servers import RedisCluster


@pytest.fixture
async def clustered(redis_cluster: RedisCluster) -> AsyncIterator[View]:
    settings = Settings(redis=",".join(redis_cluster.urls), redis_cluster=True, shards=SHARDS)
    async with AsyncExitStack() as stack:
        store, reader = connect_store(settings), connect_reader(settings)
        stack.push_async_callback(store.aclose)
        stack.push_async_callback(reader.aclose)
        yield View(store, reader, settings.redis)


@contextmanager
def asking(port: int) -> Iterator[redis.Redis]:
    with redis.Redis(port=port) as client:
        yield client


def ask(port: int, *command: str | int) -> object:
    with asking(port) as client:
        return client.execute_command(*command)  # type: ignore[no-untyped-call]


def master_of(cluster: RedisCluster, shard: int) -> int:
    return cluster.master_of(f"{{m:{shard}}}:")


@pytest.mark.parametrize("trouble", ["force_failover", "kill_master"])
async def test_through_a_failover_every_commit_applies_whole_or_not_at_all(
    clustered: View, redis_cluster: RedisCluster, trouble: str
) -> None:
    port = master_of(redis_cluster, 0)
    stop = asyncio.Event()
    work = asyncio.create_task(keep_committing(Owner(clustered.store), stop))
    await asyncio.sleep(0.1)
    await asyncio.to_thread(getattr(redis_cluster, trouble), port)
    assert master_of(redis_cluster, 0) != port
    stop.set()
    assert "COMMITTED" in await work
    owner = Owner(clustered.store)
    number = await resumed(owner)
    await assert_whole(clustered, 0, number)
    assert await commit_numbered(owner, number + 1) is Outcome.COMMITTED
    await assert_whole(clustered, 0, number + 1)


async def test_an_owner_whose_last_commit_was_lost_in_a_failover_is_fenced(
    clustered: View, redis_cluster: RedisCluster
) -> None:
    owner = Owner(clustered.store)
    await commit_numbered(owner, 1)
    kept = owner.last
    port = master_of(redis_cluster, 0)
    with asking(port) as master:
        assert master.wait(1, 5_000) == 1
        replica = next(m.port for m in redis_cluster.members() if m.master_id == node_id(redis_cluster, port))
        hang(redis_cluster, replica)
        master.client_kill_filter(_type="replica")  # not even a buffer carries the next commit over
        await commit_numbered(owner, 2)
    await asyncio.to_thread(take_over_without, redis_cluster, port, replica)
    assert await resumed(Owner(clustered.store)) == 1
    assert await commit_numbered(owner, 3) is Outcome.FENCED
    await assert_whole(clustered, 0, 1)
    assert await commit_numbered(Owner(clustered.store, last=kept), 2) is Outcome.COMMITTED


def node_id(cluster: RedisCluster, port: int) -> str:
    return next(member.node_id for member in cluster.members() if member.port == port)


def hang(cluster: RedisCluster, port: int) -> None:
    os.kill(cluster.nodes[port].process.pid, signal.SIGSTOP)


def wake(cluster: RedisCluster, port: int) -> None:
    os.kill(cluster.nodes[port].process.pid, signal.SIGCONT)


def take_over_without(cluster: RedisCluster, master: int, replica: int) -> None:
    """Let the replica go on after its master is gone, with what it had."""
    cluster.nodes[master].kill()
    wake(cluster, replica)
    deadline = monotonic() + DEADLINE_S
    for _ in count():
        with asking(replica) as client:
            if client.info("replication")["role"] == "master":
                return
        ask(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
        assert monotonic() < deadline


async def test_with_replicas_demanded_changes_are_told_once_they_have_them(
    redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "ACKNOWLEDGE_MS_MAX", 300)
    settings = Settings(redis=redis_cluster.url, redis_cluster=True, shards=SHARDS, redis_replicas=1)
    store = connect_store(settings)
    for shard in range(SHARDS):
        await Owner(store, shard).commit(changes=(b"c",))
    await until_told(store, set(range(SHARDS)))
    port = master_of(redis_cluster, 0)
    replica = next(m.port for m in redis_cluster.members() if m.master_id == node_id(redis_cluster, port))
    elsewhere = {shard for shard in range(SHARDS) if master_of(redis_cluster, shard) != port}
    hang(redis_cluster, replica)
    try:
        assert (await store.outbox(range(SHARDS), 10)).keys() == elsewhere
    finally:
        wake(redis_cluster, replica)
    await until_told(store, set(range(SHARDS)))
    await store.aclose()


async def until_told(store: MembershipStore, shards: set[int]) -> None:
    deadline = monotonic() + DEADLINE_S
    while (await store.outbox(range(SHARDS), 10)).keys() != shards:
        assert monotonic() < deadline


async def test_more_replicas_than_there_are_never_acknowledge(
    redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "ACKNOWLEDGE_MS_MAX", 100)
    store = connect_store(Settings(redis=redis_cluster.url, redis_cluster=True, redis_replicas=2))
    await Owner(store).commit(changes=(b"c",))
    assert await store.outbox([0], 10) == {}
    assert await store.outbox_sizes([0]) == {0: 1}
    await store.aclose()


async def test_every_node_of_a_cluster_is_checked(redis_cluster: RedisCluster) -> None:
    store = connect_store(Settings(redis=redis_cluster.url, redis_cluster=True))
    await store.check()
    replica = next(member.port for member in redis_cluster.members() if not member.is_master)
    with asking(replica) as client:
        client.config_set("maxmemory-policy", "volatile-lru")
        try:
            with pytest.raises(Crash, match=f"{replica}.*volatile-lru"):
                await store.check()
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    await store.aclose()


async def test_a_replica_that_is_down_keeps_nobody_from_starting(redis_cluster: RedisCluster) -> None:
    replica = next(member.port for member in redis_cluster.members() if not member.is_master)
    redis_cluster.nodes[replica].kill()
    nodes = ",".join(url for url in redis_cluster.urls if str(replica) not in url)
    store = connect_store(Settings(redis=nodes, redis_cluster=True))
    await store.check()
    await store.aclose()


async def test_a_slot_that_moved_is_found_within_the_same_call(clustered: View, redis_cluster: RedisCluster) -> None:
    await clustered.store.positions(range(SHARDS))
    slot, before = key_slot(b"{m:5}:"), master_of(redis_cluster, 5)
    after = next(member.port for member in redis_cluster.members() if member.is_master and member.port != before)
    give_slot(redis_cluster, slot, before, after)
    try:
        assert await Owner(clustered.store, 5).commit(write(person(5))) is Outcome.COMMITTED
        assert await clustered.reader.records([person(5), person(6)]) == [b"record", None]
    finally:
        redis_cluster.flush()
        give_slot(redis_cluster, slot, after, before)
        await asyncio.to_thread(redis_cluster.wait_healthy)


def give_slot(cluster: RedisCluster, slot: int, source: int, target: int) -> None:
    """Hand an empty slot from one master to another, who says so with a new epoch, since he imported it."""
    masters = [member.port for member in cluster.members() if member.is_master]
    ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", node_id(cluster, source))
    ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", node_id(cluster, target))
    for master in sorted(masters, key=lambda each: (each != target, each != source)):
        ask(master, "CLUSTER", "SETSLOT", slot, "NODE", node_id(cluster, target))


async def test_a_slot_on_its_way_is_a_retry_and_the_others_go_on(clustered: View, redis_cluster: RedisCluster) -> None:
    owner = Owner(clustered.store, 5)
    await owner.commit(write(person(5)))
    slot, port = key_slot(b"{m:5}:"), master_of(redis_cluster, 5)
    target = next(member for member in redis_cluster.members() if member.is_master and member.port != port)
    ask(port, "CLUSTER", "SETSLOT", slot, "MIGRATING", target.node_id)
    try:
        with pytest.raises(Retry):
            await owner.commit(write(person(5), b"later", joined=(1,)))
        assert await Owner(clustered.store, 6).commit() is Outcome.COMMITTED
    finally:
        ask(port, "CLUSTER", "SETSLOT", slot, "STABLE")
    assert await clustered.reader.records([person(5)]) == [b"record"]
    assert await owner.commit(write(person(5), b"later")) is Outcome.COMMITTED


async def test_a_cluster_taken_for_a_single_server_is_a_crash_with_the_remedy(redis_cluster: RedisCluster) -> None:
    store = connect_store(Settings(redis=redis_cluster.url))
    with pytest.raises(Crash, match="MUSTER_REDIS_CLUSTER=true"):
        await store.positions(range(SHARDS))
    await store.aclose()


async def test_a_mirror_hears_again_after_a_failover(redis_cluster: RedisCluster) -> None:
    settings = Settings(redis=",".join(redis_cluster.urls), redis_cluster=True)
    control, reader = connect_mirror(settings), connect_mirror(settings)
    await control.publish(b"one", 1)
    assert await reader.changed(1)
    await reader.fetch()
    port = redis_cluster.master_of("m:registry")
    with asking(port) as master:
        assert master.wait(1, 5_000) is not None
    await asyncio.to_thread(redis_cluster.kill_master, port)
    deadline = monotonic() + DEADLINE_S
    published = heard = False
    while not heard:
        assert monotonic() < deadline
        try:
            if not published:
                await control.publish(b"two", 2)
                published = True
            heard = await reader.changed(1)
        except Retry:
            await asyncio.sleep(0.05)
    assert await reader.fetch() == b"two"
    await asyncio.gather(control.aclose(), reader.aclose())
