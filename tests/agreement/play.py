"""One drawn program: events, edits, a slow archive, kills, rebalances, losses. The seed decides all of it."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from cohort_store.memory import _Shard
from processors.router.progress import Source
from tests.agreement.agreeing import assert_no_drift
from tests.agreement.definitions import NAMES, PLANS, drawn_cohorts, edited
from tests.agreement.world import START_MS, World
from tests.membership.hosts import Host, Shape
from tests.oracle.membership import Event

STEPS = 30
CHECKS = 3
SECOND = 1_000
PRUNED_BEFORE_MS = (0, 5_000, 60_000)
BY = ("both", "person", "distinct")
IDENTIFY = "identify"
ANCHOR = {"key": "anchor", "when": {"kind": "performed", "event": IDENTIFY, "within": "60s"}}
"""Routers learn whose a distinct id is from events that somebody asks about."""


class Play:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        shape = Shape(shards=4, partitions=2, sources=2, persons=4, records_cached_max=random.choice((0, 6, 1_000)))
        self.world = World(seed, shape, stutter=random.choice((0.0, 0.2)))
        script = self.world.script
        script.pause, script.pause_s = random.choice((0.0, 0.1, 0.3)), random.choice((0.05, 0.3, 2.0))
        script.retry, script.kill = random.choice((0.0, 0.005, 0.02)), random.choice((0.0, 0.002, 0.005))
        # An event by a distinct id alone is whose the store says; a store that lost all knows nobody for a while.
        self.is_flushing = random.random() < 0.4
        self.failover = random.choice((0.0, 0.1))
        self.pruned_before_ms = PRUNED_BEFORE_MS[-1] if self.failover else random.choice(PRUNED_BEFORE_MS)
        self.archiving = random.choice((0, 1, 4))
        self.editing = random.choice((0.05, 0.2))
        self.copies: list[tuple[int, dict[int, _Shard]]] = []
        self.zombies: list[tuple[int, Host]] = []
        self.uuids = 0

    async def run(self) -> None:
        world = self.world
        world.control()
        for partition in range(world.shape.partitions):
            await world.give(partition, world.host())
        world.route(self.random.randint(1, 2))
        await self._pair()
        for _ in range(STEPS):
            await self.act()
            await asyncio.sleep(self.random.choice((0.1, 0.5, 2.0)))
        for number in range(CHECKS):
            await world.drain(until_ready=True)
            await world.check(all_of_it=True)
            if not number:
                await assert_no_drift(world)
            world.step(self.random.randint(1, 25) * SECOND)
        await world.stop()

    async def _pair(self) -> None:
        """What happens before anything is defined is history; then everybody's distinct id is told, and stays hers."""
        world = self.world
        for _ in range(self.random.randint(0, 12)):
            ago_ms = self.random.choice((0, 9, 30)) * SECOND
            self._happen(self.random.choice(world.persons), self.random.choice(BY[:2]), START_MS - ago_ms)
        world.script.is_quiet = True
        await world.apply([ANCHOR, self._staff(), *drawn_cohorts(self.random)])
        while not world.log.registry.applied:
            await asyncio.sleep(0.5)
        await world.drain()
        for person in world.persons:
            self._happen(person, "both", world.clock.now_ms(), IDENTIFY)
        await world.drain()
        world.script.is_quiet = False

    async def act(self) -> None:
        random, world = self.random, self.world
        for _ in range(random.randint(0, 5)):
            ago_ms = random.choice((0, 0, 0, 1, SECOND, 12 * SECOND, 61 * SECOND, -SECOND, -15 * SECOND))
            by = random.choice(BY[:2] if self.is_flushing else BY)
            self._happen(random.choice(world.persons), by, world.clock.now_ms() - ago_ms)
        if random.random() < 0.2:
            self._repeat()
        world.step(random.choice((0, 1, 40, SECOND, 3 * SECOND, 8 * SECOND)))
        for place in world.places:
            world.archive.read(place, random.randint(0, self.archiving), again=random.choice((0, 0, 2)))
        if random.random() < self.editing:
            _, staff, *drawn = world.definitions
            await world.apply([ANCHOR, self._staff() if random.random() < 0.2 else staff, *edited(random, drawn)])
        await self._revive()
        await self._move()
        self._lose()
        if random.random() < 0.15:
            await world.drain()
            await world.check(all_of_it=False)
            world.script.is_quiet = False
        world.look_for_crashes()

    def _happen(self, person: str, by: str, time_ms: int, name: str = "") -> None:
        self.uuids += 1
        uuid = f"{self.uuids:08x}-0000-4000-8000-000000000000"
        properties: dict[str, Any] = {"size": self.random.randint(0, 4)} if self.random.random() < 0.7 else {}
        if self.random.random() < 0.1:
            properties["$set"] = {"plan": self.random.choice(PLANS)}
        event = Event(uuid, name or self.random.choice(NAMES), time_ms, properties)
        self.world.happen(person, event, self.random.choice(self.world.places), by=by)

    def _repeat(self) -> None:
        """What was sent comes again, on whichever source."""
        random, world = self.random, self.world
        sent = [each for of_place in world.sent.values() for each in of_place]
        again = random.choice(sent)
        if again.person or not self.is_flushing:
            world.send(again, random.choice(world.places))

    def _staff(self) -> dict[str, Any]:
        """A list of some of them: no event and no history tells who is on it."""
        persons = self.world.persons
        return {"key": "staff", "members": sorted(self.random.sample(persons, self.random.randint(1, len(persons))))}

    async def _revive(self) -> None:
        random, world = self.random, self.world
        for partition in range(world.shape.partitions):
            if not world.owners(partition) and random.random() < 0.5:
                alive = [host for host in world.hosts if host.is_alive]
                await world.give(partition, random.choice(alive) if alive and random.random() < 0.5 else world.host())
        if random.random() < 0.1:
            for each in world.controls:
                each.kill()
        if random.random() < 0.6:
            world.control()
        assigned: set[Source] = {place for each in world.routing for place in each.source.assigned}
        if assigned != set(world.places) and random.random() < 0.6:
            world.route(random.randint(1, 2))

    async def _move(self) -> None:
        """Hand partitions over, properly or behind the back of whoever has them; those are told some time later."""
        random, world = self.random, self.world
        for partition, zombie in [pair for pair in self.zombies if random.random() < 0.4]:
            self.zombies.remove((partition, zombie))
            if zombie.is_alive:
                await zombie.revoke(partition)
        for router in world.routers:
            if router.source.is_fenced and random.random() < 0.4:
                router.source.move(())
        if random.random() < 0.1:
            world.route(random.randint(1, 2), telling=random.random() < 0.5)
        partition = random.randrange(world.shape.partitions)
        owners = world.owners(partition)
        if len(owners) == 1 and random.random() < 0.1:
            if random.random() < 0.5:
                self.zombies.append((partition, owners[0]))
            else:
                await owners[0].revoke(partition)
            others = [host for host in world.hosts if host.is_alive and host is not owners[0]]
            await world.give(partition, random.choice(others) if others else world.host())

    def _lose(self) -> None:
        """All of the store, its last seconds, or what the topic of deltas held for long."""
        random, world = self.random, self.world
        now_ms = world.clock.now_ms()
        self.copies = [each for each in self.copies if now_ms - each[0] < self.pruned_before_ms][-3:]
        if self.is_flushing and random.random() < 0.05:
            self.copies = []
            world.flush()
            if random.random() < 0.5:
                # Its shards are taken up one partition after the other, some while after.
                for host in world.hosts:
                    host.kill()
        elif self.copies and random.random() < self.failover:
            index = random.randrange(len(self.copies))
            for shard in random.sample(range(world.shape.shards), random.randint(1, world.shape.shards)):
                world.snapshots.restore(shard, self.copies[index][1][shard])
            del self.copies[index + 1 :]
        elif random.random() < 0.05:
            for partition, values in enumerate(world.log.deltas):
                beginning = world.log.beginnings[partition]
                world.log.beginnings[partition] = random.randint(beginning, len(values))
        if random.random() < 0.4:
            taken = {shard: world.snapshots.take(shard) for shard in range(world.shape.shards)}
            self.copies.append((now_ms, taken))
