"""ClickHouse is short of memory, breaks off, is slow or gone in the midst of a backfill: nobody is missed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from cohort_store.subjects import Subject
from processors.backfill.ports import FillingStatus
from tests.backfill.between import Between, Trouble
from tests.backfill.installation import DEADLINE_S, FilledInstallation
from tests.backfill.test_trouble_answers import OUT_OF_MEMORY
from tests.services.fixtures import ClickHouse

pytestmark = pytest.mark.slow

PERSONS = 12_000
LIVE_S_MAX = 5.0
"""What a live event may take while a backfill waits for ClickHouse, on a busy machine."""


@pytest.fixture
async def installation(
    fresh_broker: str, view_url: str, clickhouse: ClickHouse, tmp_path: Path
) -> AsyncIterator[FilledInstallation]:
    async with FilledInstallation(tmp_path, fresh_broker, view_url, clickhouse, persons=PERSONS) as installed:
        yield installed


@pytest.fixture
async def between(clickhouse: ClickHouse) -> AsyncIterator[Between]:
    async with Between(clickhouse.port, database=clickhouse.database) as stands:
        yield stands


async def test_a_part_for_which_clickhouse_lacks_memory_is_filled_in_in_smaller_ones(
    installation: FilledInstallation,
) -> None:
    installation.part_persons, installation.memory_bytes = PERSONS, 16 * 2**20
    filling = asyncio.create_task(installation.fill_in())
    status = await installation.until_noted(lambda status: status.halvings > 0)
    assert status.parts == 2**status.halvings
    await filling
    assert installation.troubles == []
    await installation.check_members()


async def test_where_smaller_parts_do_not_help_it_says_what_does_and_then_goes_on(
    installation: FilledInstallation,
) -> None:
    installation.memory_bytes = 2**20
    filling = asyncio.create_task(installation.fill_in())
    async with asyncio.timeout(DEADLINE_S):
        while not installation.troubles:
            await asyncio.sleep(0.05)
    filling.cancel()
    await asyncio.gather(filling, return_exceptions=True)
    assert "Query memory limit exceeded" in installation.troubles[0]
    installation.memory_bytes = 2**30
    await installation.fill_in()
    await installation.check_members()


async def test_a_process_that_ends_in_the_midst_of_a_part_is_taken_over_behind_what_it_had_sent(
    installation: FilledInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.part_persons, installation.gathered_max = PERSONS, PERSONS // 20
    filling = asyncio.create_task(installation.fill_in())
    await installation.until_noted(lambda status: status.begins > 0)
    filling.cancel()
    await asyncio.gather(filling, return_exceptions=True)
    reached = await installation.until_noted(lambda status: status.parts == 1)
    assert (reached.part, reached.persons) == (0, 0)
    noted: list[FillingStatus] = []
    keep = installation.mirror.keep_note

    async def watched(name: str, note: bytes | None) -> None:
        if note is not None:
            noted.append(msgspec.json.decode(note, type=FillingStatus))
        await keep(name, note)

    monkeypatch.setattr(installation.mirror, "keep_note", watched)
    await installation.fill_in()
    assert min(status.begins for status in noted if not status.part) >= reached.begins > 0
    assert noted[-1].persons == PERSONS
    await installation.check_members()


@pytest.mark.parametrize("then", [b"", OUT_OF_MEMORY.replace(b"241", b"999") + b"\n"], ids=["cut", "error"])
async def test_a_part_whose_answer_breaks_off_is_read_once_more(
    installation: FilledInstallation, between: Between, then: bytes
) -> None:
    text = b"%x\r\n%b\r\n0\r\n\r\n" % (len(then), then) if then else b""
    between.trouble = Trouble(10_000, b"]\n\r\n", text, times=2)
    await installation.fill_in(between.url)
    assert len(installation.troubles) == 2
    said = "ClickHouse broke off its answer: Code: 999" if then else "ClickHouse did not do it (ClientPayloadError"
    assert all(each.startswith(said) for each in installation.troubles)
    await installation.check_members()


async def test_a_clickhouse_that_is_slow_and_then_gone_keeps_no_live_event_waiting(
    installation: FilledInstallation, between: Between
) -> None:
    between.trouble = Trouble(0, b"\n", times=10_000, delay_s=0.05)
    filling = asyncio.create_task(installation.fill_in(between.url))
    await installation.until_noted(lambda status: 2 <= status.part < status.parts)
    assert await visible_s(installation, "eve") < LIVE_S_MAX
    between.is_down = True
    between.cut()
    async with asyncio.timeout(DEADLINE_S):
        while not installation.troubles:
            await asyncio.sleep(0.05)
    assert installation.troubles[0].startswith("ClickHouse did not do it")
    reached = await installation.until_noted(lambda status: status.part >= 2)
    assert await visible_s(installation, "joe") < LIVE_S_MAX
    between.is_down, between.trouble = False, None
    resumed = await installation.until_noted(lambda status: status.part > reached.part)
    assert resumed.behind >= reached.behind, "it goes on with the part that was not done"
    await filling
    await installation.check_members()


async def visible_s(installation: FilledInstallation, person: str) -> float:
    """How long it takes until who opens something is seen to have."""
    (cohort,) = [cohort for cohort in installation.registry.team(1).cohorts if cohort.key == "once"]
    began = time.monotonic()
    await installation.happen(person, "open")
    while True:
        (membership,) = await installation.reader.memberships([Subject(1, 0, person)])
        if cohort.versions[-1].handle in membership.handles:
            return time.monotonic() - began
        assert time.monotonic() < began + DEADLINE_S
        await asyncio.sleep(0.01)
