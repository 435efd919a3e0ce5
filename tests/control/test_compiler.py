"""Every apply is compiled in order and once, whoever dies, sleeps or forgets in between."""

from dataclasses import dataclass, field

import msgspec
import pytest

from cohort_store.clocks import SteppedClock
from cohort_store.definition_files import Name, read_definitions
from cohort_store.definition_text import DefinitionText
from cohort_store.errors import WrongShards
from cohort_store.memory import MemoryMirror, RegistryCopy
from cohort_store.registry import Registry, VersionState, decode_registry, encode_registry
from processors.control.compiler import Compiler
from processors.control.life import Retirement, dropping, taking_over
from processors.control.registry_log import RegistryLog
from processors.definition_changes import (
    DefinitionsLog,
    Message,
    canonical_values,
    marker,
    messages_for,
    parse_values,
)
from processors.topic_log import RememberedLog, RememberedTopic


@dataclass
class World:
    """The two topics and the mirror, which outlive any process."""

    definitions: RememberedTopic = field(default_factory=RememberedTopic)
    registry: RememberedTopic = field(default_factory=RememberedTopic)
    copy: RegistryCopy = field(default_factory=RegistryCopy)

    async def process(self, shards: int = 8) -> Compiler:
        """A control process that has just begun."""
        compiler = Compiler(
            RememberedLog(self.definitions),
            RegistryLog(RememberedLog(self.registry)),
            MemoryMirror(self.copy),
            SteppedClock(1_000),
            shards,
        )
        await compiler.begin()
        return compiler

    async def apply(self, apply_id: str, text: str) -> None:
        """What `muster apply --prune` writes for one file."""
        log = DefinitionsLog()
        for record in self.definitions.records:
            log.add(Message(record.key, record.value))
        values = canonical_values(read_definitions([DefinitionText("f.yaml", text.encode())]))
        await RememberedLog(self.definitions).append(messages_for(log, values, apply_id))

    @property
    def mirrored(self) -> Registry:
        return decode_registry(self.copy.registry) if self.copy.registry else Registry()


def cohorts(**events: str) -> str:
    lines = [
        f"  - {{key: {key}, when: {{kind: performed, event: {event}, within: 1d}}}}" for key, event in events.items()
    ]
    return "cohorts:\n" + "\n".join(lines) + "\n"


def handles(registry: Registry) -> dict[str, list[int]]:
    return {cohort.key: [version.handle for version in cohort.versions] for cohort in registry.team(1).cohorts}


async def test_an_apply_is_compiled_into_the_topic_and_its_mirror() -> None:
    world = World()
    compiler = await world.process()
    await world.apply("one", cohorts(a="x"))
    await compiler.compile()
    assert compiler.registry.applied == "one"
    assert handles(compiler.registry) == {"a": [2]}
    assert world.mirrored == compiler.registry


async def test_definitions_without_a_marker_do_not_take_effect() -> None:
    world = World()
    compiler = await world.process()
    await world.apply("one", cohorts(a="x"))
    await compiler.compile()
    await RememberedLog(world.definitions).append([(b"cohort:1:a", None)])
    await compiler.compile()
    assert handles(compiler.registry) == {"a": [2]}
    assert compiler.registry.version == 1


async def test_two_applies_in_a_row_are_both_seen_in_the_registry() -> None:
    world = World()
    compiler = await world.process()
    await world.apply("one", cohorts(a="x"))
    await world.apply("two", cohorts(a="x", b="y"))
    await compiler.compile()
    assert [decode_registry(record.value or b"").applied for record in world.registry.records] == ["one", "two"]


async def test_compiling_again_changes_nothing() -> None:
    world = World()
    compiler = await world.process()
    await world.apply("one", cohorts(a="x"))
    for _ in range(3):
        await compiler.compile()
    assert len(world.registry.records) == 1


async def test_a_process_that_dies_after_the_marker_leaves_the_same_handles_to_its_successor() -> None:
    world, untroubled = World(), World()
    for each in (world, untroubled):
        await each.apply("one", cohorts(a="x", b="y"))
    await (await untroubled.process()).compile()
    await world.process()
    successor = await world.process()
    await successor.compile()
    assert successor.registry == world.mirrored == untroubled.mirrored


async def test_a_process_that_dies_before_the_mirror_is_made_good_by_its_successor() -> None:
    world = World()
    await world.apply("one", cohorts(a="x"))
    await (await world.process()).compile()
    world.copy = RegistryCopy()
    successor = await world.process()
    await successor.compile()
    assert len(world.registry.records) == 1
    await successor.repair_mirror()
    assert world.mirrored.version == 1


