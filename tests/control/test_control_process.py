"""Control as a real process on a real broker and view: applied, refused, killed, doubled, restarted."""

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cohort_store.errors import BadDefinition
from cohort_store.kafka.ends import end_offsets
from cohort_store.kafka.topics import DEFINITIONS
from cohort_store.registry import Registry, VersionState
from cohort_store.settings import Settings
from processors.control import wiring
from processors.definition_changes import Action, names_of
from processors.definitions_log import ApplyReport, NotCompiled, apply
from processors.embedded.broker import EmbeddedBroker
from processors.embedded.child import choose_port
from tests.control.control_process import ControlProcess, control_settings, eventually, fold_all_shards, mirrored

KILLS = 100 if os.environ.get("MUSTER_TEST_PROFILE") == "long" else 5


@pytest.fixture
def settings(fresh_broker: str, view_url: str, tmp_path: Path) -> Settings:
    return control_settings(fresh_broker, view_url, tmp_path / "data")


@pytest.fixture(scope="module")
def running(view_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlProcess]:
    """One control for tests that leave it running; each has a team of its own."""
    folder = tmp_path_factory.mktemp("control")
    with EmbeddedBroker(folder / "broker") as broker:
        settings = control_settings(broker.bootstrap, view_server.url, folder / "data", redis_prefix="shared")
        with ControlProcess(settings, folder / "control.log") as control:
            yield control


def cohorts(team: int = 1, /, **events: str) -> str:
    lines = [
        f"  - {{key: {key}, when: {{kind: performed, event: {event}, within: 1d}}}}" for key, event in events.items()
    ]
    return f"team: {team}\ncohorts:\n" + "\n".join(lines) + "\n"


