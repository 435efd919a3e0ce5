"""A store that is away keeps nobody waiting, and what was known before it went answers until it is back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cohort_store.memory import MemoryStore
from cohort_store.ports import Membership
from cohort_store.subjects import Subject
from cohort_store.warming import WarmUp
from evaluator.reading.breaker import FAILURES_TO_OPEN, Breaker, BreakerState
from evaluator.reading.coverage import Coverage
from evaluator.reading.last_known import Known, LastKnown
from evaluator.reading.steady_reading import PROBED_MAX, SteadyReader
from tests.evaluator.building import NOW_MS, SHARDS, cohort_view, store_people

HANDLE = cohort_view().handle
DEADLINE_S = 0.2
PATIENCE_S = 10.0


class HaltingStore(MemoryStore):
    """The twin, which keeps silent while it is halted, and counts its calls."""

    def __init__(self) -> None:
        super().__init__(SHARDS)
        self.calls = 0
        self._goes = asyncio.Event()
        self._goes.set()

    def halt(self) -> None:
        self._goes.clear()

    def resume(self) -> None:
        self._goes.set()

    async def memberships(self, subjects: Sequence[Subject]) -> list[Membership]:
        self.calls += 1
        await self._goes.wait()
        return await super().memberships(subjects)


class Recalls:
    """What a reader tells of its recalls."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    def __call__(self, known: bool) -> None:
        self.told.append(known)


@asynccontextmanager
async def _reading(
    store: MemoryStore, coverage: Coverage | None = None, recalls: Recalls | None = None
) -> AsyncIterator[SteadyReader]:
    reader = SteadyReader(
        store,
        LastKnown(1_000_000),
        lambda _team: (coverage or Coverage([cohort_view(registry_version=1)], 5), 5),
        report=lambda _reads, _failed: None,
        recalled=recalls or Recalls(),
        deadline_s=DEADLINE_S,
    )
    try:
        yield reader
    finally:
        await reader.close()


async def _filled(position: dict[str, Any] | None = None, **people: Sequence[int]) -> HaltingStore:
    store = HaltingStore()
    await store_people(store, people, position=position, pairs={"browser": "ada"})
    return store


async def _timed(reader: SteadyReader, who: str) -> tuple[Known | None, float]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    read = await reader.read(1, who)
    return read.known, loop.time() - began


async def _until_closed(reader: SteadyReader) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while reader.breaker_state is not BreakerState.CLOSED:
            await asyncio.sleep(0.005)


def test_a_breaker_opens_at_its_bound_of_failures_in_a_row_and_closes_with_any_success() -> None:
    breaker = Breaker()
    for _ in range(2):
        told = [breaker.failed() for _ in range(FAILURES_TO_OPEN - 1)]
        breaker.succeeded()
        told += [breaker.failed() for _ in range(FAILURES_TO_OPEN + 1)]
        assert told == [False] * (2 * FAILURES_TO_OPEN - 2) + [True, False]
        states = [breaker.state]
        breaker.probe()
        states.append(breaker.state)
        assert breaker.failed() is False
        states.append(breaker.state)
        breaker.succeeded()
        states.append(breaker.state)
        assert [state.name for state in states] == ["OPEN", "HALF_OPEN", "OPEN", "CLOSED"]


async def test_a_person_who_was_read_is_known_when_the_store_is_away_by_each_of_her_ids() -> None:
    store, recalls = await _filled(ada=[HANDLE]), Recalls()
    async with _reading(store, recalls=recalls) as reader:
        assert (await reader.read(1, "browser")).known is None
        store.unreachable_for(1_000)
        for who in ("browser", "ada"):
            read = await reader.read(1, who)
            assert (read.person, read.membership) == ("ada", None)
            assert read.known is not None
            assert read.known.membership.handles == {HANDLE}
        assert (await reader.read(1, "grace")).known is None
        assert recalls.told == [True, True, False]
        store.unreachable_for(0)
        await _until_closed(reader)
        assert (await reader.read(1, "ada")).membership is not None


async def test_a_silent_store_costs_one_deadline_and_then_nothing_until_it_answers_again() -> None:
    store = await _filled(ada=[HANDLE])
    async with _reading(store) as reader:
        await reader.read(1, "ada")
        store.halt()
        while reader.breaker_state is BreakerState.CLOSED:
            asked = [asyncio.create_task(_timed(reader, who)) for who in ("ada", "grace", "ivy")]
            for answered in await asyncio.gather(*asked):
                assert answered[1] < 2 * DEADLINE_S
        calls = store.calls
        known, waited = await _timed(reader, "ada")
        assert known is not None
        assert waited < DEADLINE_S / 4
        assert store.calls <= calls + 1
        store.resume()
        await _until_closed(reader)
        assert (await reader.read(1, "ada")).membership is not None


async def test_no_read_waits_longer_than_its_deadline_behind_calls_that_hang() -> None:
    store = await _filled(ada=[HANDLE])
    async with _reading(store) as reader:
        store.halt()
        asked = []
        for number in range(20):
            asked.append(asyncio.create_task(_timed(reader, f"person-{number}")))
            await asyncio.sleep(0.005)
        waits = [waited for _, waited in await asyncio.gather(*asked)]
        assert max(waits) < DEADLINE_S * 1.5
        store.resume()


async def test_a_probe_asks_for_those_who_failed_and_for_no_more_than_its_bound() -> None:
    store = await _filled()
    async with _reading(store) as reader:
        store.unreachable_for(FAILURES_TO_OPEN)
        for turn in range(FAILURES_TO_OPEN):
            await asyncio.gather(*(reader.read(1, f"person-{turn}-{number}") for number in range(PROBED_MAX)))
        assert len(reader._failed) == PROBED_MAX
        await _until_closed(reader)
        await asyncio.wait_for(asyncio.shield(reader._probing or asyncio.sleep(0)), PATIENCE_S)
        assert not reader._failed


async def test_who_was_a_member_before_the_store_lost_its_data_is_known_as_one_until_it_is_filled_in_again() -> None:
    filled = Coverage([cohort_view(registry_version=1, backfilled=True, warm_up=WarmUp(1_000))], 5)
    store = await _filled(ada=[HANDLE])
    async with _reading(store, filled) as reader:
        assert (await reader.read(1, "ada")).known is None
        for emptied in (
            HaltingStore(),
            await _filled({"warm_from_ms": NOW_MS + 1, "now_ms": NOW_MS + 1_000}, ada=[]),
            await _filled({"warm_from_ms": NOW_MS + 1, "now_ms": NOW_MS + 1_000}, ada=[]),
        ):
            reader._coalescing._reader = emptied
            known = (await reader.read(1, "ada")).known
            assert known is not None
            assert known.membership.handles == {HANDLE}
        whole = await _filled({"warm_from_ms": NOW_MS + 1, "now_ms": NOW_MS + 1_001}, ada=[])
        reader._coalescing._reader = whole
        assert (await reader.read(1, "ada")).known is None
        whole.unreachable_for(1)
        known = (await reader.read(1, "ada")).known
        assert known is not None
        assert known.membership.handles == set()


@pytest.mark.parametrize("position", [{"ready": 1}, {"ready": 0}])
async def test_a_read_that_answers_for_some_is_better_than_none(position: dict[str, Any]) -> None:
    store = await _filled(position, ada=[HANDLE])
    async with _reading(store, Coverage([cohort_view(registry_version=2)], 5)) as reader:
        assert (await reader.read(1, "ada")).known is None
        store.unreachable_for(1)
        known = (await reader.read(1, "ada")).known
        assert known is not None
        assert known.membership.ready == position["ready"]
