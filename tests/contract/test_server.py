"""What only a real server can show: encodings, forgotten scripts, shared connections, foreign keys."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis

from cohort_store.errors import Crash
from cohort_store.ports import DistinctIdWrite, Outcome
from cohort_store.redis import link
from cohort_store.redis.keys import ShardKeys
from cohort_store.redis.wiring import connect_store
from cohort_store.settings import Settings
from cohort_store.subjects import DISTINCT_ID, Subject, shard_of
from tests.contract.building import SHARDS, Owner, View, person, uuid_persons, write
from tests.contract.servers import client_of, connected


@pytest.fixture
async def served(view_url: str) -> AsyncIterator[View]:
    """The session's server, empty."""
    async with connected(view_url) as view:
        yield view


def version_of(client: redis.Redis) -> tuple[int, ...]:
    return tuple(int(part) for part in str(client.info("server")["redis_version"]).split(".")[:2])


async def test_buckets_stay_small_enough_to_be_packed_lists(served: View) -> None:
    owner = Owner(served.store)
    subjects = [subject for subject, _ in zip(uuid_persons(0), range(10_000), strict=False)]
    for start in range(0, len(subjects), 200):
        await owner.commit(*(write(subject, b"r", joined=(1,)) for subject in subjects[start : start + 200]))
    with client_of(served.url) as client:
        buckets = list(client.scan_iter(match="{m:0}:c:1:*", count=1_000))
        sizes = [client.scard(bucket) for bucket in buckets]
        encodings = {client.object("encoding", bucket) for bucket in buckets}
        packed = version_of(client) >= (7, 2)
    assert sum(sizes) == 10_000
    assert max(sizes) <= 128
    assert len(buckets) <= 10_000 / 40
    assert encodings == ({b"listpack"} if packed else {b"hashtable"})


async def test_memberships_are_sets_of_integers(served: View) -> None:
    await Owner(served.store).commit(write(person(0), joined=(1, 70_000)))
    with client_of(served.url) as client:
        (key,) = client.keys("{m:0}:u:*")
        assert client.object("encoding", key) == b"intset"


async def test_a_list_that_everyone_left_leaves_nothing_behind(served: View) -> None:
    owner = Owner(served.store)
    subjects = [subject for subject, _ in zip(uuid_persons(0), range(200), strict=False)]
    await owner.commit(*(write(subject, joined=(1,)) for subject in subjects))
    await owner.commit(*(write(subject, None) for subject in subjects))
    with client_of(served.url) as client:
        assert client.keys("*") == [b"{m:0}:pos"]


async def test_a_server_that_forgot_the_scripts_is_told_again(served: View) -> None:
    owner = Owner(served.store)
    await owner.commit(changes=(b"1",))
    with client_of(served.url) as client:
        client.script_flush()
    assert await owner.commit(changes=(b"2",)) is Outcome.COMMITTED
    with client_of(served.url) as client:
        client.script_flush()
    await served.store.drop_outbox({0: (await served.store.outbox([0], 1))[0][0].id})
    assert await served.store.outbox_sizes([0]) == {0: 1}


async def test_an_entry_whose_id_a_successor_gave_to_another_change_is_not_dropped(served: View) -> None:
    owner = Owner(served.store)
    await owner.commit(changes=(b"lost in a failover",))
    entry = (await served.store.outbox([0], 1))[0][0]
    with client_of(served.url) as client:
        client.delete("{m:0}:outbox")
        client.xadd("{m:0}:outbox", {"c": b"told again"}, id=entry.id.split(b"/")[0])
    await served.store.drop_outbox({0: entry.id})
    assert await served.store.outbox_sizes([0]) == {0: 1}


async def test_more_calls_at_once_than_connections_wait_their_turn(served: View) -> None:
    owners = [Owner(served.store, shard) for shard in range(SHARDS)]
    for round_ in range(2):
        outcomes = await asyncio.gather(*(owner.commit(write(person(owner.shard))) for owner in owners))
        assert set(outcomes) == {Outcome.COMMITTED}, round_
    asked = link.EXCHANGES_MAX * 4
    found = await asyncio.gather(*(served.reader.records([person(n % SHARDS)]) for n in range(asked)))
    assert found == [[b"record"]] * asked


async def test_a_call_that_is_given_up_leaves_no_answer_for_the_next(served: View) -> None:
    await Owner(served.store).commit(write(person(0), b"zero"))
    await Owner(served.store, 1).commit(write(person(1), b"one"))
    for _ in range(20):
        given_up = asyncio.create_task(served.reader.records([person(0)]))
        await asyncio.sleep(0)
        given_up.cancel()
        assert await served.reader.records([person(1)]) == [b"one"]
        await asyncio.gather(given_up, return_exceptions=True)


async def test_a_key_of_a_foreign_type_is_a_crash(served: View) -> None:
    with client_of(served.url) as client:
        client.set("{m:0}:pos", "not ours")
    with pytest.raises(Crash, match="WRONGTYPE"):
        await served.store.positions([0])


async def test_two_prefixes_on_one_server_do_not_meet(view_url: str) -> None:
    first = connect_store(Settings(redis=view_url, redis_prefix="one"))
    second = connect_store(Settings(redis=view_url, redis_prefix="two"))
    subject = Subject(1, 0, "x")
    await Owner(first).commit(write(subject))
    assert await second.positions([0]) == {}
    assert await second.load({0: [subject]}) == {}
    await asyncio.gather(first.aclose(), second.aclose())


async def test_that_a_distinct_id_is_nobodys_is_kept_for_as_long_as_was_asked_and_a_new_pair_for_good(
    served: View,
) -> None:
    shard = shard_of(Subject(1, DISTINCT_ID, "d"), SHARDS)
    key, owner = ShardKeys("m", shard).person(1, "d"), Owner(served.store, shard)
    await owner.commit(distinct_ids=(DistinctIdWrite(1, "d", "", 5, kept_ms=60_000),))
    with client_of(served.url) as client:
        assert 0 < client.pttl(key) <= 60_000
        await owner.commit(distinct_ids=(DistinctIdWrite(1, "d", "p", 6),))
        assert client.pttl(key) == -1
        await owner.commit(distinct_ids=(DistinctIdWrite(1, "d", "", 7, kept_ms=1),))
        deadline = asyncio.get_running_loop().time() + 10
        while client.exists(key):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.01)
