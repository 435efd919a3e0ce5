"""What happens in a simulated world, drawn from a seed: events, lateness, stepped time, edits, all kinds of trouble."""

import asyncio
from random import Random
from typing import Any

from cohort_store.memory import _Shard
from cohort_store.registry import Registry
from tests.membership.hosts import Shape
from tests.membership.simulation import SECOND, Plain, World, assigned

NAMES = ("open", "buy")
WINDOWS_S = (1, 5, 13, 20, 60)
STEPS = 45
CHECKS = 3


def anchors() -> list[Plain]:
    """Cohorts that are never edited, and need more events than any other: so that no edit lacks history."""
    leaf = {"kind": "count", "op": "gte", "n": 5, "within": "60s"}
    return [{"key": f"anchor-{name}", "when": leaf | {"event": name}} for name in NAMES]


def drawn_tree(random: Random, depth: int = 2) -> dict[str, Any]:
    kind = random.choice(("leaf", "leaf", "all", "any", "not")) if depth else "leaf"
    if kind == "not":
        return {"not": drawn_tree(random, depth - 1)}
    if kind != "leaf":
        return {kind: [drawn_tree(random, depth - 1) for _ in range(2)]}
    leaf: dict[str, Any] = {"event": random.choice(NAMES), "within": f"{random.choice(WINDOWS_S)}s"}
    if random.random() < 0.5:
        return leaf | {"kind": "performed"}
    op = random.choice(("gte", "gt", "lte", "lt", "eq", "ne"))
    return leaf | {"kind": "count", "op": op, "n": random.randint(0, 4)}


class Play:
    """One run. The seed decides everything, its kinds of trouble included."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        definitions = anchors() + [{"key": f"drawn-{n}", "when": drawn_tree(random)} for n in range(3)]
        shape = Shape(records_cached_max=random.choice((0, 6, 1_000)))
        self.world = World(seed, definitions, shape, stutter=random.choice((0.0, 0.2)))
        self.world.script.pause = random.choice((0.0, 0.1, 0.3))
        self.world.script.pause_s = random.choice((0.05, 0.3, 2.0))
        self.world.script.retry = random.choice((0.0, 0.005, 0.02))
        self.world.script.kill = random.choice((0.0, 0.002, 0.005))
        self.copies: dict[int, list[_Shard]] = {}
        self.failover = random.choice((0.0, 0.1, 0.3))
        self.is_editing = random.random() < 0.5
        self.is_splitting = random.random() < 0.6
        self.zombies: list[tuple[int, Any]] = []

    async def run(self) -> None:
        world = self.world
        self.copies = {shard: [copy] for shard, copy in world.snapshot().items()}
        for partition in range(world.shape.partitions):
            await world.give(partition, world.host())
        for _ in range(STEPS):
            await self.act()
            await asyncio.sleep(self.random.random() * 0.4)
        for _ in range(CHECKS):
            await world.settle()
            await world.check()
            world.step(self.random.randint(1, 25) * SECOND)
        await world.stop()

    async def act(self) -> None:
        random, world = self.random, self.world
        self._events()
        world.step(random.choice((0, 1, 40, SECOND, 3 * SECOND, 8 * SECOND, 20 * SECOND)))
        source = random.randrange(world.shape.sources)
        world.router.read(source, random.randint(1, 6))
        if random.random() < 0.6:
            world.router.mark()
        if random.random() < 0.15:
            world.router.fall_back(source, random.randint(0, world.router.next[source]))
        for host in world.hosts:
            for partition in host.owner.partitions.values():
                for shard in partition.shards.values():
                    shard.records_max = random.choice((1, 2, shard.records_max))
        await self._revive()
        await self._move()
        self._fail_over()
        self._edit()
        await world.activate()

    def _events(self) -> None:
        random, world = self.random, self.world
        for _ in range(random.randint(0, 4)):
            now_ms = world.clock.now_ms()
            ago_ms = random.choice((0, 0, 0, 1, SECOND, 12 * SECOND, 61 * SECOND, -SECOND, -15 * SECOND))
            source = random.randrange(world.shape.sources)
            world.happen(random.choice(world.persons), random.choice(NAMES), now_ms - ago_ms, source=source)

    async def _revive(self) -> None:
        world = self.world
        for partition in range(world.shape.partitions):
            if not world.owners(partition) and self.random.random() < 0.5:
                alive = [host for host in world.hosts if host.is_alive]
                host = self.random.choice(alive) if alive and self.random.random() < 0.5 else world.host()
                await world.give(partition, host)

    async def _move(self) -> None:
        """Hand a partition over, properly or behind its owner's back; an owner is told some time later."""
        random, world = self.random, self.world
        for partition, zombie in [pair for pair in self.zombies if random.random() < 0.4]:
            self.zombies.remove((partition, zombie))
            if zombie.is_alive:
                await zombie.revoke(partition)
        partition = random.randrange(world.shape.partitions)
        owners = world.owners(partition)
        if len(owners) != 1 or random.random() > 0.2:
            return
        others = [host for host in world.hosts if host.is_alive and host is not owners[0]]
        other = random.choice(others) if others else world.host()
        if self.is_splitting and random.random() < 0.6:
            self.zombies.append((partition, owners[0]))
        else:
            await owners[0].revoke(partition)
        await world.give(partition, other)

    def _fail_over(self) -> None:
        random, world = self.random, self.world
        if random.random() < 0.4:
            for shard, copy in world.snapshot().items():
                if random.random() < 0.7:
                    self.copies[shard] = [*self.copies[shard][-2:], copy]
        if random.random() < self.failover:
            lost = random.sample(range(world.shape.shards), random.randint(1, world.shape.shards))
            taken = {shard: random.randrange(len(self.copies[shard])) for shard in lost}
            world.fail_over({shard: self.copies[shard][index] for shard, index in taken.items()})
            for shard, index in taken.items():
                # What was copied later is of a history that is no more: replicas follow what came back.
                del self.copies[shard][index + 1 :]

    def _edit(self) -> None:
        """Give a drawn cohort another tree, one that holds for an empty history if the present one does."""
        random, world = self.random, self.world
        if not self.is_editing or random.random() > 0.1:
            return
        definitions = list(world.definitions)
        index = random.randrange(len(anchors()), len(definitions))
        definitions[index] = {**definitions[index], "when": drawn_tree(random)}
        if _complemented(definitions[index]) is _complemented(world.definitions[index]):
            world.define(definitions)


def _complemented(definition: Plain) -> bool:
    (cohort,) = assigned(Registry(), [definition], 0).team(1).cohorts
    return cohort.versions[-1].complemented