def written(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "f.yaml"
    file.write_text(text)
    return file


SLOW_TO_MIRROR = """
import asyncio
from cohort_store.redis.mirror import RedisRegistryMirror as Mirror
published = Mirror.publish
async def publish(self, *args):
    await asyncio.sleep(1.0)
    await published(self, *args)
Mirror.publish = publish
"""


async def apply_text(settings: Settings, folder: Path, text: str, **how: bool) -> ApplyReport:
    return await apply(
        settings, [written(folder, text)], prune=how.get("prune", False), dry_run=how.get("dry_run", False)
    )


async def in_force(settings: Settings, report: ApplyReport) -> Registry:
    """The mirrored registry, once it is as new as the report says; the mirror follows the topic."""
    return await eventually(lambda: mirrored(settings), lambda r: r.version >= (report.registry_version or 0))


def handles(registry: Registry) -> dict[str, int]:
    return {c.key: c.active.handle for team in registry.teams.values() for c in team.cohorts if c.active}


async def end_of_definitions(settings: Settings) -> int:
    from aiokafka import TopicPartition

    partition = TopicPartition(DEFINITIONS, 0)
    return (await end_offsets(settings.kafka, [partition]))[partition]


async def test_what_an_apply_reports_is_in_force_and_shown(running: ControlProcess, tmp_path: Path) -> None:
    settings = running.settings
    report = await apply_text(settings, tmp_path, cohorts(2, a="x", b="y") + "flags: [{key: f}]\n")
    assert names_of(report.changes, Action.CREATED) == ["a", "b", "f"]
    registry = (await in_force(settings, report)).team(2)
    assert [flag["key"] for flag in registry.flags] == ["f"]
    day_ms = 86_400_000
    assert [(notice.key, notice.warming_until_ms) for notice in report.notices] == [
        (cohort.key, cohort.versions[0].activated_ms + day_ms) for cohort in registry.cohorts
    ]
    await eventually(lambda: mirrored(settings), lambda r: dict(r.sources) == {"muster.events": (0, 1)})


async def test_group_types_and_flags_that_ask_flags_are_applied_like_anything_else(
    running: ControlProcess, tmp_path: Path
) -> None:
    settings = running.settings
    flags = (
        "flags:\n  - {key: f, filters: {aggregation_group_type_index: 0, groups: [{}]}}\n"
        "  - {key: g, filters: {groups: [{properties: "
        "[{type: flag, key: f, operator: flag_evaluates_to, value: true}]}]}}\n"
    )
    with pytest.raises(BadDefinition, match="add group_types"):
        await apply_text(settings, tmp_path, f"team: 11\n{flags}")
    report = await apply_text(settings, tmp_path, f"team: 11\ngroup_types: {{company: 0}}\n{flags}")
    assert names_of(report.changes, Action.CREATED) == ["f", "g", "company"]
    registry = (await in_force(settings, report)).team(11)
    assert (registry.group_types, [flag["key"] for flag in registry.flags]) == ({"company": 0}, ["f", "g"])
    with pytest.raises(BadDefinition, match="depends on flag 'f', which is not defined"):
        await apply_text(settings, tmp_path, f"team: 11\nflags: [{flags.splitlines()[2].strip(' -')}]\n", prune=True)


async def test_an_apply_returns_once_readers_see_it_and_says_where_they_do_not(
    settings: Settings, tmp_path: Path
) -> None:
    away = settings.model_copy(update={"redis": f"redis://:secret@127.0.0.1:{choose_port(None)}/0"})
    with ControlProcess(settings, tmp_path / "control.log", before=SLOW_TO_MIRROR):
        report = await apply_text(settings, tmp_path, cohorts(signed="sign up"))
        assert report.registry_version == (await mirrored(settings)).version
        assert report.warnings == ()
        report = await apply_text(away, tmp_path, cohorts(signed="signed up"))
        assert report.registry_version
        (warning,) = report.warnings
        assert "readers do not see version" in warning
        assert "secret" not in warning


async def test_status_says_the_same_from_control_and_without_it(running: ControlProcess, tmp_path: Path) -> None:
    settings = running.settings
    report = await apply_text(settings, tmp_path, cohorts(3, a="x"))
    await in_force(settings, report)

    async def shown() -> list[Any]:
        page = await asyncio.to_thread(running.page, "/status/")
        return [cohort for cohort in page["cohorts"] if cohort["team"] == 3]

    (cohort,) = await eventually(shown, bool)
    assert cohort["state"] == "unavailable"
    await fold_all_shards(settings, (await mirrored(settings)).version)
    status = await wiring.status(settings)
    assert [cohort.state for cohort in status.cohorts if cohort.team == 3] == ["warming"]
    assert (status.shards.ready, status.shards.known, status.shards.lag) == (4, 4, 0)
    (cohort,) = await shown()
    assert cohort["state"] == "warming"
    assert await asyncio.to_thread(running.page, "/flow/") == []


async def test_a_refused_file_writes_nothing_and_the_same_file_changes_nothing(
    running: ControlProcess, tmp_path: Path
) -> None:
    settings = running.settings
    first = await apply_text(settings, tmp_path, cohorts(4, a="x"))
    end, before = await end_of_definitions(settings), (await in_force(settings, first)).team(4)
    with pytest.raises(BadDefinition, match=r"yaml:2: cohorts\[0\] \(b\): refers to cohort 'nobody'"):
        await apply_text(settings, tmp_path, "team: 4\ncohorts: [{key: b, when: {kind: in_cohort, cohort: nobody}}]")
    again = await apply_text(settings, tmp_path, cohorts(4, a="x"))
    assert names_of(again.changes, Action.UNCHANGED) == ["a"]
    dry = await apply_text(settings, tmp_path, cohorts(4, a="y", c="z"), dry_run=True)
    assert (names_of(dry.changes, Action.EDITED), names_of(dry.changes, Action.CREATED)) == (["a"], ["c"])
    assert dry.registry_version is None
    assert await end_of_definitions(settings) == end
    assert (await mirrored(settings)).team(4) == before


async def test_a_file_may_refer_to_what_an_earlier_apply_defined(running: ControlProcess, tmp_path: Path) -> None:
    settings = running.settings
    first = await apply_text(settings, tmp_path, cohorts(5, a="x"))
    number = (await in_force(settings, first)).team(5).cohorts[0].id
    asking = f"{{groups: [{{properties: [{{key: id, type: cohort, operator: in, value: {number}}}]}}]}}"
    flags = f"flags: [{{key: f, filters: {asking}}}]\n"
    referring = "team: 5\ncohorts: [{key: b, when: {not: {kind: in_cohort, cohort: a}}}]\n"
    report = await apply_text(settings, tmp_path, referring + flags)
    assert [(notice.key, notice.complemented) for notice in report.notices] == [("b", True)]
    with pytest.raises(BadDefinition, match=f"f.yaml:4: .* asks cohort '{number}'"):
        await apply_text(settings, tmp_path, cohorts(5, c="z") + flags, prune=True)
    pruned = await apply_text(settings, tmp_path, cohorts(5, c="z"), prune=True)
    assert sorted(names_of(pruned.changes, Action.DROPPED)) == ["a", "b", "f"]
    assert [cohort.key for cohort in (await in_force(settings, pruned)).team(5).cohorts] == ["c"]


async def test_an_edit_takes_over_once_every_shard_has_folded_it(running: ControlProcess, tmp_path: Path) -> None:
    settings = running.settings
    await apply_text(settings, tmp_path, cohorts(6, a="x"))
    report = await apply_text(settings, tmp_path, cohorts(6, a="y"))
    assert [notice.building for notice in report.notices] == [True]
    registry = await in_force(settings, report)
    assert [version.state for version in registry.team(6).cohorts[0].versions] == [
        VersionState.ACTIVE,
        VersionState.BUILDING,
    ]
    await fold_all_shards(settings, registry.version)
    swapped = await eventually(lambda: mirrored(settings), lambda r: r.version > registry.version)
    assert [version.number for version in swapped.team(6).cohorts[0].versions] == [2]


async def test_two_applies_at_once_are_both_in_force(running: ControlProcess, tmp_path: Path) -> None:
    settings = running.settings
    both = await asyncio.gather(
        apply_text(settings, tmp_path / "one", cohorts(7, a="x")),
        apply_text(settings, tmp_path / "two", cohorts(7, b="y")),
    )
    last = max(both, key=lambda report: report.registry_version or 0)
    assert {cohort.key for cohort in (await in_force(settings, last)).team(7).cohorts} == {"a", "b"}


@pytest.mark.fault
async def test_kills_in_the_middle_of_applies_lose_no_definition_and_change_no_handle(
    settings: Settings, tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)
    known: dict[str, int] = {}
    control = ControlProcess(settings, tmp_path / "control.log")
    control.child.start()
    try:
        for number in range(KILLS):
            applying = asyncio.create_task(apply_text(settings, tmp_path, cohorts(1, **{f"c{number}": f"e{number}"})))
            await asyncio.sleep(draw.uniform(0.0, 0.5))
            await asyncio.to_thread(control.child.kill)
            control.child.launch()
            found = handles(await in_force(settings, await applying))
            assert found == found | known, "a handle that was given out stays"
            assert set(found) == {f"c{n}" for n in range(number + 1)}
            known = found
    finally:
        control.child.stop()


async def test_an_apply_without_control_says_so_and_is_compiled_later(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(cohorts(a="x"))
    with pytest.raises(NotCompiled, match="is `muster control` running"):
        await apply(settings, [file], prune=False, dry_run=False, deadline_s=0.3)
    with ControlProcess(settings, tmp_path / "control.log"):
        report = await apply(settings, [file], prune=False, dry_run=False)
        assert names_of(report.changes, Action.UNCHANGED) == ["a"]
        assert set(handles(await in_force(settings, report))) == {"a"}


async def test_a_second_control_takes_over_and_one_history_results(settings: Settings, tmp_path: Path) -> None:
    other = settings.model_copy(update={"control_port": choose_port(None)})
    with ControlProcess(settings, tmp_path / "one.log") as first, ControlProcess(other, tmp_path / "two.log"):
        before = handles(await in_force(settings, await apply_text(settings, tmp_path, cohorts(a="x"))))
        await asyncio.to_thread(first.child.kill)
        after = handles(await in_force(settings, await apply_text(settings, tmp_path, cohorts(b="y"))))
        assert before.items() <= after.items()
        assert set(after) == {"a", "b"}


async def test_a_new_in_memory_broker_gets_its_definitions_back_from_the_view(view_url: str, tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "one") as broker:
        settings = control_settings(broker.bootstrap, view_url, tmp_path / "data")
        with ControlProcess(settings, tmp_path / "control.log"):
            before = await in_force(settings, await apply_text(settings, tmp_path, cohorts(a="x", b="y")))
    with EmbeddedBroker(tmp_path / "two") as broker:
        settings = control_settings(broker.bootstrap, view_url, tmp_path / "data")
        with ControlProcess(settings, tmp_path / "control.log"):
            same = await apply_text(settings, tmp_path, cohorts(a="x", b="y"))
            assert names_of(same.changes, Action.UNCHANGED) == ["a", "b"]
            after = await in_force(settings, same)
    assert after.teams == before.teams
    assert after.next_handle == before.next_handle


async def test_a_mirror_that_lost_the_registry_gets_it_again(settings: Settings, tmp_path: Path) -> None:
    import redis

    with ControlProcess(settings, tmp_path / "control.log"):
        before = await in_force(settings, await apply_text(settings, tmp_path, cohorts(a="x")))
        with redis.Redis.from_url(settings.redis) as client:
            client.flushall()
        after = await eventually(lambda: mirrored(settings), lambda r: r.version > 0)
        assert after.teams == before.teams
