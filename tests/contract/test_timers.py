"""Timers: who is due, in which order, and what re-arming does."""

import pytest

from cohort_store.ports import Due
from cohort_store.subjects import Subject
from tests.contract.building import START_MS, Owner, View, person, uuid_persons, write


def some(count: int) -> list[Subject]:
    return [subject for subject, _ in zip(uuid_persons(0), range(count), strict=False)]


async def due_of(view: View, now_ms: int, limit: int = 10) -> Due:
    return (await view.store.due({0: now_ms}, limit))[0]


@pytest.mark.parametrize(("now_ms", "fires"), [(START_MS - 1, False), (START_MS, True), (START_MS + 1, True)])
async def test_a_timer_fires_at_its_instant_and_not_before(view: View, owner: Owner, now_ms: int, fires: bool) -> None:
    await owner.commit(write(person(0), due_ms=START_MS))
    assert await due_of(view, now_ms) == (Due((person(0),), None) if fires else Due((), START_MS))


async def test_due_subjects_come_earliest_first_with_the_next_instant_behind_them(view: View, owner: Owner) -> None:
    subjects = some(5)
    await owner.commit(*(write(subject, due_ms=START_MS + 10 - n) for n, subject in enumerate(subjects)))
    assert await due_of(view, START_MS + 8) == Due(tuple(subjects[:1:-1]), START_MS + 9)
    assert await due_of(view, START_MS + 8, limit=2) == Due((subjects[4], subjects[3]), START_MS + 8)
    assert await due_of(view, START_MS + 8, limit=3) == Due((subjects[4], subjects[3], subjects[2]), START_MS + 9)
    assert await due_of(view, START_MS + 10, limit=5) == Due(tuple(reversed(subjects)), None)


@pytest.mark.parametrize(("later_ms", "kept_ms"), [(-1, -1), (0, 0), (1, 0), (None, 0)])
async def test_without_rearming_the_earlier_instant_stays(
    view: View, owner: Owner, later_ms: int | None, kept_ms: int
) -> None:
    await owner.commit(write(person(0), due_ms=START_MS))
    await owner.commit(write(person(0), due_ms=None if later_ms is None else START_MS + later_ms))
    assert (await due_of(view, 0)).next_due_ms == START_MS + kept_ms


@pytest.mark.parametrize("later_ms", [-1, 1, None])
async def test_rearming_replaces_the_instant_whatever_it_was(view: View, owner: Owner, later_ms: int | None) -> None:
    due_ms = None if later_ms is None else START_MS + later_ms
    await owner.commit(write(person(0), due_ms=START_MS))
    await owner.commit(write(person(0), due_ms=due_ms, rearm=True))
    assert (await due_of(view, 0)).next_due_ms == due_ms


@pytest.mark.parametrize("rearm", [False, True])
async def test_a_subject_without_an_instant_is_listed_and_never_due(view: View, owner: Owner, rearm: bool) -> None:
    await owner.commit(write(person(0), due_ms=None, rearm=rearm))
    assert await due_of(view, 2**53) == Due((), None)
    assert (await view.store.subjects(0, None, 10)).subjects == (person(0),)


async def test_shards_are_asked_together_each_at_its_own_instant(view: View) -> None:
    for shard in (1, 2, 3):
        await Owner(view.store, shard).commit(write(person(shard), due_ms=START_MS + shard))
    assert await view.store.due({1: START_MS + 1, 3: START_MS, 4: START_MS}, 10) == {
        1: Due((person(1),), None),
        3: Due((), START_MS + 3),
        4: Due((), None),
    }


@pytest.mark.parametrize("count", [0, 1, 100, 1_000])
async def test_pages_of_subjects_tell_everyone_who_has_a_record(view: View, owner: Owner, count: int) -> None:
    subjects = some(count)
    for start in range(0, count, 200):
        await owner.commit(*(write(subject, due_ms=START_MS) for subject in subjects[start : start + 200]))
    told: set[Subject] = set()
    cursor = None
    while True:
        page = await view.store.subjects(0, cursor, 50)
        told.update(page.subjects)
        if (cursor := page.cursor) is None:
            break
    assert told == set(subjects)


async def test_who_stays_is_told_even_while_others_go_and_timers_move(view: View, owner: Owner) -> None:
    subjects = some(1_000)
    for start in range(0, 1_000, 200):
        await owner.commit(*(write(subject, due_ms=START_MS) for subject in subjects[start : start + 200]))
    told: set[Subject] = set()
    cursor, gone = None, 0
    while True:
        page = await view.store.subjects(0, cursor, 100)
        told.update(page.subjects)
        if (cursor := page.cursor) is None:
            break
        if gone < 400:
            leaving, moving = subjects[gone : gone + 80], subjects[-100:]
            await owner.commit(
                *(write(subject, None) for subject in leaving),
                *(write(subject, due_ms=START_MS - gone, rearm=True) for subject in moving),
            )
            gone += 80
    assert told >= set(subjects[400:])
