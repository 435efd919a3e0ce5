"""A part that is too large is halved: the parts stay a division of everybody, and what was done stays done."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_store.errors import Retry
from processors.backfill.filling_in import noted_status
from processors.backfill.parts import HALVINGS_MAX, done, halved, next_part, sent_up_to
from processors.backfill.ports import FillingStatus, Part, Seed, TooLarge
from processors.backfill.wanted import Wanted
from processors.cli.status import sentence_of
from tests.backfill.test_filling_in import BUYERS, World, _no_waiting, bought
from tests.domain.strategies import START
from tests.examples import aside

__all__ = ["_no_waiting"]

PERSONS = 8


def with_parts(parts: int) -> FillingStatus:
    return FillingStatus(1, (2,), parts=parts)


def test_the_two_halves_of_a_part_are_its_number_and_that_plus_the_parts() -> None:
    second_of_three = done(with_parts(3), 0)
    assert next_part(second_of_three) == Part(1, 3)
    half = halved(second_of_three)
    assert (half.part, half.parts) == (2, 6)
    assert [next_part(half), next_part(done(half, 0)), next_part(done(done(half, 0), 0))] == [
        Part(1, 6),
        Part(4, 6),
        Part(2, 6),
    ]


def test_a_part_is_gone_on_with_from_its_place_on_and_its_halves_and_the_next_one_are_not() -> None:
    status = sent_up_to(with_parts(3), 77, 5, {1: 9})
    assert (next_part(status), status.before, status.behind) == (Part(0, 3, 77), 4, ((1, 9),))
    assert next_part(halved(status)) == Part(0, 6)
    assert (next_part(done(status, 8)), done(status, 8).persons) == (Part(1, 3), 8)


@aside()
@given(st.integers(1, 7), st.lists(st.booleans(), max_size=40))
def test_whenever_parts_are_halved_everybody_is_in_exactly_one_that_was_done(parts: int, choices: list[bool]) -> None:
    status, seen = with_parts(parts), list[Part]()
    while status.part < status.parts:
        if choices and choices.pop() and status.halvings < 4:
            status = halved(status)
        else:
            seen.append(next_part(status))
            status = done(status, 0)
    for person in range(parts * 2**4):
        assert sum(person % part.of == part.number for part in seen) == 1


class ScarceMemory(World):
    """A world whose history can be read of so many persons at a time only."""

    def __init__(self, at_once: int) -> None:
        super().__init__(BUYERS, [bought(20, 21) for _ in range(PERSONS)])
        self.at_once = at_once

    async def seeds(self, wanted: Wanted, pruned_ms: int, part: Part) -> AsyncGenerator[Sequence[Seed], None]:
        """What comes before it runs out is right, as with any answer that breaks off."""
        left = self.at_once
        async for block in super().seeds(wanted, pruned_ms, part):
            if not left:
                raise TooLarge(f"part {part.number} of {part.of}")
            yield block
            left -= 1


async def members(world: World) -> int:
    return sum([(await world.members(number))["buyers"] for number in range(PERSONS)])


async def test_a_history_that_is_too_large_for_its_memory_is_filled_in_all_the_same() -> None:
    world = ScarceMemory(at_once=2)
    await world.adopt()
    filling = world.filling_in()
    filling._parts = filling._parts._replace(part_persons=PERSONS)
    seen: list[str] = []
    keep = filling._note

    async def watched(status: FillingStatus) -> None:
        await keep(status)
        seen.append(sentence_of(status))

    filling._note = watched  # type: ignore[method-assign]
    assert (await filling.fill(world.registry)).begins_ms == {2: START + 20}
    assert await members(world) == PERSONS
    assert world.parts_read == [0, 0, 0, 2, 1, 3]
    progress = "team 1, 1 of 4 parts (halved 2×: ClickHouse ran out of memory), 2 persons so far."
    assert any(progress in each for each in seen), seen


async def test_what_was_sent_of_a_half_that_ran_out_in_its_turn_is_no_place_in_another_part() -> None:
    """Each process breaks off once more: what it noted is what the next one goes by."""
    world = ScarceMemory(at_once=2)
    world.breaks = set(range(1, 12))
    await world.adopt()
    for _ in range(30):
        filling = world.filling_in()
        filling._parts = filling._parts._replace(part_persons=PERSONS, gathered_max=1)
        try:
            await filling.fill(world.registry)
        except Retry:
            continue
        break
    assert await members(world) == PERSONS
    assert any(world.begun)


async def test_what_smaller_parts_do_not_help_is_told_with_the_remedy_and_done_in_large_ones_after_it() -> None:
    world = ScarceMemory(at_once=0)
    await world.adopt()
    filling = world.filling_in()
    filling._parts = filling._parts._replace(part_persons=PERSONS)
    with pytest.raises(Retry, match="MUSTER_BACKFILL_MEMORY_BYTES allows: raise it"):
        await filling.fill(world.registry)
    assert world.parts_read == [0] * (HALVINGS_MAX + 1)
    status = await noted_status(world.notes)
    assert status is not None
    assert (status.part, status.parts, status.halvings) == (0, 1, 0)
    world.at_once = PERSONS
    await filling.fill(world.registry)
    assert world.parts_read[-1:] == [0]
    assert await members(world) == PERSONS
