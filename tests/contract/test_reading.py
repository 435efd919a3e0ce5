"""The read side: distinct ids, memberships with their shard's standing, lists and sizes."""

import pytest

from cohort_store.ports import PAGE_MAX, DistinctIdWrite, Membership, Outcome
from cohort_store.subjects import DISTINCT_ID, Subject, shard_of
from tests.contract.building import SHARDS, START_MS, Owner, View, person, uuid_persons, write

_PAIR = DistinctIdWrite(1, "d", "p", 1)


def some(count: int, shard: int = 0) -> list[Subject]:
    return [subject for subject, _ in zip(uuid_persons(shard), range(count), strict=False)]


def owner_of_distinct_id(view: View, team: int, distinct_id: str) -> Owner:
    return Owner(view.store, shard_of(Subject(team, DISTINCT_ID, distinct_id), SHARDS))


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        (("old", 1), ("new", 2), "new"),
        (("new", 2), ("old", 1), "new"),
        (("a", 2), ("b", 2), "b"),
        (("b", 2), ("a", 2), "b"),
        (("b", 2), ("Z", 2), "b"),
        (("z", 2), ("é", 2), "é"),
        (("z", 2), ("0191d3c4-5b6a-7c8d-9e0f-112233445566", 2), "z"),
        (("ab", 2), ("a", 2), "ab"),
        (("old", 255), ("new", 256), "new"),
        (("old", 2**53), ("new", 2**53 + 1), "new"),
        (("old", -1), ("new", 0), "new"),
        (("old", -(2**63)), ("new", 2**63 - 1), "new"),
    ],
)
async def test_of_two_persons_of_a_distinct_id_the_higher_version_wins_in_any_order(
    view: View, first: tuple[str, int], second: tuple[str, int], winner: str
) -> None:
    owner = owner_of_distinct_id(view, 1, "d")
    for name, version in (first, second):
        assert await owner.commit(distinct_ids=(DistinctIdWrite(1, "d", name, version),)) is Outcome.COMMITTED
    assert await view.reader.persons([(1, "d")]) == [winner]


async def test_a_distinct_id_that_is_nobodys_stays_so_for_older_pairs_and_is_taken_by_a_newer_one(view: View) -> None:
    owner = owner_of_distinct_id(view, 1, "d")
    nobodys = DistinctIdWrite(1, "d", "", 5, kept_ms=600_000)
    for pair, expected in (
        (DistinctIdWrite(1, "d", "p", 4), "p"),
        (nobodys, None),
        (DistinctIdWrite(1, "d", "p", 4), None),
        (DistinctIdWrite(1, "d", "q", 5), "q"),
        (nobodys, "q"),
        (nobodys._replace(version=6), None),
    ):
        assert await owner.commit(distinct_ids=(pair,)) is Outcome.COMMITTED
        assert await view.reader.persons([(1, "d")]) == [expected]


async def test_of_a_pair_and_of_nobody_in_one_commit_the_higher_version_wins(view: View) -> None:
    owner = owner_of_distinct_id(view, 1, "d")
    nobodys = DistinctIdWrite(1, "d", "", 5, kept_ms=600_000)
    await owner.commit(distinct_ids=(nobodys, DistinctIdWrite(1, "d", "p", 4)))
    assert await view.reader.persons([(1, "d")]) == [None]
    await owner.commit(distinct_ids=(nobodys._replace(version=7), DistinctIdWrite(1, "d", "p", 8)))
    assert await view.reader.persons([(1, "d")]) == ["p"]


async def test_persons_come_in_the_order_asked_with_repeats_and_gaps(view: View) -> None:
    for number in range(20):
        pair = DistinctIdWrite(1 + number % 2, f"d{number}", f"p{number}", number)
        owner = owner_of_distinct_id(view, pair.team, pair.distinct_id)
        held = await view.store.positions([owner.shard])
        owner.last = held[owner.shard].commit_id if held else None
        await owner.commit(distinct_ids=(pair,))
    asked = [(1, "d4"), (2, "d4"), (2, "d19"), (1, "nobody"), (1, "d4"), (1, "d0")]
    assert await view.reader.persons(asked) == ["p4", None, "p19", None, "p4", "p0"]
    assert await view.reader.persons([]) == []


