"""Runs that operators ask for and cancel: what is read, at which pace, and what versions are left as."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from cohort_store.compiling import activate, ask_backfill, assign, backfill, leave_backfill
from cohort_store.definitions import parse_cohort
from cohort_store.deltas import DeltaMessage
from cohort_store.errors import Retry
from cohort_store.plans import compile_plan
from cohort_store.ports import Position
from cohort_store.registry import CohortVersion, Fill, Registry
from processors.backfill.asking import ASKED_NOTE, TAKEN_NOTE, Asked, Asking, Ended, Outcome
from processors.backfill.filling_in import FillingIn, noted_status
from processors.backfill.ports import Part, Reading, Seed
from processors.backfill.wanted import Wanted, of_any_time, wanted
from processors.control.history_turns import fill_in, stop_what_is_cancelled
from processors.router.progress import Source
from tests.backfill.test_filling_in import BUYERS, World, _no_waiting, bought, with_sources
from tests.domain.roll import registry_of
from tests.oracle.membership import Event

__all__ = ["_no_waiting"]

START = bought(0)[0].time_ms
PEOPLE = [bought(20, 21), bought(20, 22), bought(20, 23)]
FIRST: list[dict[str, Any]] = [{"key": "first", "when": {"kind": "first_time", "event": "a", "within": "1d"}}]
DEADLINE_S = 10.0


class Control:
    """What control is to a filling in: the registry, in memory, and turn after turn."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.filling: FillingIn = world.filling_in()
        self.asking = Asking(world.notes)
        self.reminded: list[Mapping[int, Position]] = []

    @property
    def registry(self) -> Registry:
        return self.world.registry

    async def change(self, step: Callable[[Registry], Registry]) -> bool:
        before = self.world.registry
        self.world.registry = step(before)
        self.world.owner.follow(compile_plan(self.world.registry))
        return self.world.registry is not before

    async def turn(self) -> None:
        async def remind(positions: Mapping[int, Position]) -> None:
            self.reminded.append(positions)

        await asyncio.wait_for(fill_in(self, self.filling, remind), DEADLINE_S)

    async def ask(self, **how: Any) -> None:
        handles = tuple(each.handle for cohort in self.registry.team(1).cohorts for each in cohort.versions)
        await self.asking.ask(Asked("run", handles, **how))

    def version(self, cohort: int = 0) -> CohortVersion:
        return self.registry.team(1).cohorts[cohort].versions[-1]


async def control_of(people: Sequence[Sequence[Event]] = PEOPLE, cohorts: Any = BUYERS) -> Control:
    world = World(cohorts, people)
    await world.adopt()
    return Control(world)


async def filled(people: Sequence[Sequence[Event]] = PEOPLE, cohorts: Any = BUYERS) -> Control:
    """One whose versions have their history."""
    control = await control_of(people, cohorts)
    await control.turn()
    assert control.version().backfilled
    control.world.parts_read.clear()
    return control


def late(cohorts: Any, before: Registry | None = None) -> Registry:
    """Cohorts that were defined at START + 100."""
    parsed = [parse_cohort(cohort) for cohort in cohorts]
    return with_sources(assign(before or Registry(), parsed, {}, applied="late", now=START + 100))


def states(registry: Registry) -> list[tuple[bool, Fill]]:
    return [(each.backfilled, each.fill) for cohort in registry.team(1).cohorts for each in cohort.versions]


# What versions are, step by step.


def test_what_is_cancelled_lacks_its_history_until_somebody_asks_and_what_had_it_keeps_it() -> None:
    fresh = with_sources(registry_of(BUYERS))
    left = leave_backfill(fresh, [2])
    assert states(left) == [(False, Fill.LEFT)]
    assert not wanted(left)
    assert leave_backfill(left, [2]) is left
    asked = ask_backfill(left, [2])
    assert states(asked) == [(False, Fill.ONCE)]
    assert wanted(asked)
    has_it = backfill(asked, {2: START})
    again = ask_backfill(has_it, [2])
    assert states(again) == [(True, Fill.AGAIN)]
    assert wanted(again)
    assert states(leave_backfill(again, [2])) == [(True, Fill.ONCE)]
    assert states(backfill(again, {2: START})) == [(True, Fill.ONCE)]


