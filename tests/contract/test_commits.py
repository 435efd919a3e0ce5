"""The commit rule: whole or not at all, and by the present owner only."""

import asyncio

import pytest

from cohort_store.ports import COMMIT_BYTES_MAX, COMMIT_RECORDS_MAX, DistinctIdWrite, Offset, Outcome
from cohort_store.subjects import DISTINCT_ID, Subject, shard_of
from tests.contract.building import SHARDS, START_MS, Owner, View, person, position, uuid_persons, write

AWKWARD_IDS = [
    *("", "plain", "12", "a:b::c", "{m:1}:", "\r\n*1", "nul\x00inside", "пользователь-Ж-🦉", "ÿÿÿÿ"),
    *("x" * length for length in (14, 15, 16, 17, 36, 400)),
    "0191d3c4-5b6a-7c8d-9e0f-112233445566",
    "0191D3C4-5B6A-7C8D-9E0F-112233445566",
]


async def test_a_commit_moves_records_memberships_timers_changes_and_position_together(
    view: View, owner: Owner
) -> None:
    someone = person(0)
    outcome = await owner.commit(
        write(someone, b"packed", joined=(7, 300), due_ms=START_MS + 5), changes=(b"first", b"second")
    )
    assert outcome is Outcome.COMMITTED
    assert await view.store.load({0: [someone]}) == {someone: b"packed"}
    assert await view.reader.records([someone]) == [b"packed"]
    (membership,) = await view.reader.memberships([someone])
    assert membership.handles == {7, 300}
    assert (await view.store.due({0: START_MS + 5}, 10))[0].subjects == (someone,)
    assert [entry.change for entry in (await view.store.outbox([0], 10))[0]] == [b"first", b"second"]
    assert (await view.store.positions([0, 1])).keys() == {0}


async def test_a_position_comes_back_exactly_as_it_was_committed(view: View, owner: Owner) -> None:
    committed = position(
        partition=5,
        partitions=8,
        now_ms=START_MS,
        ready=41,
        offsets={"muster.deltas": Offset(2**52, b"\x00:\xff\r\n"), "muster.seeds": Offset(0, b"")},
        sequence=2**53 - 1,
        changes_offset=12,
        stale=True,
        warm_from_ms=START_MS - 1,
    )
    commit = owner.prepare()._replace(position=committed)
    assert await view.store.commit([commit]) == [Outcome.COMMITTED]
    assert await view.store.positions([0]) == {0: committed}
    assert await view.reader.positions([0, 3]) == {0: committed}


async def test_a_later_position_replaces_the_earlier_one_whole(view: View, owner: Owner) -> None:
    await owner.commit(position_fields={"offsets": {"muster.deltas": Offset(3, b"a"), "muster.seeds": Offset(1, b"b")}})
    await owner.commit(position_fields={"offsets": {"muster.deltas": Offset(4, b"c")}})
    assert (await view.store.positions([0]))[0].offsets == {"muster.deltas": Offset(4, b"c")}


async def test_of_two_owners_the_one_who_knows_the_last_commit_wins(view: View, owner: Owner) -> None:
    await owner.commit()
    other = Owner(view.store, last=owner.last)
    assert await other.commit() is Outcome.COMMITTED
    assert await owner.commit() is Outcome.FENCED
    assert await other.commit() is Outcome.COMMITTED


async def test_of_two_owners_who_commit_at_once_exactly_one_wins(view: View, owner: Owner) -> None:
    await owner.commit()
    for number in range(20):
        rivals = [Owner(view.store, last=owner.last) for _ in range(2)]
        outcomes = await asyncio.gather(*(rival.commit(changes=(b"%d" % number,)) for rival in rivals))
        assert sorted(outcome.name for outcome in outcomes) == ["COMMITTED", "FENCED"]
        owner.last = next(rival.last for rival in rivals if rival.last != owner.last)
    assert [entry.change for entry in (await view.store.outbox([0], 100))[0]] == [b"%d" % n for n in range(20)]


