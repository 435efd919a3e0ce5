"""What goes wrong with a server: gone, hanging, killed, demoted, full, or configured so that it loses records."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from cohort_store.errors import Crash, Retry
from cohort_store.ports import Outcome
from cohort_store.redis.wiring import connect_mirror, connect_store
from cohort_store.settings import Settings
from processors.embedded.view import EmbeddedView
from tests.contract.building import DEADLINE_S, START_MS, Owner, person, write
from tests.contract.numbered import assert_whole, keep_committing, resumed
from tests.contract.servers import client_of, connected, hang, wake


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedView]:
    """A server that the test may kill."""
    with EmbeddedView(tmp_path / "own") as server:
        yield server


async def test_nobody_listening_is_a_retry_for_every_method(tmp_path: Path) -> None:
    with EmbeddedView(tmp_path) as server:
        url = server.url
    async with connected(url) as view:
        calls = [
            view.store.check(),
            view.store.positions([0]),
            view.store.load({0: [person(0)]}),
            view.store.commit([Owner(view.store).prepare()]),
            view.store.due({0: START_MS}, 1),
            view.store.subjects(0, None, 1),
            view.store.outbox([0], 1),
            view.store.outbox_sizes([0]),
            view.store.drop_outbox({0: b"1-0/00"}),
            view.reader.persons([(1, "d")]),
            view.reader.memberships([person(0)]),
            view.reader.records([person(0)]),
            view.reader.members(1, None, 1),
            view.reader.size(1),
            view.reader.positions([0]),
        ]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Retry}, outcomes
    mirror = connect_mirror(Settings(redis=url))
    for call in (mirror.publish(b"r", 1), mirror.fetch(), mirror.changed(1)):
        with pytest.raises(Retry):
            await call
    await mirror.aclose()


async def test_a_server_that_restarts_is_used_again_without_a_retry(own_server: EmbeddedView) -> None:
    async with connected(own_server.url) as view:
        owner = Owner(view.store)
        await owner.commit(write(person(0)))
        own_server.process.stop()
        own_server.process.start()
        assert await owner.commit(write(person(0), b"later")) is Outcome.COMMITTED
        assert await view.reader.records([person(0)]) == [b"later"]


async def test_through_a_kill_of_the_server_every_commit_applies_whole_or_not_at_all(own_server: EmbeddedView) -> None:
    async with connected(own_server.url) as view:
        stop = asyncio.Event()
        work = asyncio.create_task(keep_committing(Owner(view.store), stop))
        for _ in range(3):
            await asyncio.sleep(0.1)
            own_server.process.kill()
            own_server.process.launch()
            await asyncio.to_thread(own_server.process.wait_ready)
        stop.set()
        assert "COMMITTED" in await work
        await assert_whole(view, 0, await resumed(Owner(view.store)))


@pytest.fixture
def replica(own_server: EmbeddedView, tmp_path: Path) -> Iterator[EmbeddedView]:
    """A server that follows the test's own."""
    with EmbeddedView(tmp_path / "replica") as server:
        with client_of(own_server.url) as master, client_of(server.url) as follower:
            master.config_set("repl-diskless-sync-delay", 0)
            follower.replicaof("127.0.0.1", own_server.port)
            deadline = monotonic() + DEADLINE_S
            while follower.info("replication")["master_link_status"] != "up":
                assert monotonic() < deadline
        yield server


async def test_with_a_replica_demanded_changes_are_told_once_it_has_them(
    own_server: EmbeddedView, replica: EmbeddedView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cohort_store.redis.store.ACKNOWLEDGE_MS_MAX", 300)
    store = connect_store(Settings(redis=own_server.url, redis_replicas=1))
    await Owner(store).commit(changes=(b"c",))
    hang(replica.process.pid)
    try:
        assert await store.outbox([0, 1], 10) == {}
    finally:
        wake(replica.process.pid)
    async with asyncio.timeout(DEADLINE_S):
        while not (told := await store.outbox([0, 1], 10)):
            pass
    assert [entry.change for entry in told[0]] == [b"c"]
    await store.aclose()


async def test_a_demoted_server_is_a_retry_until_it_is_promoted(
    replica: EmbeddedView,
) -> None:
    async with connected(replica.url) as view:
        with pytest.raises(Retry, match="ReadOnly"):
            await Owner(view.store).commit()
        with client_of(replica.url) as client:
            client.replicaof("NO", "ONE")
        assert await Owner(view.store).commit() is Outcome.COMMITTED


async def test_a_mirror_hears_again_after_its_server_restarted(own_server: EmbeddedView) -> None:
    settings = Settings(redis=own_server.url)
    control, reader = connect_mirror(settings), connect_mirror(settings)
    await control.publish(b"one", 1)
    assert await reader.changed(1)
    await reader.fetch()
    assert not await reader.changed(0.01)
    own_server.process.stop()
    with pytest.raises(Retry):
        await reader.changed(5)
    own_server.process.start()
    await control.publish(b"two", 2)
    assert await reader.changed(5)
    await asyncio.gather(control.aclose(), reader.aclose())


async def test_a_server_that_hangs_is_a_retry_within_the_deadline(
    own_server: EmbeddedView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cohort_store.redis.server.EXCHANGE_S_MAX", 0.3)
    async with connected(own_server.url) as view:
        await view.store.positions([0])
        process = own_server.process
        hang(process.pid)
        try:
            started = monotonic()
            with pytest.raises(Retry):
                await view.store.positions([0])
            assert monotonic() - started < 5
        finally:
            wake(process.pid)
        assert await Owner(view.store).commit() is Outcome.COMMITTED


async def test_a_server_that_may_drop_records_is_refused_with_the_remedy(own_server: EmbeddedView) -> None:
    async with connected(own_server.url) as view:
        await view.store.check()
        with client_of(own_server.url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(Crash, match=r"allkeys-lru.*set it to noeviction"):
            await view.store.check()


async def test_a_full_server_refuses_a_commit_whole(own_server: EmbeddedView) -> None:
    async with connected(own_server.url) as view:
        owner = Owner(view.store)
        await owner.commit(write(person(0), b"before"))
        with client_of(own_server.url) as client:
            client.config_set("maxmemory", "1mb")
            with pytest.raises(Retry, match="full"):
                await owner.commit(write(person(0), b"after", joined=(1,)), changes=(b"c",))
            client.config_set("maxmemory", "0")
        assert await view.reader.records([person(0)]) == [b"before"]
        assert await view.store.outbox_sizes([0]) == {0: 0}
        assert await owner.commit(write(person(0), b"after")) is Outcome.COMMITTED


async def test_a_wrong_password_is_a_crash_that_names_the_setting(own_server: EmbeddedView) -> None:
    with client_of(own_server.url) as client:
        client.config_set("requirepass", "right")
    async with connected(own_server.url.replace("redis://", "redis://:wrong@")) as view:
        with pytest.raises(Crash, match="MUSTER_REDIS"):
            await view.store.positions([0])
    async with connected(own_server.url.replace("redis://", "redis://:right@")) as view:
        assert await view.store.positions([0]) == {}


async def test_a_single_server_taken_for_a_cluster_is_a_crash_with_the_remedy(view_url: str) -> None:
    store = connect_store(Settings(redis=view_url, redis_cluster=True))
    with pytest.raises(Crash, match="MUSTER_REDIS_CLUSTER=false"):
        await store.positions([0])
    await store.aclose()
