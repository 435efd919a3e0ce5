"""GET /flags/stale on a real evaluator, over a real view and ClickHouse."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cohort_store.clickhouse.flag_evaluations import EvaluationsTable
from cohort_store.clocks import FileClock
from cohort_store.durations import format_instant
from cohort_store.flag_changes import dated
from cohort_store.flag_evaluations import FlagEvaluations
from cohort_store.registry import Registry
from processors.embedded.child import choose_port
from tests.evaluator.building import COHORTS, DAY_MS, NOW_MS, flag, in_cohort, registry_of
from tests.evaluator.conftest import FLAGS, fill
from tests.evaluator.serving import Evaluator
from tests.services.fixtures import ClickHouse

ASKED_MS = NOW_MS + 31 * DAY_MS + 2_000
EMPTY = {"key": "empty", "when": {"kind": "performed", "event": "nothing", "within": "1d"}}
ALL = {"key": "all", "when": {"not": {"kind": "performed", "event": "nothing", "within": "1d"}}}
ASKING = (
    flag("for-nobody", {"properties": [in_cohort("empty")]}),
    flag("for-all", {"properties": [in_cohort("all")]}),
    flag("everybody", {}, name="Shown to everybody"),
)


@pytest.fixture
def defined() -> Registry:
    """The usual definitions and some more, all of them as they are since 31 days."""
    return dated(Registry(), registry_of([*FLAGS, *ASKING], (*COHORTS, EMPTY, ALL)), NOW_MS)


@contextmanager
def evaluating(folder: Path, view_url: str, registry: Registry, clickhouse_url: str) -> Iterator[Evaluator]:
    FileClock(folder / "clock").set(ASKED_MS)
    asyncio.run(fill(view_url, registry))
    running = Evaluator(folder, view_url, f"file:{folder / 'clock'}", MUSTER_CLICKHOUSE=clickhouse_url)
    running.process.start()
    try:
        running.until_version(registry.version)
        yield running
    finally:
        running.process.stop()
        running.client.close()


async def write(rows: list[FlagEvaluations], url: str) -> None:
    table = EvaluationsTable(url)
    await table.insert(rows)
    await table.close()


def counted(key: str, value: str, reason: str, count: int, last_ms: int) -> FlagEvaluations:
    return FlagEvaluations(1, key, value, reason, count, NOW_MS, last_ms, "e1", 1)


def kinds(answer: dict[str, Any]) -> dict[str, list[str]]:
    return {each["key"]: [finding["kind"] for finding in each["findings"]] for each in answer["flags"]}


def test_stale_flags_are_told_with_evidence_and_a_prompt(
    tmp_path: Path, view_url: str, clickhouse: ClickHouse, defined: Registry
) -> None:
    url = f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}"
    today, first = ASKED_MS - 1_000, NOW_MS + 1_000
    rows = [
        counted("for-buyers", "true", "condition_match", 70, today),
        counted("for-buyers", "false", "no_condition_match", 70, today),
        counted("for-pros", "false", "no_condition_match", 12_000, today),
        counted("not-sleeping", "true", "condition_match", 1, first),
        counted("colours", "red", "condition_match", 7, today),
        counted("everybody", "true", "condition_match", 7, today),
        counted("for-nobody", "false", "no_condition_match", 7, today),
        counted("for-all", "true", "condition_match", 7, today),
    ]
    asyncio.run(write(rows, url))
    with evaluating(tmp_path, view_url, defined, url) as evaluator:
        answer = evaluator.get("/flags/stale")
    assert kinds(answer) == {
        "for-pros": ["same_answer"],
        "not-sleeping": ["not_called"],
        "off": ["never_called", "switched_off"],
        "everybody": ["fully_rolled_out"],
        "for-nobody": ["cohort_empty"],
        "for-all": ["cohort_complete"],
    }
    assert (answer["looked_at"], answer["counted_from"]) == (8, format_instant(NOW_MS))
    assert answer.get("unknown", []) == []
    everybody = next(each for each in answer["flags"] if each["key"] == "everybody")
    assert everybody["findings"][0]["evidence"] == {
        "since": format_instant(NOW_MS),
        "last_called": format_instant(today),
        "calls": 7,
        "value": True,
    }
    assert everybody["name"] == "Shown to everybody"
    assert 'Remove the feature flag "everybody"' in everybody["prompt"]


def test_without_clickhouse_what_is_not_known_is_said_and_the_rest_is_told(
    tmp_path: Path, view_url: str, defined: Registry
) -> None:
    with evaluating(tmp_path, view_url, defined, "") as evaluator:
        answer = evaluator.get("/flags/stale")
        assert evaluator.client.get("/flags/stale").status_code == 401
    assert kinds(answer) == {
        "everybody": ["fully_rolled_out"],
        "off": ["switched_off"],
        "for-nobody": ["cohort_empty"],
        "for-all": ["cohort_complete"],
    }
    assert answer["unknown"] == [
        "whether anybody calls a flag: there is no ClickHouse to ask; name one in MUSTER_CLICKHOUSE"
    ]


def test_a_clickhouse_that_is_away_or_counts_nothing_yet_is_told(
    tmp_path: Path, view_url: str, clickhouse: ClickHouse, defined: Registry
) -> None:
    url = f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}"
    for place, said in ((url, "no call was counted yet"), (f"http://127.0.0.1:{choose_port(None)}", "cannot be asked")):
        with evaluating(tmp_path, view_url, defined, place) as evaluator:
            (unknown,) = evaluator.get("/flags/stale")["unknown"]
        assert said in unknown