async def test_a_sleeper_that_wakes_after_others_compiled_brings_nothing_old_back() -> None:
    world = World()
    sleeper = await world.process()
    await world.apply("one", cohorts(a="x"))
    await sleeper.compile()
    other = await world.process()
    await world.apply("two", cohorts(a="x2"))
    await world.apply("three", cohorts(a="x3", b="y"))
    await other.compile()
    await sleeper.compile()
    assert sleeper.registry == other.registry
    assert other.registry.applied == "three"


async def test_a_write_that_was_overtaken_is_done_again_upon_the_winner() -> None:
    world = World()
    sleeper = await world.process()
    await world.apply("one", cohorts(a="x"))
    overtaken = Overtaking(sleeper, world)
    await overtaken.change_sources_while_it_writes()
    await sleeper.compile()
    assert dict(sleeper.registry.sources) == {"t": (0,)}
    assert handles(sleeper.registry) == {"a": [2]}
    versions = [decode_registry(record.value or b"").version for record in world.registry.records]
    assert versions == sorted(versions)


@dataclass
class Overtaking:
    """Another process writes between a sleeper's look at the topic and its write."""

    sleeper: Compiler
    world: World

    async def change_sources_while_it_writes(self) -> None:
        other = await self.world.process()
        await other.change(lambda r: msgspec.structs.replace(r, version=r.version + 1, sources={"t": (0,)}))
        # The sleeper has not read that: what it writes next bears the same version, and is void.
        stale = Registry(version=1, next_handle=99)
        assert not await self.sleeper._write(stale)


async def test_a_bad_apply_is_refused_and_what_was_in_force_stays() -> None:
    world = World()
    compiler = await world.process()
    await world.apply("one", cohorts(a="x"))
    await world.apply("bad", "cohorts: [{key: b, when: {kind: in_cohort, cohort: nobody}}]")
    await compiler.compile()
    assert compiler.registry.applied == "bad"
    assert "refers to cohort 'nobody'" in compiler.registry.refused
    assert handles(compiler.registry) == {"a": [2]}
    await world.apply("good", cohorts(a="x", c="z"))
    await compiler.compile()
    assert compiler.registry.refused == ""
    assert set(handles(compiler.registry)) == {"a", "c"}


async def test_bytes_that_are_no_definition_refuse_the_apply_they_belong_to() -> None:
    world = World()
    compiler = await world.process()
    await RememberedLog(world.definitions).append([(b"cohort:1:a", b"{"), marker("one")])
    await compiler.compile()
    assert "apply it again, or prune it" in compiler.registry.refused


async def test_an_edit_builds_beside_the_active_version_until_all_shards_are_ready() -> None:
    world = World()
    compiler = await world.process()
    await world.apply("one", cohorts(a="x"))
    await world.apply("two", cohorts(a="y"))
    await compiler.compile()
    cohort = compiler.registry.team(1).cohorts[0]
    assert [version.state for version in cohort.versions] == [VersionState.ACTIVE, VersionState.BUILDING]
    assert not await compiler.change(taking_over(compiler.registry.version - 1))
    assert await compiler.change(taking_over(compiler.registry.version))
    (active,) = compiler.registry.team(1).cohorts[0].versions
    assert (active.number, active.state) == (2, VersionState.ACTIVE)


async def test_what_an_edit_replaced_is_dropped_by_a_successor_too() -> None:
    world = World()
    compiler = await world.process()
    await world.apply("one", cohorts(a="x"))
    await world.apply("two", cohorts(a="y"))
    await compiler.compile()
    await compiler.change(taking_over(compiler.registry.version))
    ended = compiler.registry.version
    successor = await world.process()
    assert await successor.mirrored() == ended
    through = Retirement(kept_ms=0).look(successor.registry, await successor.mirrored(), 0)
    assert through == ended
    assert await successor.change(dropping(through))
    assert world.mirrored.retired_in() == set()
    assert world.mirrored.cohorts_version == world.mirrored.version == ended + 1
    assert handles(world.mirrored) == handles(compiler.registry)


async def test_without_a_mirror_nothing_that_was_retired_may_go() -> None:
    world = World()
    compiler = await world.process()
    await world.apply("one", cohorts(a="x"))
    await world.apply("two", cohorts(b="y"))
    await compiler.compile()
    world.copy = RegistryCopy()
    successor = await world.process()
    assert successor.registry.retired_in() == {2}
    assert await successor.mirrored() == 0
    assert Retirement(kept_ms=0).look(successor.registry, await successor.mirrored(), 0) == 0