async def test_persons_and_memberships_looked_up_together_are_those_looked_up_alone(view: View) -> None:
    owner = owner_of_distinct_id(view, 1, "d")
    members = some(3, owner.shard)
    await owner.commit(*(write(subject, joined=(7,)) for subject in members[:2]), distinct_ids=(_PAIR,))
    pairs, subjects = [(1, "nobody"), (1, "d"), (1, "d")], [members[2], members[0], person(0), members[1], members[0]]
    persons, memberships = await view.reader.look_up(pairs, subjects)
    assert (persons, memberships) == (await view.reader.persons(pairs), await view.reader.memberships(subjects))
    assert persons == [None, "p", "p"]
    assert [set(each.handles) for each in memberships] == [set(), {7}, set(), {7}, {7}]
    assert await view.reader.look_up([], []) == ([], [])


async def test_records_looked_up_together_with_the_rest_are_those_looked_up_alone(view: View) -> None:
    owner = owner_of_distinct_id(view, 1, "d")
    first, second, third = some(3, owner.shard)
    await owner.commit(write(first, b"1", joined=(7,)), write(second, b"2"), distinct_ids=(_PAIR,))
    pairs, subjects, recorded = [(1, "d"), (1, "e")], [third, first, first], [second, third, first, second]
    looked = await view.reader.look_up_with_records(pairs, subjects, recorded)
    assert (looked.persons, looked.memberships) == await view.reader.look_up(pairs, subjects)
    assert looked.records == await view.reader.records(recorded) == [b"2", None, b"1", b"2"]
    assert await view.reader.look_up_with_records([], [], [first]) == ([], [], [b"1"])
    assert await view.reader.look_up_with_records(pairs, [], []) == (["p", None], [], [])


async def test_of_a_shard_without_a_position_nothing_can_be_said(view: View) -> None:
    assert await view.reader.memberships([person(0)]) == [Membership(frozenset(), None, 0, False, 0)]


async def test_a_membership_brings_the_standing_of_its_shard(view: View) -> None:
    standing = {"ready": 12, "now_ms": START_MS + 3, "stale": True, "warm_from_ms": START_MS - 9, "readers_from": 11}
    await Owner(view.store, 2).commit(write(person(2), joined=(4,)), position_fields=standing)
    await Owner(view.store, 3).commit()
    asked = [person(3), person(2), person(2, seed=1), person(5), person(2)]
    member = Membership(frozenset({4}), 12, START_MS + 3, True, START_MS - 9, 11)
    assert await view.reader.memberships(asked) == [
        Membership(frozenset(), 1, START_MS, False, 0),
        member,
        member._replace(handles=frozenset()),
        Membership(frozenset(), None, 0, False, 0),
        member,
    ]
    assert await view.reader.memberships([]) == []


async def test_records_and_loads_leave_out_who_has_none(view: View, owner: Owner) -> None:
    first, second, third = some(3)
    await owner.commit(write(first, b"1"), write(third, b"3"))
    assert await view.reader.records([third, second, first, third]) == [b"3", None, b"1", b"3"]
    assert await view.store.load({0: [first, second, third], 1: [], 2: [person(2)]}) == {first: b"1", third: b"3"}
    assert await view.store.load({}) == {}


async def test_same_id_of_another_team_or_kind_is_somebody_else(view: View, owner: Owner) -> None:
    ids = (str(number) for number in range(100_000))
    alike = next(
        subjects
        for subjects in ([Subject(1, 0, text), Subject(1, 1, text), Subject(2, 0, text)] for text in ids)
        if {shard_of(subject, SHARDS) for subject in subjects} == {0}
    )
    await owner.commit(*(write(subject, str(subject).encode(), joined=(9,)) for subject in alike[:2]))
    assert await view.reader.records(alike) == [str(alike[0]).encode(), str(alike[1]).encode(), None]
    assert await view.reader.size(9) == 2
    assert (await view.reader.members(9, None, 10)).ids == (alike[0].id, alike[0].id)


async def test_an_unlisted_version_has_a_size_and_memberships_but_no_list(view: View, owner: Owner) -> None:
    await owner.commit(*(write(subject, joined=(1, 2)) for subject in some(60)), unlisted=frozenset({2, 5}))
    assert await view.reader.sizes([1, 2, 3]) == [60, 60, 0]
    assert len((await view.reader.members(1, None, 100)).ids) == 60
    assert (await view.reader.members(2, None, 100)).ids == ()
    await owner.commit(*(write(subject, departed=(1, 2)) for subject in some(60)), unlisted=frozenset({2, 5}))
    assert await view.reader.sizes([1, 2, 3]) == [0, 0, 0]


