"""The outbox: changes in order until they are known to be in Kafka."""

from tests.contract.building import Owner, View


async def changes_of(view: View, shard: int, limit: int = 100) -> list[bytes]:
    found = await view.store.outbox([shard], limit)
    return [entry.change for entry in found.get(shard, [])]


async def test_changes_are_told_in_the_order_of_their_commits(view: View, owner: Owner) -> None:
    await owner.commit(changes=(b"1", b"2", b"\x00\xff"))
    await owner.commit(changes=(b"4",))
    assert await changes_of(view, 0) == [b"1", b"2", b"\x00\xff", b"4"]
    assert await changes_of(view, 0, limit=2) == [b"1", b"2"]
    assert await view.store.outbox_sizes([0, 1]) == {0: 4, 1: 0}
    newest = (await view.store.outbox([0], 10))[0][-1]
    assert await view.store.newest_changes([0, 1]) == {0: newest.change}


async def test_shards_without_changes_are_left_out(view: View) -> None:
    for shard in (1, 3):
        await Owner(view.store, shard).commit(changes=(b"c",))
    assert (await view.store.outbox([0, 1, 2, 3], 10)).keys() == {1, 3}
    assert await view.store.outbox([], 10) == {}


async def test_dropping_forgets_up_to_and_including_an_entry(view: View, owner: Owner) -> None:
    await owner.commit(changes=(b"1", b"2", b"3"))
    await Owner(view.store, 1).commit(changes=(b"other shard",))
    entries = (await view.store.outbox([0], 2))[0]
    await owner.commit(changes=(b"4",))
    await view.store.drop_outbox({0: entries[-1].id})
    assert await changes_of(view, 0) == [b"3", b"4"]
    assert await changes_of(view, 1) == [b"other shard"]


async def test_dropping_the_same_entry_again_forgets_nothing_more(view: View, owner: Owner) -> None:
    await owner.commit(changes=(b"1", b"2"))
    entries = (await view.store.outbox([0], 1))[0]
    for _ in range(2):
        await view.store.drop_outbox({0: entries[-1].id})
    assert await changes_of(view, 0) == [b"2"]


async def test_dropping_all_leaves_room_for_the_next_changes(view: View, owner: Owner) -> None:
    await owner.commit(changes=(b"1", b"2"))
    await view.store.drop_outbox({0: (await view.store.outbox([0], 10))[0][-1].id})
    assert await view.store.outbox([0], 10) == {}
    await owner.commit(changes=(b"3",))
    assert await changes_of(view, 0) == [b"3"]
    await view.store.drop_outbox({})


async def test_equal_changes_are_different_entries(view: View, owner: Owner) -> None:
    await owner.commit(changes=(b"same",) * 3)
    entries = (await view.store.outbox([0], 10))[0]
    assert len({entry.id for entry in entries}) == 3
    await view.store.drop_outbox({0: entries[1].id})
    assert await changes_of(view, 0) == [b"same"]
