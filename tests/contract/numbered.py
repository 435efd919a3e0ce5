"""Commits that tell their number in every part, so that a half one would show."""

import asyncio
from time import monotonic

from cohort_store.errors import Retry
from cohort_store.ports import Outcome
from tests.contract.building import DEADLINE_S, Owner, View, person, write


async def resumed(owner: Owner) -> int:
    """Read the position until it can be had, take it over, and return the number of the commit behind it."""
    deadline = monotonic() + DEADLINE_S
    while True:
        try:
            held = (await owner.store.positions([owner.shard])).get(owner.shard)
        except Retry:
            if monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
            continue
        owner.last = held.commit_id if held else None
        return held.changes_offset if held else 0


async def commit_numbered(owner: Owner, number: int) -> Outcome:
    """A commit every part of which tells its number."""
    return await owner.commit(
        write(person(owner.shard), b"%d" % number, joined=(number,), due_ms=-number),
        changes=(b"%d" % number,),
        position_fields={"changes_offset": number},
    )


async def assert_whole(view: View, shard: int, number: int) -> None:
    """That the commits up to that number are applied, in every part, and no later one in any."""
    subject = person(shard)
    assert (await view.store.positions([shard]))[shard].changes_offset == number
    assert await view.reader.records([subject]) == [b"%d" % number]
    assert (await view.reader.memberships([subject]))[0].handles == set(range(1, number + 1))
    assert (await view.store.due({shard: -number}, 1))[shard].subjects == (subject,)
    assert (await view.store.due({shard: -number - 1}, 1))[shard].subjects == ()
    told = (await view.store.outbox([shard], 100_000))[shard]
    assert [entry.change for entry in told] == [b"%d" % n for n in range(1, number + 1)]


async def keep_committing(owner: Owner, stop: asyncio.Event) -> set[str]:
    """Commit on and on, starting from the store's position after any trouble; the kinds of outcome met."""
    met = set()
    number = await resumed(owner)
    while not stop.is_set():
        try:
            outcome = await commit_numbered(owner, number + 1)
        except Retry:
            met.add("retry")
            number = await resumed(owner)
            continue
        met.add(outcome.name)
        number = number + 1 if outcome is Outcome.COMMITTED else await resumed(owner)
    return met
