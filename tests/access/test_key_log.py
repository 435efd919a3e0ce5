"""Keys among the definitions: what becomes of them when definitions are applied, refused, pruned, lost or compacted."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from cohort_store.access_keys import Right
from cohort_store.clocks import SteppedClock
from cohort_store.definition_files import KEY, Name, read_definitions
from cohort_store.definition_text import DefinitionText
from cohort_store.memory import MemoryMirror, RegistryCopy
from cohort_store.registry import decode_registry
from processors.access.issuing import Issued, Wanted, added, issue, revoked
from processors.access.key_log import Step, change_keys_in
from processors.control.compiler import Compiler
from processors.control.registry_log import RegistryLog
from processors.definition_changes import Message, canonical, marker
from processors.definitions_log import apply_to
from processors.topic_log import LogRecord, RememberedLog, RememberedTopic

NOW_MS = 1_000
COHORTS = "cohorts: [{key: buyers, when: {kind: performed, event: purchase, within: 7d}}]"
OTHERS = "cohorts: [{key: others, when: {kind: performed, event: open, within: 7d}}]"


class WaitingLog(RememberedLog):
    """Lets others go on while it waits for more."""

    async def read(self, timeout_s: float) -> list[LogRecord]:
        await asyncio.sleep(0)
        return await super().read(timeout_s)


@dataclass
class World:
    """The two topics and the mirror; control compiles whatever is written."""

    definitions: RememberedTopic = field(default_factory=RememberedTopic)
    registry: RememberedTopic = field(default_factory=RememberedTopic)
    copy: RegistryCopy = field(default_factory=RegistryCopy)

    async def control(self) -> Compiler:
        """A control process that has just begun, and compiled what there was."""
        logs = RememberedLog(self.definitions), RegistryLog(RememberedLog(self.registry))
        compiler = Compiler(*logs, MemoryMirror(self.copy), SteppedClock(NOW_MS), 8)
        await compiler.begin()
        await compiler.compile()
        return compiler

    async def change(self, step: Step[Any], team: int = 1) -> None:
        async with asyncio.TaskGroup() as group:
            logs = WaitingLog(self.definitions), WaitingLog(self.registry)
            changing = group.create_task(change_keys_in(*logs, team, step, deadline_s=5))
            while not changing.done():
                await self.control()
                await asyncio.sleep(0)

    async def add(self, *rights: Right, team: int = 1) -> Issued:
        issued = issue(Wanted(team, "a test's", frozenset(rights or (Right.EXPLAIN,))), NOW_MS)
        await self.change(lambda keys: (added(keys, issued.key, NOW_MS), None), team)
        return issued

    async def apply(self, text: str, *, prune: bool = False) -> None:
        files = read_definitions([DefinitionText("f.yaml", text.encode())])
        async with asyncio.TaskGroup() as group:
            logs = WaitingLog(self.definitions), WaitingLog(self.registry)
            applying = group.create_task(apply_to(*logs, files, prune=prune, dry_run=False, deadline_s=5))
            while not applying.done():
                await self.control()
                await asyncio.sleep(0)

    def keys(self, team: int = 1) -> dict[str, bool]:
        """Which keys evaluators see, and whether they count."""
        assert self.copy.registry is not None
        found = decode_registry(self.copy.registry).keys
        return {key.id: key.revoked_ms is None for key in found if key.team == team}

    def cohorts(self) -> list[str]:
        assert self.copy.registry is not None
        return [cohort.key for cohort in decode_registry(self.copy.registry).team(1).cohorts]


async def test_keys_reach_evaluators_and_definitions_stay_as_they_are() -> None:
    world = World()
    await world.apply(COHORTS)
    mine, others = await world.add(), await world.add(team=7)
    assert (world.keys(), world.keys(7), world.cohorts()) == ({mine.key.id: True}, {others.key.id: True}, ["buyers"])
    await world.change(lambda keys: (revoked(keys, mine.key.id, NOW_MS), None))
    assert (world.keys(), world.keys(7), world.cohorts()) == ({mine.key.id: False}, {others.key.id: True}, ["buyers"])


async def test_whatever_is_applied_or_pruned_leaves_keys_alone() -> None:
    world = World()
    key = await world.add()
    await world.apply(COHORTS)
    await world.apply(OTHERS, prune=True)
    assert (world.keys(), world.cohorts()) == ({key.key.id: True}, ["others"])
    await world.apply("team: 1", prune=True)
    assert (world.keys(), world.cohorts()) == ({key.key.id: True}, [])


async def test_a_key_is_revoked_even_where_the_definitions_beside_it_are_refused() -> None:
    world = World()
    await world.apply(COHORTS)
    key = await world.add()
    broken = [Message(b"cohort:1:buyers", b'{"key": "buyers"}'), marker("broken")]
    await RememberedLog(world.definitions).append(broken)
    await world.control()
    await world.change(lambda keys: (revoked(keys, key.key.id, NOW_MS), None))
    compiler = await world.control()
    assert compiler.registry.refused
    assert (world.keys(), world.cohorts()) == ({key.key.id: False}, ["buyers"])


async def test_a_topic_that_lost_everything_gets_its_keys_back_from_the_registry() -> None:
    world = World()
    await world.apply(COHORTS)
    key = await world.add()
    world.definitions, world.registry = RememberedTopic(), RememberedTopic()
    await world.control()
    assert (world.keys(), world.cohorts()) == ({key.key.id: True}, ["buyers"])
    assert str(Name(KEY, 1, key.key.id)).encode() in [record.key for record in world.definitions.records]


async def test_a_redis_that_lost_everything_gets_them_back_from_the_topic() -> None:
    world = World()
    key = await world.add()
    world.copy = RegistryCopy()
    await (await world.control()).repair_mirror()
    assert world.keys() == {key.key.id: True}


async def test_a_key_that_was_compacted_behind_a_marker_is_still_there() -> None:
    world = World()
    await world.apply(COHORTS)
    key = await world.add()
    name = str(Name(KEY, 1, key.key.id)).encode()
    kept = [record for record in world.definitions.records if record.key != name]
    world.definitions.records[:] = kept
    await RememberedLog(world.definitions).append([(name, canonical(key.key))])
    second = await world.add()
    assert world.keys() == {key.key.id: True, second.key.id: True}


async def test_a_key_that_no_version_can_read_opens_nothing_and_breaks_nothing() -> None:
    world = World()
    await RememberedLog(world.definitions).append([(b"key:1:ffffffffff", b'{"id": 7}'), marker("newer")])
    await world.control()
    key = await world.add()
    await world.apply(COHORTS)
    assert (world.keys(), world.cohorts()) == ({key.key.id: True}, ["buyers"])


async def test_a_change_of_nothing_writes_nothing() -> None:
    world = World()
    await world.add()
    before = list(world.definitions.records)
    await world.change(lambda keys: (dict(keys), None))
    assert world.definitions.records == before
