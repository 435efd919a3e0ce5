"""A dry run tells what filling in then does, and writes nothing."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from cohort_store.compiling import backfill
from processors.backfill.dry_run import Difference, DryRun
from processors.backfill.wanted import wanted_of
from tests.backfill.test_filling_in import PEOPLE, World, _no_waiting, bought, subject
from tests.domain.strategies import Cohorts, cohort_sets, histories
from tests.examples import lots_of
from tests.oracle.membership import Event

__all__ = ["_no_waiting"]


async def differences(world: World, sample: int = 10) -> list[Difference]:
    handles = [cohort.handle for cohort in world.plan.cohorts]
    world.behind, before = 0, world.behind
    run = DryRun(world.store, world.plan, await world.store.positions(range(4)), handles)
    asked = wanted_of(world.registry, 1, frozenset(handles))
    found = await run.compare(world, asked, 2, sample, lambda _: None)
    world.behind = before
    return found


@lots_of(PEOPLE)
@given(cohort_sets(), st.lists(histories(), min_size=PEOPLE, max_size=PEOPLE), st.data())
def test_it_tells_who_comes_and_goes_when_the_same_history_is_filled_in(
    cohorts: Cohorts, people: list[list[Event]], data: st.DataObject
) -> None:
    live = [[event for event in events if data.draw(st.booleans())] for events in people]

    async def story() -> None:
        world = World(cohorts, people)
        await world.adopt()
        for number, events in enumerate(live):
            await world.live([world.delta(number, [event]) for event in events])
        before = [await world.members(number) for number in range(PEOPLE)]
        offsets = dict(world.offsets)
        found = await differences(world)
        assert [await world.members(number) for number in range(PEOPLE)] == before
        assert (world.offsets, world.sent) == (offsets, [])
        world.registry = backfill(world.registry, await world.fill())
        after = [await world.members(number) for number in range(PEOPLE)]
        for each in found:
            key = each.cohort.key
            come = {subject(n).id for n in range(PEOPLE) if after[n][key] and not before[n][key]}
            go = {subject(n).id for n in range(PEOPLE) if before[n][key] and not after[n][key]}
            assert (set(each.come.some), set(each.go.some)) == (come, go)

    asyncio.run(story())


async def test_a_sample_is_bounded_and_the_count_is_not() -> None:
    world = World([{"key": "buyers", "when": {"kind": "performed", "event": "a", "within": "12ms"}}], [bought(20)] * 9)
    await world.adopt()
    (found,) = await differences(world, sample=2)
    assert (found.come.count, len(found.come.some), found.go.count) == (9, 2, 0)
