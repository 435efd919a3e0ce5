"""POST /flags/explain at an instant that is past: a real evaluator over a real view and ClickHouse."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cohort_store.changes import ENTERED, LEFT, Change
from cohort_store.clocks import FileClock
from cohort_store.durations import format_instant
from cohort_store.registry import Registry
from processors.clickhouse.changes import ChangesTable
from processors.embedded.child import choose_port
from tests.evaluator.building import DAY_MS, NOW_MS
from tests.evaluator.conftest import fill
from tests.evaluator.serving import BEARER, Evaluator
from tests.services.fixtures import ClickHouse

ENTERED_MS, LEFT_MS = NOW_MS + 10 * DAY_MS, NOW_MS + 20 * DAY_MS


def change(status: str, at_ms: int, sequence: int) -> Change:
    at = format_instant(at_ms).replace("T", " ").removesuffix("Z") + "000"
    return Change("ada", 1, 1, status, at, "buyers", 1, "event", 0, sequence)


@pytest.fixture
def evaluator(
    tmp_path: Path, view_url: str, clickhouse: ClickHouse, registry: Registry, request: pytest.FixtureRequest
) -> Iterator[Evaluator]:
    """An evaluator whose ClickHouse tells that ada was a buyer for ten days, or one that is away."""
    url = f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}"
    asyncio.run(write([change(ENTERED, ENTERED_MS, 1), change(LEFT, LEFT_MS, 2)], url))
    if getattr(request, "param", "") == "away":
        url = f"http://127.0.0.1:{choose_port(None)}"
    FileClock(tmp_path / "clock").set(NOW_MS + 31 * DAY_MS + 2_000)
    asyncio.run(fill(view_url, registry))
    running = Evaluator(tmp_path, view_url, f"file:{tmp_path / 'clock'}", MUSTER_CLICKHOUSE=url)
    running.process.start()
    try:
        running.until_version(registry.version)
        yield running
    finally:
        running.process.stop()
        running.client.close()
    assert running.process.returncode == 0, running.log.read_text()


async def write(changes: list[Change], url: str) -> None:
    table = ChangesTable(url)
    await table.insert(changes)
    await table.close()


def ask(evaluator: Evaluator, at_ms: int) -> tuple[int, dict[str, Any]]:
    body = {"distinct_id": "browser-ada", "at": format_instant(at_ms), "flag_keys_to_evaluate": ["for-buyers"]}
    response = evaluator.client.post("/flags/explain", json=body, headers=BEARER)
    return response.status_code, response.json()


def test_a_flag_answers_for_the_past_by_the_changes_that_were_told_by_then(evaluator: Evaluator) -> None:
    for at_ms, member in ((ENTERED_MS, True), (LEFT_MS - 1, True), (LEFT_MS, False)):
        status, found = ask(evaluator, at_ms)
        assert (status, found["source"], found["at"]) == (200, "history", format_instant(at_ms))
        assert found["flags"]["for-buyers"]["answer"]["enabled"] is member
        assert found["cohorts"]["buyers"]["detail"] == f"what was told last by then: {'entered' if member else 'left'}"


def test_before_the_first_change_nothing_is_known_and_that_is_said(evaluator: Evaluator) -> None:
    status, found = ask(evaluator, ENTERED_MS - 1)
    assert (status, found["code"]) == (409, "before_history")
    assert format_instant(ENTERED_MS) in found["detail"]


@pytest.mark.parametrize("evaluator", ["away"], indirect=True)
def test_a_clickhouse_that_is_away_is_told_as_such(evaluator: Evaluator) -> None:
    status, found = ask(evaluator, LEFT_MS)
    assert (status, found["code"]) == (503, "history_unreachable")
