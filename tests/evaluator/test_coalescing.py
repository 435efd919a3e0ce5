"""Reads asked for together leave together; a guess is never an answer; a store that is away is said so."""

import asyncio
from collections.abc import Sequence

import pytest

from cohort_store.memory import MemoryStore
from cohort_store.ports import Membership
from cohort_store.subjects import Subject
from evaluator.reading.coalescing import BATCH_MAX, CoalescingReader, Read
from tests.evaluator.building import SHARDS, store_people

HANDLE = 7


class CountingStore(MemoryStore):
    """The twin, with the sizes of the calls made, and a gate that holds calls back while it is shut."""

    def __init__(self) -> None:
        super().__init__(SHARDS)
        self.calls: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def memberships(self, subjects: Sequence[Subject]) -> list[Membership]:
        self.calls.append(len(subjects))
        await self.gate.wait()
        return await super().memberships(subjects)


class Reports:
    """What a reader tells of its calls."""

    def __init__(self) -> None:
        self.told: list[tuple[int, bool]] = []

    def __call__(self, reads: int, failed: bool) -> None:
        self.told.append((reads, failed))


async def _filled(**people: Sequence[int]) -> CountingStore:
    store = CountingStore()
    await store_people(store, people)
    return store


def _handles(read: Read) -> set[int] | None:
    return None if read.membership is None else set(read.membership.handles)


async def test_a_hundred_reads_of_one_tick_are_one_call() -> None:
    store, reports = await _filled(ada=[HANDLE]), Reports()
    reader = CoalescingReader(store, reports)
    reads = await asyncio.gather(*(reader.read(1, f"person-{n}") for n in range(99)), reader.read(1, "ada"))
    assert store.calls == [100]
    assert reports.told == [(100, False)]
    assert [_handles(read) for read in (reads[0], reads[-1])] == [set(), {HANDLE}]


async def test_reads_of_the_same_person_share_one_place_in_the_call() -> None:
    store = await _filled(ada=[HANDLE])
    reader = CoalescingReader(store, Reports())
    reads = await asyncio.gather(*(reader.read(1, "ada") for _ in range(50)))
    assert store.calls == [1]
    assert {read.person for read in reads} == {"ada"}


async def test_what_arrives_while_all_flights_are_out_leaves_together_afterwards() -> None:
    store = await _filled()
    reader = CoalescingReader(store, Reports())
    store.gate.clear()
    tasks = []
    for number in range(10):
        tasks.append(asyncio.create_task(reader.read(1, f"person-{number}")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    waiting = 10 - sum(store.calls)
    store.gate.set()
    await asyncio.gather(*tasks)
    assert waiting > 1
    assert store.calls[-1] == waiting


async def test_a_call_is_never_larger_than_its_bound() -> None:
    store = await _filled()
    reader = CoalescingReader(store, Reports())
    await asyncio.gather(*(reader.read(1, f"person-{n}") for n in range(BATCH_MAX + 10)))
    assert store.calls == [BATCH_MAX, 10]


async def test_a_distinct_id_answers_for_its_person_and_costs_one_call_the_next_time() -> None:
    store = await _filled(ada=[HANDLE])
    await store_people(store, {}, pairs={"browser-1": "ada"})
    reader = CoalescingReader(store, Reports())
    for calls in ([1, 1], [1, 1, 1]):
        read = await reader.read(1, "browser-1")
        assert (read.person, _handles(read)) == ("ada", {HANDLE})
        assert store.calls == calls


async def test_an_id_that_changes_its_person_is_answered_rightly_at_once() -> None:
    store = await _filled(ada=[HANDLE], grace=[])
    await store_people(store, {}, pairs={"browser-1": "ada"})
    reader = CoalescingReader(store, Reports())
    assert _handles(await reader.read(1, "browser-1")) == {HANDLE}
    await store_people(store, {}, pairs={"browser-1": "grace"})
    read = await reader.read(1, "browser-1")
    assert (read.person, _handles(read)) == ("grace", set())


async def test_a_store_that_is_away_gives_reads_that_say_so_and_the_next_ones_work() -> None:
    store, reports = await _filled(ada=[HANDLE]), Reports()
    reader = CoalescingReader(store, reports)
    store.unreachable_for(1)
    away = await asyncio.gather(reader.read(1, "ada"), reader.read(1, "grace"))
    assert [read.membership for read in away] == [None, None]
    assert _handles(await reader.read(1, "ada")) == {HANDLE}
    assert reports.told == [(2, True), (1, False)]


async def test_a_call_beyond_its_deadline_is_given_up() -> None:
    store, reports = await _filled(ada=[HANDLE]), Reports()
    reader = CoalescingReader(store, reports, deadline_s=0.01)
    store.gate.clear()
    assert (await reader.read(1, "ada")).membership is None
    store.gate.set()
    assert _handles(await reader.read(1, "ada")) == {HANDLE}
    assert reports.told == [(1, True), (1, False)]


async def test_an_error_that_is_none_of_the_stores_reaches_everyone_who_asked() -> None:
    class Broken(CountingStore):
        async def memberships(self, subjects: Sequence[Subject]) -> list[Membership]:
            raise ValueError(f"{len(subjects)} subjects")

    reader = CoalescingReader(Broken(), Reports())
    outcomes = await asyncio.gather(reader.read(1, "ada"), reader.read(1, "grace"), return_exceptions=True)
    assert [type(each) for each in outcomes] == [ValueError, ValueError]


async def test_a_read_whose_asker_has_gone_does_not_hold_up_the_others() -> None:
    store = await _filled(ada=[HANDLE])
    reader = CoalescingReader(store, Reports())
    gone = asyncio.create_task(reader.read(1, "ada"))
    stays = asyncio.create_task(reader.read(1, "ada"))
    await asyncio.sleep(0)
    gone.cancel()
    assert _handles(await stays) == {HANDLE}
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_closing_waits_for_the_calls_under_way() -> None:
    store = await _filled(ada=[HANDLE])
    reader = CoalescingReader(store, Reports())
    store.gate.clear()
    read = asyncio.create_task(reader.read(1, "ada"))
    while not store.calls:
        await asyncio.sleep(0)
    closing = asyncio.create_task(reader.close())
    await asyncio.sleep(0)
    assert not closing.done()
    store.gate.set()
    await closing
    assert _handles(await read) == {HANDLE}
