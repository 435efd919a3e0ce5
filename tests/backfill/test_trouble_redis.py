"""A Redis that is full: who is a member stands and says so, and goes on by itself and right once there is room."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from cohort_store.ports import Outcome
from cohort_store.redis.store import Memory
from processors.cli.diagnosis import Verdict, _redis, memory_findings
from processors.embedded.child import choose_port
from processors.embedded.view import EmbeddedView
from tests.backfill.between import Between, Trouble
from tests.backfill.installation import DEADLINE_S, FilledInstallation
from tests.contract.building import Owner, person, write
from tests.contract.servers import client_of, connected
from tests.control.control_process import eventually
from tests.membership.processes import SECOND, Installation, Life
from tests.services.fixtures import ClickHouse

pytestmark = pytest.mark.slow

FULL = "the view is full and takes no writes"


@pytest.fixture
def own_view(tmp_path: Path) -> Iterator[EmbeddedView]:
    with EmbeddedView(tmp_path / "own") as view:
        yield view


def fill_up(view: EmbeddedView, maxmemory: str = "1mb") -> None:
    with client_of(view.url) as client:
        client.config_set("maxmemory", maxmemory)


def make_room(view: EmbeddedView) -> None:
    fill_up(view, "0")


async def test_changes_that_wait_in_a_full_server_can_be_dropped_once_they_are_published(
    own_view: EmbeddedView,
) -> None:
    async with connected(own_view.url) as seen:
        owner = Owner(seen.store)
        assert await owner.commit(write(person(0)), changes=(b"a", b"b")) is Outcome.COMMITTED
        fill_up(own_view)
        (entries,) = (await seen.store.outbox([0], 10)).values()
        await seen.store.drop_outbox({0: entries[-1].id})
        assert await seen.store.outbox_sizes([0]) == {0: 0}


@pytest.mark.services
async def test_a_full_redis_lets_nobody_in_or_out_says_so_and_is_right_once_it_has_room(
    own_view: EmbeddedView, fresh_broker: str, tmp_path: Path, seed: int
) -> None:
    async with Installation(tmp_path, fresh_broker, own_view.url) as installation:
        port = choose_port(None)
        installation.settings = installation.settings.model_copy(update={"metrics_port": port})
        installation.start("membership", "membership")
        installation.settings = installation.settings.model_copy(update={"metrics_port": 0})
        installation.start("router", "router")
        await installation.happen("person-000", "buy")
        await installation.settle()
        life = Life(installation, Random(seed))
        living = asyncio.create_task(life.live())
        await asyncio.sleep(0)
        fill_up(own_view)

        async def log() -> str:
            return (tmp_path / "membership.log").read_text()

        await eventually(log, lambda text: text.count(f"{FULL} (") > 3)
        assert "raise its maxmemory; cohorts can be dropped only then" in await log()
        before = await installation.reader.positions(range(4))
        _, full = await _redis(installation.settings)
        assert (full.part, full.verdict) == ("redis", Verdict.WRONG)
        assert "is full" in full.detail
        assert retries(port) > 3
        assert await installation.reader.positions(range(4)) == before, "time stands still"
        make_room(own_view)
        life.is_over = True
        await living
        for by_ms in (0, 13 * SECOND, 60 * SECOND):
            installation.clock.set(installation.clock.now_ms() + by_ms)
            await installation.settle()
            await installation.check()
        assert [finding.verdict for finding in await _redis(installation.settings)] == [Verdict.WELL]


@pytest.mark.services
async def test_a_redis_that_fills_up_in_the_midst_of_a_backfill_makes_it_wait_and_misses_nobody(
    own_view: EmbeddedView, fresh_broker: str, clickhouse: ClickHouse, tmp_path: Path
) -> None:
    async with (
        Between(clickhouse.port, database=clickhouse.database) as slow,
        FilledInstallation(tmp_path, fresh_broker, own_view.url, clickhouse) as installation,
    ):
        slow.trouble = Trouble(0, b"\n", times=10_000, delay_s=0.05)
        filling = asyncio.create_task(installation.fill_in(slow.url))
        reached = await installation.until_noted(lambda status: 2 <= status.part < status.parts)
        fill_up(own_view)
        async with asyncio.timeout(DEADLINE_S):
            log = tmp_path / "membership.log"
            while not any(FULL in each for each in (*installation.troubles, log.read_text())):
                await asyncio.sleep(0.05)
        assert not filling.done()
        make_room(own_view)
        await installation.until_noted(lambda status: status.part > reached.part)
        await filling
        await installation.check_members()


def retries(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("muster_membership_retries_total "))


@pytest.mark.parametrize(
    ("used", "most", "found"),
    [
        (899, 1_000, None),
        (900, 1_000, Verdict.NOTE),
        (999, 1_000, Verdict.NOTE),
        (1_000, 1_000, Verdict.WRONG),
        (1_001, 1_000, Verdict.WRONG),
        (1_001, 0, None),
    ],
)
def test_the_doctor_notes_a_server_that_will_soon_be_full(used: int, most: int, found: Verdict | None) -> None:
    findings = memory_findings({"one:6379": Memory(used, most)})
    assert [finding.verdict for finding in findings] == ([found] if found else [])
