"""Single histories that a plausible simpler rule gets wrong, told step by step."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from cohort_store.changes import decode_change
from cohort_store.compiling import activate, drop_retired
from cohort_store.freshness import CohortView, member_of, view_of
from cohort_store.kafka.registry import VERSION_DEADLINE_S
from cohort_store.subjects import Subject, shard_of
from processors.membership.partition import DELTAS
from processors.membership.worker import VERIFY_S
from tests.membership import virtual_time
from tests.membership.hosts import Host, Script, Shape
from tests.membership.simulation import SECOND, Plain, World

IN_13_S: Plain = {"key": "recent", "when": {"kind": "performed", "event": "buy", "within": "13s"}}
ONE = Shape(shards=1, partitions=1, sources=1, persons=1)


@dataclass
class Gate(Script):
    """Holds the first worker that passes a point until it is let go."""

    point: str = ""
    only: str = ""
    held: str = ""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_by(self, worker: str, point: str) -> None:
        if point == self.point and worker.startswith(self.only) and not self.arrived.is_set():
            self.held = worker
            self.arrived.set()
            await self.opened.wait()


def _simulate(story: Coroutine[Any, Any, None]) -> None:
    virtual_time.run(story)


async def _owned(world: World) -> Host:
    host = world.host()
    for partition in range(world.shape.partitions):
        await world.give(partition, host)
    return host


def _route(world: World) -> None:
    for source in range(world.shape.sources):
        world.router.read(source, 100)
    world.router.mark()


def _told(world: World) -> list[tuple[str, str]]:
    changes = [decode_change(raw) for partition in world.log.changes for raw in partition]
    return [(change.status, change.cause) for change in changes]


def _statuses(world: World) -> list[str]:
    return [status for status, _ in _told(world)]


@pytest.mark.parametrize("is_killed", [False, True])
def test_performed_in_13_s_entered_at_32_lost_in_a_failover_and_read_again_at_45_is_told_as_left(
    is_killed: bool,
) -> None:
    async def story() -> None:
        world = World(1, [IN_13_S], ONE)
        host = await _owned(world)
        world.step(31 * SECOND)
        await world.settle()
        before = world.snapshot()
        world.step(SECOND)
        world.happen(world.persons[0], "buy")
        await world.settle()
        assert _told(world) == [("entered", "event")]
        world.fail_over(before)
        world.step(13 * SECOND)
        if is_killed:
            host.kill()
        await world.settle()
        await world.check()
        assert _told(world) == [("entered", "event"), ("left", "reconcile")]
        await world.stop()

    _simulate(story())


def test_a_change_published_late_by_the_same_worker_after_a_failover_does_not_stand_for_ever() -> None:
    async def story() -> None:
        gate = Gate(point="before publish")
        world = World(1, [IN_13_S], ONE, script=gate)
        await _owned(world)
        await world.settle()
        before = world.snapshot()
        world.happen(world.persons[0], "buy")
        _route(world)
        await gate.arrived.wait()
        world.fail_over(before)
        world.step(13 * SECOND)
        await asyncio.sleep(1)
        gate.opened.set()
        await world.settle()
        await world.check()
        assert _told(world) == [("entered", "event"), ("left", "reconcile")]
        await world.stop()

    _simulate(story())


def test_what_an_owner_read_from_the_outbox_is_refused_once_another_has_claimed_the_partition() -> None:
    async def story() -> None:
        gate = Gate(point="before publish")
        world = World(1, [IN_13_S], ONE, script=gate)
        await _owned(world)
        await world.settle()
        before = world.snapshot()
        world.happen(world.persons[0], "buy")
        _route(world)
        await gate.arrived.wait()
        world.fail_over(before)
        world.step(13 * SECOND)
        _route(world)
        second = world.host()
        second.consumer.messages = (100, 100)
        await world.give(0, second)
        await asyncio.sleep(1)
        gate.opened.set()
        await asyncio.sleep(1)
        await world.settle()
        await world.check()
        assert _told(world) == [], "she came and went between two commits of the second owner"
        await world.stop()

    _simulate(story())


def test_a_shard_that_lost_its_first_commit_is_reconciled_from_the_beginning_of_the_changes() -> None:
    async def story() -> None:
        world = World(1, [IN_13_S], Shape(shards=2, partitions=1, sources=1, persons=6))
        person = next(p for p in world.persons if shard_of(Subject(1, 0, p), 2) == 0)
        first = await _owned(world)
        never = world.snapshot([0])
        world.happen(person, "buy")
        await world.settle()
        world.step(SECOND)
        await world.settle()
        positions = await world.store.positions([1])
        assert positions[1].changes_offset > 0, "the other shard has no need to look there again"
        first.kill()
        world.fail_over(never)
        world.step(13 * SECOND)
        _route(world)
        second = await _owned(world)
        second.consumer.messages = (100, 100)
        await world.settle()
        await world.check()
        assert _statuses(world) == ["entered", "left"]
        await world.stop()

    _simulate(story())


@pytest.mark.parametrize("point", ["before load", "after load", "before commit", "after commit"])
def test_a_rebalance_in_mid_batch_leaves_one_history(point: str) -> None:
    async def story() -> None:
        gate = Gate(point="")
        world = World(1, [IN_13_S], Shape(shards=4, partitions=1, sources=1, persons=12), script=gate)
        first = await _owned(world)
        await world.settle()
        for person in world.persons:
            world.happen(person, "buy")
        gate.point = point
        _route(world)
        await gate.arrived.wait()
        revoked = asyncio.create_task(first.revoke(0))
        second = world.host()
        await world.give(0, second)
        await asyncio.sleep(1)
        assert not revoked.done(), "an owner gives a partition up when its step is over"
        gate.opened.set()
        await revoked
        world.step(12 * SECOND)
        await world.settle()
        await world.check()
        world.step(SECOND)
        await world.settle()
        await world.check()
        assert world.owners(0) == [second]
        await world.stop()

    _simulate(story())


@pytest.mark.parametrize("step", ["registry", "claim", "positions", "bounds", "message_ids", "changes"])
def test_what_another_owner_folds_during_an_adoption_does_not_look_like_another_topic(step: str) -> None:
    async def story() -> None:
        gate = Gate(only="worker-1")
        world = World(1, [IN_13_S], Shape(shards=4, partitions=1, sources=1, persons=12), script=gate)
        await _owned(world)
        await world.settle()
        before = {position.warm_from_ms for position in (await world.store.positions(range(4))).values()}
        gate.point = f"after {step}"
        await world.give(0, world.host())
        await gate.arrived.wait()
        for person in world.persons:
            world.happen(person, "buy")
            _route(world)
            await asyncio.sleep(0.2)
        gate.opened.set()
        await world.settle()
        await world.check()
        positions = await world.store.positions(range(4))
        assert {position.warm_from_ms for position in positions.values()} == before
        await world.stop()

    _simulate(story())


def test_of_two_owners_of_a_partition_one_writes_and_the_roll_stays_right() -> None:
    async def story() -> None:
        world = World(1, [IN_13_S], Shape(shards=4, partitions=1, sources=1, persons=12))
        await _owned(world)
        await world.give(0, world.host())
        for second in range(40):
            world.happen(world.persons[second % 12], "buy")
            world.step(SECOND)
            _route(world)
            await asyncio.sleep(0.3)
        assert len(world.owners(0)) == 2
        await world.settle()
        await world.check()
        await world.stop()

    _simulate(story())


def test_redelivery_of_the_whole_topic_changes_nobody_and_tells_nothing() -> None:
    async def story() -> None:
        world = World(1, [IN_13_S], Shape(shards=4, partitions=2, sources=1, persons=12))
        host = await _owned(world)
        for person in world.persons:
            world.happen(person, "buy")
            world.step(SECOND // 2)
        await world.settle()
        told = _told(world)
        for partition in range(2):
            host.consumer.seek(partition, 0)
        world.router.fall_back(0, 0)
        await world.settle()
        await world.check()
        assert _told(world) == told
        await world.stop()

    _simulate(story())


def test_while_no_mark_comes_nobody_is_thrown_out_by_a_worker_that_restarts() -> None:
    async def story() -> None:
        world = World(1, [IN_13_S], ONE)
        host = await _owned(world)
        world.happen(world.persons[0], "buy")
        await world.settle()
        host.kill()
        world.step(60 * SECOND)
        await _owned(world)
        await asyncio.sleep(30)
        assert _statuses(world) == ["entered"], "the input of that minute has not been read"
        world.happen(world.persons[0], "buy", world.clock.now_ms() - SECOND)
        world.router.read(0, 1)
        await world.settle()
        assert _statuses(world) == ["entered"], "and with it she never left"
        await world.check()
        await world.stop()

    _simulate(story())


def test_a_message_that_cannot_be_read_is_buried_once_and_passed_over_for_good() -> None:
    async def story() -> None:
        world = World(1, [IN_13_S], ONE)
        host = await _owned(world)
        world.happen(world.persons[0], "buy")
        world.log.deltas[0].append(b"\x01nonsense")
        await world.settle()
        world.log.deltas[0].append(b"")
        await asyncio.sleep(1)
        assert [(letter.reason, letter.offset) for letter in world.log.dead] == [
            ("bad_delta", 0),
            ("bad_delta", len(world.log.deltas[0]) - 1),
        ]
        before = (await world.store.positions([0]))[0]
        assert before.offsets[DELTAS].next == len(world.log.deltas[0])
        host.kill()
        await _owned(world)
        await asyncio.sleep(1)
        await world.settle()
        await world.check()
        assert len(world.log.dead) == 2
        assert (await world.store.positions([0]))[0].warm_from_ms == before.warm_from_ms, "the same topic as before"
        await world.stop()

    _simulate(story())


def test_folding_pauses_while_an_outbox_is_full_and_goes_on_when_kafka_takes_changes_again() -> None:
    async def story() -> None:
        gate = Gate(point="before publish")
        world = World(1, [IN_13_S], Shape(shards=1, partitions=1, sources=1, persons=12, outbox_max=3), script=gate)
        await _owned(world)
        await world.settle()
        for person in world.persons:
            world.happen(person, "buy")
            world.router.read(0, 1)
            await asyncio.sleep(0.3)
        waiting = (await world.store.outbox_sizes([0]))[0]
        assert 3 <= waiting <= 6, "what was fetched before the outbox was full is folded, no more"
        gate.opened.set()
        await world.settle()
        await world.check()
        await world.stop()

    _simulate(story())


@pytest.mark.parametrize("is_pruned", [False, True])
def test_a_reader_with_the_registry_before_an_edit_finds_the_old_versions_members_until_they_are_dropped(
    is_pruned: bool,
) -> None:
    async def story() -> None:
        world = World(1, [IN_13_S], ONE)
        await _owned(world)
        (person,) = world.persons
        world.happen(person, "buy")
        await world.settle()
        view = view_of(world.cohorts()[0], world.log.registry.version)
        edited = {"key": "recent", "when": {"kind": "performed", "event": "view", "within": "13s"}}
        world.define([] if is_pruned else [edited])
        await _folded(world)
        world.log.define(activate(world.log.registry, world.log.registry.version))
        ended = world.log.registry.version
        await _folded(world)
        assert await _is_member(world, view) is True
        world.step(13 * SECOND)
        world.happen(person, "buy", world.clock.now_ms() - SECOND)
        _route(world)
        await asyncio.sleep(1)
        assert await _is_member(world, view) is True, "what is retired follows events and time"
        world.log.define(drop_retired(world.log.registry, ended))
        await _folded(world)
        (membership,) = await world.store.memberships([Subject(1, 0, person)])
        assert view.handle not in membership.handles
        assert await _is_member(world, view) is None, "and then it is told that nothing can be said"
        assert all(view_of(each, ended).known_in >= membership.readers_from for each in world.cohorts())
        await world.stop()

    _simulate(story())


async def _folded(world: World) -> None:
    """Every shard has looked at its records with the registry as it is."""
    while any(each.ready < world.log.registry.version for each in (await world.store.positions([0])).values()):
        _route(world)
        await asyncio.sleep(0.1)


async def _is_member(world: World, view: CohortView) -> bool | None:
    (membership,) = await world.store.memberships([Subject(1, 0, world.persons[0])])
    return member_of(view, membership)


def test_a_version_that_is_in_no_registry_yet_holds_a_partition_up_and_keeps_nobody_from_taking_it_away() -> None:
    async def story() -> None:
        world = World(1, [IN_13_S], ONE)
        host = await _owned(world)
        world.happen(world.persons[0], "buy")
        await world.settle()
        end = len(world.log.deltas[0])
        lost = msgspec.structs.replace(world.log.registry, version=world.log.registry.version + 1)
        world.append(0, (), (), made_with=lost.version)
        await asyncio.sleep(3 * VERSION_DEADLINE_S)
        assert host.is_alive
        assert (await world.store.positions([0]))[0].offsets[DELTAS].next == end, "it is not folded with an older plan"
        async with asyncio.timeout(2 * VERSION_DEADLINE_S):
            await host.revoke(0)
        await world.give(0, host)
        world.log.define(lost)
        world.happen(world.persons[0], "buy")
        await world.settle()
        await world.check()
        await world.stop()

    _simulate(story())


def test_a_partition_that_was_just_adopted_is_not_doubted_while_the_routers_are_silent() -> None:
    async def story() -> None:
        world = World(1, [IN_13_S], ONE)
        first = await _owned(world)
        world.happen(world.persons[0], "buy")
        _route(world)
        await world.settle()
        await first.revoke(0)
        await _owned(world)
        await asyncio.sleep(VERIFY_S / 2)
        claimed = world.log.claims[0]
        await asyncio.sleep(3 * VERIFY_S)
        assert world.log.claims[0] == claimed, "one that is doubted is given up, and adopted anew"
        await world.stop()

    _simulate(story())
