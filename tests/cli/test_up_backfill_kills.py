"""A backfill whose process is killed again and again comes to the same end, and goes on where it was."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_up import END_S_MAX, Up, eventually, start, stored

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

PERSONS, PART_PERSONS = 6_000, 25
KILLS = 20
AT_WORK_S_MAX = 1.0
"""So long at most a process goes on before it is killed: many parts are left then after the last kill."""
WHOLE_S_MAX = 180.0
"""What a start, and then all parts, take with other tests beside."""
AT_ONCE = "from processors.up import supervisor; supervisor.BACKOFF_MAX_S = 0.2"
"""However often a process ended, it is started again."""
NOW = datetime.now(UTC)
BUYERS: dict[str, Any] = {"key": "buyers", "when": {"kind": "count", "event": "buy", "n": 2, "within": "30d"}}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("kills")
    running = start(folder, AT_ONCE, MUSTER_BACKFILL_PART_PERSONS=str(PART_PERSONS))
    try:
        file = running.folder / "events.jsonl"
        file.write_text("".join(json.dumps(event) + "\n" for event in past()))
        assert running.answer("send", str(file))["refused"] == 0
        yield running
    finally:
        running.process.terminate()
        running.process.wait(END_S_MAX)


def past() -> Iterator[dict[str, Any]]:
    """Every other person bought twice."""
    for number in range(PERSONS):
        for days_ago in range(1, 2 + number % 2):
            time_at = (NOW - timedelta(days=days_ago)).isoformat()
            yield {"event": "buy", "person_id": f"person-{number}", "timestamp": time_at, "properties": {}}


def control(up: Up) -> int | None:
    """The process that fills in; None while none runs."""
    for pid in up.tree():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"control" in command:
            return pid
    return None


def part(up: Up) -> int | None:
    """How many parts are done; None where nothing is being filled in."""
    backfill = up.answer("status")["backfill"]
    return None if backfill is None else backfill.get("part", 0)


def test_a_backfill_that_is_killed_again_and_again_goes_on_and_ends_as_one_that_is_not(up: Up, seed: int) -> None:
    chance = random.Random(seed)
    file = up.folder / "cohorts.json"
    file.write_text(json.dumps({"cohorts": [BUYERS]}))
    assert up.muster("apply", str(file)).returncode == 0
    reached = [0]
    for _ in range(KILLS):
        # In the midst of its work: one that is killed while it starts reads nothing twice.
        eventually(lambda: (part(up) or 0) > reached[-1], WHOLE_S_MAX)
        time.sleep(chance.uniform(0, AT_WORK_S_MAX))
        pid = control(up)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        before = part(up)
        assert before is not None, f"it was done before {KILLS} kills"
        reached.append(before)
    assert reached == sorted(reached), "it began anew"
    eventually(lambda: part(up) is None and stored(up, "buyers") == PERSONS // 2, WHOLE_S_MAX)
    (status,) = up.answer("status")["cohorts"]
    assert status["state"] in ("ready", "warming")
    assert status["complete_from_ms"] < int((NOW - timedelta(days=1)).timestamp() * 1_000)
