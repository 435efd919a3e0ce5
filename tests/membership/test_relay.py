"""The relay forgets nothing that waits, whatever order news come in, and publishes nothing of what it gave up."""

import asyncio
from collections.abc import Sequence

import pytest

from cohort_store.errors import Retry
from cohort_store.memory import MemoryStore
from cohort_store.ports import OutboxEntry, Position, ShardCommit
from processors.membership.relay import Displaced, Relay
from tests.membership import virtual_time


class Kafka:
    """Takes changes, unless it is told to fail."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.failures: list[Exception] = []

    async def claim(self, partition: int) -> None:
        """Nobody else is there."""

    async def publish(self, partition: int, changes: Sequence[bytes]) -> int:
        assert partition == 0
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop()
        self.taken += changes
        return len(self.taken)


class Replicated(MemoryStore):
    """Leaves every shard out of `outbox` until its replicas have acknowledged, as the port allows."""

    def __init__(self) -> None:
        super().__init__(2)
        self.has_acknowledged = True
        self.answered = asyncio.Event()

    async def outbox(self, shards: Sequence[int], limit: int) -> dict[int, list[OutboxEntry]]:
        found = await super().outbox(shards, limit) if self.has_acknowledged else {}
        self.answered.set()
        await asyncio.sleep(0.01)
        return found


class Shard:
    """Puts changes into a shard's outbox."""

    def __init__(self, store: MemoryStore, number: int) -> None:
        self.store = store
        self.number = number
        self.commits = 0

    async def change(self, *changes: bytes) -> None:
        last, self.commits = self.commits, self.commits + 1
        expected = b"%d" % last if last else None
        position = Position(b"%d" % self.commits, 0, 1, 0, 0)
        await self.store.commit([ShardCommit(self.number, expected, position, changes=changes)])


async def test_what_waits_is_published_in_order_and_dropped() -> None:
    store, kafka = Replicated(), Kafka()
    relay = Relay(store, kafka, 1)
    await Shard(store, 0).change(b"a", b"b")
    await relay.look([0, 1])
    assert not await relay.carry()
    assert kafka.taken == [b"a", b"b"]
    assert relay.published == {0: 2}
    assert await store.outbox_sizes([0]) == {0: 0}
    assert relay.waiting[0] == 0


def test_changes_that_replicas_have_not_acknowledged_are_published_later_and_not_forgotten() -> None:
    async def story() -> None:
        store, kafka = Replicated(), Kafka()
        relay = Relay(store, kafka, 1)
        store.has_acknowledged = False
        await Shard(store, 0).change(b"a")
        carrying = asyncio.create_task(relay.run())
        relay.told(0, 1)
        await asyncio.sleep(3)
        assert kafka.taken == []
        assert relay.waiting == {0: 1}
        store.has_acknowledged = True
        await asyncio.sleep(1)
        assert kafka.taken == [b"a"]
        carrying.cancel()

    virtual_time.run(story())


def test_a_change_that_is_told_of_while_the_outbox_is_found_empty_is_not_forgotten() -> None:
    async def story() -> None:
        store, kafka = Replicated(), Kafka()
        relay = Relay(store, kafka, 1)
        relay.told(0, 1)
        carrying = asyncio.create_task(relay.run())
        await store.answered.wait()
        await Shard(store, 0).change(b"a")
        relay.told(0, 1)
        await asyncio.sleep(1)
        assert kafka.taken == [b"a"]
        carrying.cancel()

    virtual_time.run(story())


def test_a_publish_whose_fate_is_unknown_is_tried_again() -> None:
    async def story() -> None:
        store, kafka = Replicated(), Kafka()
        relay = Relay(store, kafka, 1)
        await Shard(store, 0).change(b"a")
        kafka.failures = [Retry("no answer")] * 3
        carrying = asyncio.create_task(relay.run())
        relay.told(0, 1)
        await asyncio.sleep(5)
        assert kafka.taken == [b"a"]
        assert not kafka.failures
        carrying.cancel()

    virtual_time.run(story())


async def test_a_partition_that_somebody_else_claimed_is_given_up_until_it_is_adopted_anew() -> None:
    store, kafka = Replicated(), Kafka()
    relay = Relay(store, kafka, 1)
    await Shard(store, 0).change(b"a")
    kafka.failures = [Displaced("claimed")]
    relay.told(0, 1)
    with pytest.raises(Displaced):
        await relay.carry()
    assert relay.displaced == {0}
    assert not relay.waiting
    await relay.forget(0)
    assert relay.displaced == set()


def test_what_was_read_before_a_partition_was_forgotten_is_not_published_after() -> None:
    async def story() -> None:
        store, kafka = Replicated(), Kafka()
        relay = Relay(store, kafka, 1)
        await Shard(store, 0).change(b"a")
        relay.told(0, 1)
        carrying = asyncio.create_task(relay.carry())
        await store.answered.wait()
        await relay.forget(0)
        await carrying
        assert kafka.taken == []
        assert await store.outbox_sizes([0]) == {0: 1}, "whoever adopts the partition will find it"

    virtual_time.run(story())


async def test_what_a_failover_brings_back_is_found_again_unless_the_partition_was_given_up_meanwhile() -> None:
    store, kafka = MemoryStore(2), Kafka()
    relay = Relay(store, kafka, 1)
    await Shard(store, 0).change(b"back again")
    await relay.look_again([0, 1])
    assert relay.waiting == {0: 1}
    await relay.carry()
    await relay.look_again([0, 1])
    assert (kafka.taken, relay.waiting) == ([b"back again"], {0: 0})
    await Shard(store, 1).change(b"no more ours")
    sizes = store.outbox_sizes

    async def given_up(shards: Sequence[int]) -> dict[int, int]:
        await relay.forget(0)
        return await sizes(shards)

    store.outbox_sizes = given_up  # type: ignore[method-assign]
    await relay.look_again([0, 1])
    assert relay.waiting == {}
