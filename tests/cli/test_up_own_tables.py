"""History from a table of one's own through every real part: what is late in it is waited for, and counts."""

import asyncio
import json
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cohort_store.clickhouse.client import connected
from cohort_store.settings import Settings
from processors.embedded.history import EmbeddedHistory
from tests.cli.test_application import _no_settings_but_ours  # noqa: F401 - the same autouse fixture
from tests.cli.test_up import END_S_MAX, ROOT, Up, eventually, start
from tests.cli.test_up import pytestmark as marks_of_up

pytestmark = [*marks_of_up, pytest.mark.slow]

NOW = datetime.now(UTC)
TABLE = """
CREATE TABLE track_log (
    id UUID, what String, who Nullable(String), device String, at String, payload Map(String, String),
    _topic LowCardinality(String), _partition UInt64, _offset UInt64
) ENGINE = MergeTree ORDER BY at
"""
HISTORY = {
    "schema": "mapped",
    "table": "track_log",
    "team": "1",
    "event": "what",
    "person": "who",
    "distinct_id": "device",
    "time": "parseDateTime64BestEffort(at, 3, 'UTC')",
    "uuid": "id",
    "properties": "toJSONString(payload)",
}
COHORT = {"cohorts": [{"key": "buyers", "when": {"kind": "count", "event": "buy", "n": 3, "within": "30d"}}]}


def row(number: int, who: str | None, days_ago: float) -> dict[str, Any]:
    at = (NOW - timedelta(days=days_ago)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return {"id": f"00000000-0000-4000-8000-{number:012}", "what": "buy", "who": who, "device": "d-ann", "at": at}


def as_event(stored: dict[str, Any]) -> dict[str, Any]:
    """The same event as it comes live."""
    time = stored["at"].replace(" ", "T") + "Z"
    event = {"event": stored["what"], "uuid": stored["id"], "timestamp": time, "distinct_id": stored["device"]}
    return event if stored["who"] is None else event | {"person_id": stored["who"]}


async def insert(url: str, *rows: dict[str, Any], before: str = "") -> None:
    async with connected(url) as client:
        if before:
            await client.command(before)
        await client.raw_insert(
            "track_log", insert_block=b"\n".join(json.dumps(each).encode() for each in rows), fmt="JSONEachRow"
        )


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    with EmbeddedHistory(tmp_path / "muster-data" / "history") as history:
        asyncio.run(insert(f"http://{history.host}:{history.port}", row(1, "ann", 5), row(2, None, 4), before=TABLE))
    running = start(tmp_path, MUSTER_HISTORY=json.dumps(HISTORY))
    yield running
    running.process.terminate()
    running.process.wait(END_S_MAX)


def awaited(up: Up) -> dict[str, Any] | None:
    """The place of the last message that the table is to have, by what is said of it."""
    under_way = up.answer("backfill", "list")["backfill"] or {}
    found = re.search(r"its rows of muster\.events/(\d+), (\d+) messages behind", under_way.get("waits_for", ""))
    return found and {"_topic": "muster.events", "_partition": int(found[1]), "_offset": int(found[2]) - 1}


def test_an_event_that_is_in_the_log_and_late_in_the_table_is_counted_once(up: Up) -> None:
    late, again = row(3, "ann", 3), row(2, None, 4)
    events = up.folder / "events.jsonl"
    events.write_text("".join(json.dumps(as_event(each)) + "\n" for each in (late, again)))
    assert up.answer("send", str(events))["sent"] == 2
    cohorts = up.folder / "cohorts.json"
    cohorts.write_text(json.dumps(COHORT))
    assert up.muster("apply", str(cohorts)).returncode == 0
    eventually(lambda: awaited(up) is not None)
    assert up.answer("who", "buyers")["ids"] == []
    told: list[dict[str, Any]] = []

    def is_filled_in() -> bool:
        place = awaited(up)
        if place and place not in told:
            asyncio.run(insert(up.addresses["history"], (again if told else late) | place))
            told.append(place)
        return bool(up.answer("who", "buyers")["ids"] == ["ann"])

    eventually(is_filled_in)
    assert told
    assert up.answer("preview", str(cohorts))["cohorts"]["buyers"] == {"members": 1, "some": ["ann"]}
    assert "track_log" in up.answer("backfill", "--plan", "buyers")["sql"]


def test_the_settings_that_the_documentation_shows_are_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    blocks = [block.split("```")[0] for block in page.split("```toml\n")[1:]]
    layouts = []
    for block in blocks:
        assert "history" in tomllib.loads(block)
        path = tmp_path / "shown.toml"
        path.write_text(block)
        monkeypatch.setenv("MUSTER_CONFIG", str(path))
        layouts.append(Settings().history.layout)
    assert layouts == ["posthog", "mapped"]