def test_a_part_of_the_past_makes_complete_from_there_on_and_no_more() -> None:
    fresh = late(BUYERS)
    (version,) = backfill(fresh, {2: START}, START + 50).team(1).cohorts[0].versions
    assert (version.activated_ms, version.backfilled, version.fill) == (START + 50, False, Fill.LEFT)
    (version,) = backfill(fresh, {2: START}, START + 200).team(1).cohorts[0].versions
    assert version.activated_ms == START + 100, "live events were counted before"
    for begins in (START + 50, START + 60, None):
        (version,) = backfill(fresh, {2: begins}, START + 50).team(1).cohorts[0].versions
        assert (version.activated_ms, version.backfilled) == (
            min(begins or START + 100, START + 100),
            True,
        ), "there is nothing before"
    whole = backfill(fresh, {2: START})
    assert backfill(ask_backfill(whole, [2]), {2: START}, START + 50).teams == whole.teams


def test_an_edit_that_was_cancelled_takes_over_as_one_without_its_history() -> None:
    before = backfill(with_sources(registry_of(BUYERS)), {2: START})
    longer = [{**BUYERS[0], "when": {**BUYERS[0]["when"], "within": "1d"}}]
    edited = late(longer, before)
    handle = edited.team(1).cohorts[0].versions[-1].handle
    assert activate(edited, edited.version, with_history=True) is edited
    after = activate(left := leave_backfill(edited, [handle]), left.version, with_history=True)
    (version,) = after.team(1).cohorts[0].versions
    assert (version.handle, version.activated_ms, version.backfilled) == (handle, START + 100, False)


def test_conditions_that_an_event_of_any_time_decides_are_named_with_their_cohorts() -> None:
    registry = registry_of(
        [
            *BUYERS,
            *FIRST,
            {"key": "back", "when": {"not": {"kind": "restarted", "event": "a", "within": "9ms", "recent": "3ms"}}},
            {"key": "pro", "when": {"kind": "person_property", "property": "plan", "value": "pro"}},
            {"key": "since", "when": {"kind": "performed", "event": "a", "since": "2024-01-01"}},
        ]
    )
    assert list(of_any_time(registry.team(1).cohorts)) == [
        ("first", "first_time"),
        ("back", "restarted"),
        ("pro", "person_property"),
    ]


# Runs.


async def test_a_run_reads_as_it_was_asked_to_and_tells_how_it_ended() -> None:
    control = await filled()
    since_ms = START + 22
    await control.ask(since_ms=since_ms, max_threads=3)
    await control.turn()
    assert set(control.world.read[len(PEOPLE) :]) == {Reading(since_ms, 3)}
    assert await control.asking.ended() == Ended("run", Outcome.DONE, 2)
    assert await control.asking.asked() is None
    assert (control.version().activated_ms, control.version().backfilled) == (0, True), "it stays as it was"
    await control.turn()
    assert control.world.parts_read == [0, 1, 2], "and it is done once"


async def test_a_version_that_was_left_is_complete_from_where_a_run_began_to_read() -> None:
    control = await control_of()
    control.world.registry = leave_backfill(late(BUYERS), [2])
    await control.turn()
    assert control.world.parts_read == [], "nothing is done by itself"
    await control.ask(since_ms=START + 21)
    await control.turn()
    assert (control.version().activated_ms, control.version().fill) == (START + 21, Fill.LEFT)
    assert [await control.world.members(number) for number in range(3)] == [{"buyers": False}] * 3
    await control.turn()
    assert control.world.parts_read == [0, 1, 2], "nor the rest of it"
    await control.asking.ask(Asked("whole", (2,)))
    await control.turn()
    assert (control.version().activated_ms, control.version().backfilled) == (START + 20, True)
    assert [await control.world.members(number) for number in range(3)] == [{"buyers": True}] * 3


async def test_what_is_filled_in_by_itself_comes_before_a_run_and_is_read_whole() -> None:
    control = await filled()
    await control.ask(since_ms=START + 22, persons_per_s=1)
    both = [*BUYERS, {"key": "again", "when": {**BUYERS[0]["when"], "n": 1, "within": "13ms"}}]
    control.world.registry = with_sources(registry_of(both, control.registry))
    await control.change(lambda registry: registry)
    control.world.read.clear()
    await control.turn()
    assert {reading.since_ms for reading in control.world.read} == {None}
    assert await control.asking.ended() is None
    await control.turn()
    assert {reading.since_ms for reading in control.world.read} == {None, START + 22}
    assert await control.asking.ended() == Ended("run", Outcome.DONE, 2)