async def test_topics_that_an_in_memory_broker_lost_are_filled_from_the_mirror() -> None:
    world = World()
    compiler = await world.process()
    await world.apply("one", cohorts(a="x", b="y") + "flags: [{key: f}]\n")
    await compiler.compile()
    before = compiler.registry
    world.definitions, world.registry = RememberedTopic(), RememberedTopic()
    successor = await world.process()
    await successor.compile()
    assert successor.registry == before
    await world.apply("two", cohorts(a="x", b="y", c="z"))
    await successor.compile()
    after = handles(successor.registry)
    assert {key: after[key] for key in ("a", "b")} == handles(before)
    assert min(after["c"]) >= before.next_handle


async def test_a_list_outlives_topics_that_were_lost_and_is_there_for_the_next_apply() -> None:
    world = World()
    compiler = await world.process()
    await world.apply("one", "cohorts: [{key: v, members: [a, b]}]")
    await compiler.compile()
    assert list(compiler.lists.values()) == [b'["a","b"]']
    world.definitions, world.registry = RememberedTopic(), RememberedTopic()
    await world.process()
    world.definitions, world.registry = RememberedTopic(), RememberedTopic()
    successor = await world.process()
    assert successor.lists == compiler.lists
    log = DefinitionsLog()
    for record in world.definitions.records:
        log.add(Message(record.key, record.value))
    assert parse_values(log.last.values).cohorts[Name("cohort", 1, "v")].members == ("a", "b")
    await successor.compile()
    assert successor.registry.refused == ""


async def test_the_mirror_keeps_the_lists_that_the_registry_reads_and_no_others() -> None:
    world = World()
    compiler = await world.process()
    await world.apply("one", "cohorts: [{key: v, members: [a, b]}]")
    await compiler.compile()
    await compiler.change(taking_over(compiler.registry.version))
    await world.apply("two", "cohorts: [{key: v, members: [c]}]")
    await compiler.compile()
    assert sorted(world.copy.lists.values()) == [b'["a","b"]', b'["c"]'], "one is in force, the other building"
    await compiler.change(taking_over(compiler.registry.version))
    assert list(world.copy.lists.values()) == [b'["c"]']


async def test_a_registry_topic_that_lost_its_last_versions_gives_out_no_handle_twice() -> None:
    world = World()
    compiler = await world.process()
    await world.apply("one", cohorts(a="x"))
    await compiler.compile()
    await world.apply("two", cohorts(a="x", b="y"))
    await compiler.compile()
    lost = compiler.registry
    del world.registry.records[1:]
    successor = await world.process()
    await successor.compile()
    assert successor.registry.version > lost.version
    given = {handle for numbers in handles(successor.registry).values() for handle in numbers}
    assert given & set(range(1, lost.next_handle)) == {handles(lost)["a"][0]}


async def test_a_void_message_at_the_end_is_covered_by_a_newer_version() -> None:
    world = World()
    compiler = await world.process()
    await world.apply("one", cohorts(a="x"))
    await compiler.compile()
    await RememberedLog(world.registry).append([(b"registry", msgspec.json.encode(Registry(version=1)))])
    successor = await world.process()
    assert successor.registry.version == 2
    assert handles(successor.registry) == {"a": [2]}


async def test_a_control_with_another_number_of_shards_than_the_installation_refuses_to_begin() -> None:
    world = World()
    await world.apply("one", cohorts(a="x"))
    await (await world.process(shards=8)).compile()
    assert world.mirrored.shards == 8
    await world.process(shards=8)
    for configured in (7, 9):
        with pytest.raises(WrongShards, match=rf"MUSTER_SHARDS is {configured}, .* made with 8 .* MUSTER_SHARDS=8"):
            await world.process(shards=configured)


async def test_a_control_that_began_before_another_one_fixed_the_number_of_shards_writes_nothing() -> None:
    world = World()
    late = await world.process(shards=9)
    await world.apply("one", cohorts(a="x"))
    await (await world.process(shards=8)).compile()
    await world.apply("two", cohorts(a="y"))
    with pytest.raises(WrongShards):
        await late.compile()
    assert (world.mirrored.applied, world.mirrored.shards) == ("one", 8)


async def test_a_registry_that_does_not_say_its_number_of_shards_says_it_from_its_next_version_on() -> None:
    world = World()
    await world.apply("one", cohorts(a="x"))
    await (await world.process()).compile()
    silent = msgspec.structs.replace(world.mirrored, shards=0, version=2)
    await RememberedLog(world.registry).append([(b"registry", encode_registry(silent))])
    successor = await world.process(shards=9)
    await world.apply("two", cohorts(a="y"))
    await successor.compile()
    assert world.mirrored.shards == 9