async def test_an_owner_who_saw_no_position_is_fenced_by_one(view: View, owner: Owner) -> None:
    await owner.commit()
    assert await Owner(view.store).commit() is Outcome.FENCED


async def test_an_owner_who_saw_a_position_is_fenced_where_there_is_none_any_more(view: View) -> None:
    assert await Owner(view.store, last=b"seen before the loss").commit() is Outcome.FENCED
    assert await view.store.positions([0]) == {}


async def test_a_fenced_commit_changes_nothing_at_all(view: View, owner: Owner) -> None:
    kept, other = (subject for subject, _ in zip(uuid_persons(0), range(2), strict=False))
    pair = DistinctIdWrite(1, "d", kept.id, 1)
    await owner.commit(write(kept, b"kept", joined=(1,), due_ms=START_MS), changes=(b"kept",), distinct_ids=(pair,))
    before = await _everything(view, kept, other)
    late = Owner(view.store, last=b"somebody else's")
    outcome = await late.commit(
        write(kept, None),
        write(other, b"new", joined=(1, 2), due_ms=START_MS - 1),
        changes=(b"new",),
        distinct_ids=(pair._replace(person=other.id, version=2),),
        position_fields={"ready": 9},
    )
    assert outcome is Outcome.FENCED
    assert await _everything(view, kept, other) == before


async def _everything(view: View, *subjects: Subject) -> list[object]:
    return [
        await view.store.positions([0]),
        await view.store.load({0: subjects}),
        await view.reader.memberships(subjects),
        await view.reader.sizes([1, 2]),
        await view.reader.members(1, None, 100),
        await view.store.due({0: START_MS + 1}, 100),
        await view.store.subjects(0, None, 100),
        await view.store.outbox([0], 100),
        await view.reader.persons([(1, "d")]),
    ]


async def test_the_same_commit_sent_twice_is_committed_twice_and_applied_once(view: View, owner: Owner) -> None:
    someone = person(0)
    commit = owner.prepare(write(someone, joined=(1,)), changes=(b"once",))
    assert await view.store.commit([commit]) == [Outcome.COMMITTED]
    assert await view.store.commit([commit]) == [Outcome.COMMITTED]
    assert len((await view.store.outbox([0], 10))[0]) == 1
    assert await view.reader.size(1) == 1


async def test_commits_of_many_shards_are_each_judged_by_themselves(view: View) -> None:
    owners = [Owner(view.store, shard) for shard in range(SHARDS)]
    owners[3].last = b"wrong"
    outcomes = await view.store.commit([owner.prepare(write(person(owner.shard))) for owner in owners])
    assert [outcome is Outcome.FENCED for outcome in outcomes] == [shard == 3 for shard in range(SHARDS)]
    loaded = await view.store.load({shard: [person(shard)] for shard in range(SHARDS)})
    assert len(loaded) == SHARDS - 1


async def test_a_deleted_record_takes_memberships_lists_and_timer_with_it(view: View, owner: Owner) -> None:
    someone = person(0)
    await owner.commit(write(someone, joined=(1, 2), due_ms=START_MS))
    await owner.commit(write(someone, None, departed=(1, 2)))
    assert await view.reader.records([someone]) == [None]
    assert (await view.reader.memberships([someone]))[0].handles == frozenset()
    assert await view.reader.sizes([1, 2]) == [0, 0]
    assert (await view.reader.members(1, None, 10)).ids == ()
    assert (await view.store.due({0: START_MS}, 10))[0] == ((), None)
    assert (await view.store.subjects(0, None, 10)).subjects == ()


async def test_joining_twice_and_leaving_twice_count_once(view: View, owner: Owner) -> None:
    first, second = (subject for subject, _ in zip(uuid_persons(0), range(2), strict=False))
    await owner.commit(write(first, joined=(1,)), write(second, joined=(1,)))
    await owner.commit(write(first, joined=(1,)))
    assert await view.reader.size(1) == 2
    await owner.commit(write(first, departed=(1,)))
    await owner.commit(write(first, departed=(1,)))
    assert await view.reader.size(1) == 1
    assert (await view.reader.members(1, None, 10)).ids == (second.id,)