async def test_a_run_for_what_is_gone_ends_at_once() -> None:
    control = await filled()
    await control.asking.ask(Asked("run", (99,)))
    await control.turn()
    assert await control.asking.ended() == Ended("run", Outcome.DONE, 0)
    assert control.world.parts_read == []


async def test_a_run_that_was_killed_goes_on_as_it_was_asked_for() -> None:
    control = await filled()
    await control.ask(since_ms=START)
    control.world.breaks = {2}
    with pytest.raises(Retry):
        await control.turn()
    control.filling = control.world.filling_in()
    await control.turn()
    assert control.world.parts_read == [0, 1, 1, 2]
    assert {reading.since_ms for reading in control.world.read[len(PEOPLE) :]} == {START}


async def test_a_run_can_be_withdrawn_until_it_is_taken_up_and_not_from_then_on() -> None:
    control = await filled()
    asking, run = control.asking, Asked("run", (2,))
    await asking.ask(run)
    assert await asking.withdraw(run)
    assert await asking.take() is None
    await asking.ask(run)
    assert await asking.take() == run
    assert not await asking.withdraw(run)
    assert await asking.asked() == run


async def test_a_run_that_is_withdrawn_in_the_moment_in_which_it_is_taken_up_is_begun_with_all_that_was_asked() -> None:
    control = await filled()
    run = Asked("run", (2,), since_ms=START + 22)
    await control.asking.ask(run)
    keep = control.world.notes.keep_note

    async def withdrawing(name: str, note: bytes | None) -> None:
        if name == TAKEN_NOTE:
            control.world.notes.keep_note = keep  # type: ignore[method-assign]
            await keep(ASKED_NOTE, None)
        await keep(name, note)

    control.world.notes.keep_note = withdrawing  # type: ignore[method-assign]
    await control.turn()
    assert control.version().fill is Fill.ONCE, "nothing was asked of the registry"
    assert not await control.asking.withdraw(run), "and who withdraws it finds that, and asks again"
    await control.turn()
    assert set(control.world.read[len(PEOPLE) :]) == {Reading(START + 22)}


async def test_an_end_that_was_told_is_not_begun_once_more() -> None:
    control = await filled()
    await control.ask()
    await control.world.notes.keep_note("backfill-ended", msgspec.json.encode(Ended("run", Outcome.DONE, 0)))
    await control.turn()
    assert control.world.parts_read == []


async def test_a_run_sends_no_more_persons_than_its_rate_allows() -> None:
    control = await filled([bought(20, 21)] * 12)
    clock, sent = [0.0], list[float]()
    world, send = control.world, control.world.send

    def elapsed_s() -> float:
        clock[0] += 0.01
        return clock[0]

    async def timed(messages: Any) -> dict[int, int]:
        sent.append(clock[0])
        return await send(messages)

    world.send = timed  # type: ignore[method-assign]
    control.filling = FillingIn(control.filling._parts._replace(elapsed_s=elapsed_s))
    await control.ask(persons_per_s=2)
    await control.turn()
    assert len(sent) == 12
    assert all(later - earlier >= 0.5 - 1e-9 for earlier, later in itertools.pairwise(sent))
    assert sent[-1] - sent[0] < 5.5 + 12 * 0.2


# Cancelling.


async def cancelled_in(control: Control, under_way: Callable[[], Awaitable[bool]]) -> None:
    """Cancel what is under way once that is so, and wait until the turn is over."""
    turn = asyncio.ensure_future(control.turn())
    async with asyncio.timeout(DEADLINE_S):
        while not await under_way():
            assert not turn.done()
            await asyncio.sleep(0)
        status = await noted_status(control.world.notes)
        asked = await control.asking.asked()
        handles = (*(status.handles if status else ()), *(asked.handles if asked else ()))
        await control.asking.cancel(frozenset(handles))
        await turn
    assert await noted_status(control.world.notes) is None
    assert await control.asking.cancelled() == frozenset()


def stuck_in(world: World, place: str) -> Callable[[], Awaitable[bool]]:
    """Let the world never come back from there. What is returned says whether it was entered."""
    entered: list[bool] = []

    async def for_ever(*_: Any) -> Any:
        entered.append(True)
        await asyncio.Event().wait()

    async def blocks(wanted: Wanted, pruned_ms: int, part: Part) -> AsyncGenerator[Sequence[Seed], None]:  # noqa: ARG001
        await for_ever()
        yield []

    async def behind(activations: Iterable[Source], since_ms: int) -> str:  # noqa: ARG001
        entered.append(True)
        return "the archive of muster.events/0, 7 messages behind"

    async def unfolded(messages: Any) -> dict[int, int]:  # noqa: ARG001
        entered.append(True)
        return dict.fromkeys(range(2), 10**6)

    async def endless(partitions: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, 10**6)

    stand_ins: dict[str, Any] = {"seeds": blocks, "awaited": behind, "send": unfolded}
    setattr(world, place, stand_ins.get(place, for_ever))
    if place == "send":
        world.ends = endless  # type: ignore[method-assign]

    async def is_entered() -> bool:
        return bool(entered)

    return is_entered


