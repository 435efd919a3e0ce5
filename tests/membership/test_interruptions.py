"""Every await of the commit path, failed before and after its effect, with the worker alive and with it dead."""

import asyncio
from dataclasses import dataclass

import pytest

from processors.membership import owner, sweeping
from tests.membership import virtual_time
from tests.membership.hosts import Script, Shape
from tests.membership.simulation import SECOND, Plain, World

SHORT = {"key": "short", "when": {"kind": "performed", "event": "buy", "within": "13s"}}
QUIET = {"key": "quiet", "when": {"not": {"kind": "performed", "event": "buy", "within": "20s"}}}
LONG = {"key": "long", "when": {"kind": "count", "event": "buy", "op": "gte", "n": 2, "within": "60s"}}
EDITED: list[Plain] = [{"key": "short", "when": {"kind": "performed", "event": "buy", "within": "5s"}}, QUIET, LONG]
SHAPE = Shape(shards=2, partitions=1, sources=1, persons=3)
PHASE_S = 0.35


@dataclass
class CommitPath(Script):
    """Counts, and fails, what happens between input and change; idle looks at the consumer are left out."""

    async def pass_by(self, worker: str, point: str) -> None:
        if "fetch" not in point and "acknowledge" not in point and "bounds" not in point:
            await super().pass_by(worker, point)


async def _life(script: Script) -> None:
    """Entries by event, an exit by timer, another owner, an edit, an event again, under trouble; then the check."""
    world = World(1, [SHORT, QUIET, LONG], SHAPE, script=script)
    await _work(world)
    for number, person in enumerate(world.persons):
        world.happen(person, "buy", world.clock.now_ms() - number * 4 * SECOND)
    await _work(world)
    world.step(9 * SECOND)
    await _work(world)
    for host in world.owners(0):
        await host.revoke(0)
    await _work(world)
    world.define(EDITED)
    await _work(world)
    await world.activate()
    await _work(world)
    world.happen(world.persons[0], "buy")
    world.step(6 * SECOND)
    await _work(world)
    for by_ms in (0, 7 * SECOND, 60 * SECOND):
        world.step(by_ms)
        await world.settle()
        await world.check()
    await world.stop()


async def _work(world: World) -> None:
    """Some time with everything routed, and a new worker where the last one died."""
    if not world.owners(0):
        await world.give(0, world.host())
    world.router.read(0, 100)
    world.router.mark()
    await asyncio.sleep(PHASE_S)


def _points() -> list[str]:
    script = CommitPath(fail_at=0)
    virtual_time.run(_life(script))
    return script.passed


@pytest.mark.fault
def test_the_path_under_test_has_every_step_in_it() -> None:
    steps = {point.removeprefix("before ").removeprefix("after ") for point in _points()}
    wanted = {"claim", "positions", "message_ids", "changes", "registry", "load", "due", "commit", "subjects"}
    assert steps >= wanted | {"outbox", "publish", "drop_outbox", "outbox_sizes"}


@pytest.mark.fault
@pytest.mark.parametrize("how", ["retry", "kill"])
def test_nothing_is_lost_or_doubled_wherever_the_commit_path_is_interrupted(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "SWEEP_PAGE", 2)
    monkeypatch.setattr(sweeping, "SWEEP_IDLE_MS_MAX", 0)
    monkeypatch.setattr(owner, "TELL_MAX", 2)
    monkeypatch.setattr(owner, "LANE_SHARDS_MIN", 1)
    for number, point in enumerate(_points(), start=1):
        try:
            virtual_time.run(_life(CommitPath(fail_at=number, how=how)))
        except AssertionError as error:
            raise AssertionError(f"{how} at point {number}, {point}: {error}") from error
