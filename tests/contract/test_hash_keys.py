"""In whose place persons came: what is kept, never replaced, and let go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import monotonic

import pytest

from cohort_store.hash_keys import HashKeyStore, MemoryHashKeys
from cohort_store.redis.wiring import connect_hash_keys
from cohort_store.settings import Settings
from cohort_store.subjects import Subject
from tests.contract.building import DEADLINE_S
from tests.contract.conftest import CLUSTER, SERVER, view_settings

ADA, BOB = Subject(1, 0, "ada"), Subject(1, 0, "2f0cbb1e-7d3c-4a0e-9c0c-0b8f3a1f5f10")


@pytest.fixture(params=["memory", SERVER, CLUSTER])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[HashKeyStore]:
    if request.param == "memory":
        yield MemoryHashKeys()
        return
    async with AsyncExitStack() as stack:
        made = connect_hash_keys(view_settings(request, request.param))
        stack.push_async_callback(made.aclose)
        yield made


async def test_nothing_is_kept_of_somebody_new(store: HashKeyStore) -> None:
    assert await store.read([ADA, BOB]) == [{}, {}]
    assert await store.read([]) == []


async def test_what_is_kept_is_read_by_subject_and_in_order(store: HashKeyStore) -> None:
    assert await store.keep(ADA, {"f": "anon-1", "größe": "é✓"}) == {"f": "anon-1", "größe": "é✓"}
    assert await store.keep(BOB, {"f": "anon-2"}) == {"f": "anon-2"}
    other_team = Subject(2, 0, "ada")
    assert await store.read([BOB, other_team, ADA]) == [{"f": "anon-2"}, {}, {"f": "anon-1", "größe": "é✓"}]


async def test_what_is_kept_is_never_replaced(store: HashKeyStore) -> None:
    await store.keep(ADA, {"f": "first"})
    assert await store.keep(ADA, {"f": "second", "g": "second"}) == {"f": "first", "g": "second"}
    assert await store.read([ADA]) == [{"f": "first", "g": "second"}]
    assert await store.keep(ADA, {}) == {"f": "first", "g": "second"}


async def test_of_many_who_keep_at_once_one_wins_for_all(store: HashKeyStore) -> None:
    found = await asyncio.gather(*(store.keep(ADA, {"f": f"anon-{n}"}) for n in range(20)))
    assert len({each["f"] for each in found}) == 1


async def test_what_is_forgotten_is_gone_and_others_stay(store: HashKeyStore) -> None:
    await store.keep(ADA, {"f": "x"})
    await store.keep(BOB, {"f": "y"})
    await store.forget([ADA, Subject(1, 0, "nobody")])
    assert await store.read([ADA, BOB]) == [{}, {"f": "y"}]


@pytest.mark.services
async def test_what_nobody_asks_for_is_let_go_and_a_question_keeps_it(view_url: str) -> None:
    second = 1 / 86_400
    short, long = (connect_hash_keys(Settings(redis=view_url, continuity_days=days)) for days in (second, 1.0))
    await short.keep(ADA, {"f": "x"})
    await short.keep(BOB, {"f": "x"})
    await long.read([BOB])
    deadline = monotonic() + DEADLINE_S
    while (await _length(long, ADA)) and monotonic() < deadline:
        await asyncio.sleep(0.05)
    assert (await _length(long, ADA), await _length(long, BOB)) == (0, 1)
    await short.aclose()
    await long.aclose()


async def _length(store: object, subject: Subject) -> int:
    """How much is kept, without a question that would keep it on."""
    from cohort_store.redis.hash_keys import RedisHashKeys
    from cohort_store.redis.link import Call, pack

    assert isinstance(store, RedisHashKeys)
    route, key = store._place(subject)
    (length,) = await store._link.run([Call(route, pack(b"HLEN", key))])
    return int(length)