@pytest.mark.parametrize("place", ["of", "awaited", "begins_ms", "persons", "seeds", "send"])
async def test_it_is_stopped_wherever_it_waits_and_is_not_begun_again(place: str) -> None:
    control = await control_of()
    await cancelled_in(control, stuck_in(control.world, place))
    assert (control.version().backfilled, control.version().fill) == (False, Fill.LEFT)
    control.filling = control.world.filling_in()
    await control.turn()
    assert await noted_status(control.world.notes) is None


async def test_one_that_rests_is_stopped_too() -> None:
    control = await control_of()
    await control.asking.pause(True)

    async def rests() -> bool:
        status = await noted_status(control.world.notes)
        return status is not None and "resume" in status.waits_for

    await cancelled_in(control, rests)
    assert control.version().fill is Fill.LEFT


async def test_a_run_that_is_cancelled_leaves_what_had_its_history_as_it_was() -> None:
    control = await filled()
    before = control.version()
    await control.ask()
    await cancelled_in(control, stuck_in(control.world, "seeds"))
    assert control.version() == before
    assert await control.asking.ended() == Ended("run", Outcome.CANCELLED, 0)
    assert await control.asking.asked() is None


async def test_a_process_that_takes_over_stops_what_another_was_told_to_stop() -> None:
    control = await control_of()
    await control.asking.cancel(frozenset((2,)))
    await control.turn()
    assert control.version().fill is Fill.LEFT
    assert control.world.parts_read == []
    assert await control.asking.cancelled() == frozenset()


async def test_what_is_not_named_is_filled_in_all_the_same() -> None:
    both = [*BUYERS, {"key": "again", "when": {**BUYERS[0]["when"], "n": 1}}]
    control = await control_of(cohorts=both)
    first, second = (cohort.versions[-1].handle for cohort in control.registry.team(1).cohorts)
    await control.asking.cancel(frozenset((first,)))
    await control.turn()
    fills = {
        each.handle: states for each, states in zip(control.world.plan.cohorts, states(control.registry), strict=True)
    }
    assert fills == {first: (False, Fill.LEFT), second: (True, Fill.ONCE)}


async def test_what_was_done_before_it_could_be_stopped_is_done() -> None:
    control = await filled()
    await control.asking.cancel(frozenset((2,)))
    await stop_what_is_cancelled(control, control.filling)
    assert (control.version().backfilled, control.version().fill) == (True, Fill.ONCE)


async def test_shards_that_began_anew_are_made_whole_whoever_cancels() -> None:
    world = World(BUYERS, PEOPLE)
    await world.adopt(is_new=False)
    world.registry = backfill(world.registry, {2: START})
    control = Control(world)
    send = world.send

    async def cancelling(messages: Any) -> dict[int, int]:
        await control.asking.cancel(frozenset((2,)))
        return await send(messages)

    world.send = cancelling  # type: ignore[method-assign]
    await control.turn()
    assert len(control.reminded) == 1
    positions = await world.store.positions(range(4))
    assert {position.warm_from_ms for position in positions.values()} == {0}
    assert (control.version().backfilled, control.version().fill) == (True, Fill.ONCE)
    assert await control.asking.cancelled() == frozenset()


async def test_a_version_that_was_left_has_no_history_by_one_shard_that_got_it() -> None:
    control = await control_of([bought(20, 21)] * 20)
    control.world.registry = leave_backfill(control.registry, [2])
    lost = control.world.owner.partitions[0].shards[2]
    lost.position = lost.position._replace(warm_from_ms=5)
    for later_ms in (0, 1_000):
        control.world.clock.set(control.world.clock.now_ms() + later_ms)
        for partition in range(2):
            await control.world.fold(partition, DeltaMessage(b"mark", 1, (), (control.world.mark(),)))
    await control.turn()
    assert {shard for message in control.world.sent for shard, _ in message.shards} == {2}
    assert (control.version().backfilled, control.version().fill) == (False, Fill.LEFT)