async def test_a_subject_of_whom_nothing_is_known_is_counted_apart_and_listed_nowhere(view: View, owner: Owner) -> None:
    subjects = some(60)
    await owner.commit(*(write(subject, joined=(1,)) for subject in subjects), unlisted=frozenset({-1}))
    unknown = subjects[0]
    await owner.commit(write(unknown, joined=(-1,), departed=(1,)), unlisted=frozenset({-1}))
    assert (await view.reader.memberships([unknown]))[0].handles == {-1}
    assert await view.reader.sizes([1, -1]) == [59, 1]
    assert unknown.id not in (await view.reader.members(1, None, 100)).ids
    assert (await view.reader.members(-1, None, 100)).ids == ()
    await owner.commit(write(unknown, joined=(1,), departed=(-1,)), unlisted=frozenset({-1}))
    assert await view.reader.sizes([1, -1]) == [60, 0]
    await owner.commit(write(unknown, joined=(-1,), departed=(1,)), unlisted=frozenset({-1}))
    await owner.commit(write(unknown, None))
    assert await view.reader.sizes([1, -1]) == [59, 0]


async def walk(view: View, handle: int, limit: int) -> list[str]:
    """Every id of a walk from first page to last."""
    told: list[str] = []
    cursor = None
    while True:
        page = await view.reader.members(handle, cursor, limit)
        assert len(page.ids) <= min(limit, PAGE_MAX)
        told += page.ids
        if (cursor := page.cursor) is None:
            return told


@pytest.mark.parametrize("limit", [1, 7, 50, PAGE_MAX + 5])
async def test_pages_of_members_tell_everyone_once(view: View, limit: int) -> None:
    everyone = {shard: some(shard * 17 % 40, shard) for shard in range(SHARDS)}
    for shard, subjects in everyone.items():
        await Owner(view.store, shard).commit(*(write(subject, joined=(1,)) for subject in subjects))
    expected = sorted(subject.id for subjects in everyone.values() for subject in subjects)
    assert sorted(await walk(view, 1, limit)) == expected
    assert await walk(view, 2, limit) == []


async def test_a_hundred_thousand_members_are_told_once_each(view: View) -> None:
    count = 100_000 if view.url else 5_000  # what the number could break is in the server
    everyone = [Subject(1, 0, f"{number:08x}-0000-4000-8000-000000000000") for number in range(count)]
    by_shard: dict[int, list[Subject]] = {}
    for subject in everyone:
        by_shard.setdefault(shard_of(subject, SHARDS), []).append(subject)
    owners = [Owner(view.store, shard) for shard in by_shard]
    for start in range(0, max(map(len, by_shard.values())), 200):
        commits = [
            owner.prepare(
                *(write(subject, b"r", joined=(1,)) for subject in by_shard[owner.shard][start : start + 200])
            )
            for owner in owners
        ]
        assert set(await view.store.commit(commits)) == {Outcome.COMMITTED}
        for owner, commit in zip(owners, commits, strict=True):
            owner.last = commit.position.commit_id
    told = await walk(view, 1, PAGE_MAX)
    assert len(told) == count
    assert set(told) == {subject.id for subject in everyone}
    assert await view.reader.size(1) == count


async def test_members_who_stay_are_told_while_a_list_grows_and_shrinks(view: View, owner: Owner) -> None:
    stay, leave, come = some(600)[:200], some(600)[200:400], some(600)[400:]
    await owner.commit(*(write(subject, joined=(1,)) for subject in stay))
    await owner.commit(*(write(subject, joined=(1,)) for subject in leave))
    told: set[str] = set()
    cursor, step = None, 0
    while True:
        page = await view.reader.members(1, cursor, 25)
        told.update(page.ids)
        if (cursor := page.cursor) is None:
            break
        batch = slice(step * 25, step * 25 + 25)
        await owner.commit(
            *(write(subject, departed=(1,)) for subject in leave[batch]),
            *(write(subject, joined=(1,)) for subject in come[batch]),
        )
        step += 1
    assert told >= {subject.id for subject in stay}


@pytest.mark.parametrize("cursor", ["", "x", "1", "a.b.c", "-1.0."])
async def test_a_cursor_that_no_page_ended_with_is_refused_by_name(view: View, cursor: str) -> None:
    with pytest.raises(ValueError, match="not one that a page ended with"):
        await view.reader.members(1, cursor, 10)