@pytest.mark.parametrize("count", [COMMIT_RECORDS_MAX, COMMIT_RECORDS_MAX + 1])
async def test_more_records_than_the_bound_are_refused_before_anything_is_sent(
    view: View, owner: Owner, count: int
) -> None:
    subjects = [subject for subject, _ in zip(uuid_persons(0), range(count), strict=False)]
    commit = owner.prepare(*(write(subject, b"r", joined=(1,)) for subject in subjects), changes=(b"c",) * count)
    if count <= COMMIT_RECORDS_MAX:
        assert await view.store.commit([commit]) == [Outcome.COMMITTED]
        return
    with pytest.raises(ValueError, match=f"{count} records, limit {COMMIT_RECORDS_MAX}"):
        await view.store.commit([commit])
    assert await view.store.positions([0]) == {}


@pytest.mark.parametrize("beyond", [0, 1])
async def test_more_bytes_than_the_bound_are_refused_before_anything_is_sent(
    view: View, owner: Owner, beyond: int
) -> None:
    first, second = (subject for subject, _ in zip(uuid_persons(0), range(2), strict=False))
    room = COMMIT_BYTES_MAX - len(first.id) - len(second.id)
    commit = owner.prepare(write(first, b"\x00" * (room - 1)), write(second, b"r" * (1 + beyond)))
    if not beyond:
        assert await view.store.commit([commit]) == [Outcome.COMMITTED]
        return
    with pytest.raises(ValueError, match=f"limit {COMMIT_BYTES_MAX}"):
        await view.store.commit([commit])


async def test_two_commits_of_one_shard_in_one_call_are_refused(view: View, owner: Owner) -> None:
    with pytest.raises(ValueError, match="two commits of one shard"):
        await view.store.commit([owner.prepare(), owner.prepare()])


async def test_a_single_record_may_bring_more_changes_than_the_bound_of_bytes(view: View, owner: Owner) -> None:
    changes = tuple(b"%06d" % number + b"x" * 294 for number in range(1_500))
    handles = tuple(range(1_500))
    assert await owner.commit(write(person(0), joined=handles), changes=changes) is Outcome.COMMITTED
    assert [entry.change for entry in (await view.store.outbox([0], 2_000))[0]] == list(changes)
    assert (await view.reader.memberships([person(0)]))[0].handles == set(handles)


@pytest.mark.parametrize("awkward", AWKWARD_IDS)
@pytest.mark.parametrize("kind", [0, 1, DISTINCT_ID])
async def test_any_id_comes_back_as_it_was_written(view: View, awkward: str, kind: int) -> None:
    subject = Subject(3, kind, awkward)
    owner = Owner(view.store, shard_of(subject, SHARDS))
    pair_shard = Owner(view.store, shard_of(Subject(3, DISTINCT_ID, awkward), SHARDS))
    await owner.commit(write(subject, b"\x00\xff", joined=(5,), due_ms=START_MS))
    assert await view.reader.records([subject]) == [b"\x00\xff"]
    assert (await view.reader.memberships([subject]))[0].handles == {5}
    assert (await view.reader.members(5, None, 10)).ids == (awkward,)
    assert (await view.store.due({owner.shard: START_MS}, 10))[owner.shard].subjects == (subject,)
    assert (await view.store.subjects(owner.shard, None, 10)).subjects == (subject,)
    pair_shard.last = owner.last if pair_shard.shard == owner.shard else None
    await pair_shard.commit(distinct_ids=(DistinctIdWrite(3, awkward, awkward + "'s person", 1),))
    assert await view.reader.persons([(3, awkward), (4, awkward)]) == [awkward + "'s person", None]
