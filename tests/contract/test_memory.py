"""What the twin does on request: be unreachable, or lose an answer."""

import pytest

from cohort_store.errors import Retry
from cohort_store.memory import MemoryStore
from cohort_store.ports import Outcome
from tests.contract.building import SHARDS, Owner, person, write


async def test_an_unreachable_twin_does_nothing_and_comes_back_after_so_many_calls() -> None:
    twin = MemoryStore(SHARDS)
    owner = Owner(twin)
    twin.unreachable_for(2)
    with pytest.raises(Retry):
        await owner.commit(write(person(0)))
    with pytest.raises(Retry):
        await twin.positions([0])
    assert await twin.positions([0]) == {}
    assert await owner.commit() is Outcome.COMMITTED


async def test_a_lost_answer_leaves_the_commit_applied_and_its_repetition_harmless() -> None:
    twin = MemoryStore(SHARDS)
    commit = Owner(twin).prepare(write(person(0)), changes=(b"c",))
    twin.answers_lost(1)
    with pytest.raises(Retry):
        await twin.commit([commit])
    assert (await twin.positions([0]))[0] == commit.position
    assert await twin.commit([commit]) == [Outcome.COMMITTED]
    assert await twin.outbox_sizes([0]) == {0: 1}
