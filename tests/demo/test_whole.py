"""The demo as a whole, as `make demo` plays it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
END_S_MAX = 600


@pytest.mark.long
@pytest.mark.timeout(END_S_MAX + 60)
def test_every_chapter_ends_with_equal_sets_and_nothing_is_left(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "processors.demo"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=END_S_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    said = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for chapter in ("history 23 of 23", "live 552 of 552", "edit 23 of 23", "after FLUSHALL 23 of 23"):
        assert f"{chapter} sets equal" in said
    parts = ("none of them in Kafka", "all 23 cohorts OK, none WARMING", "OFF by time alone", "was told: off, on, off")
    for part in (*parts, "with no operator"):
        assert part in done.stdout
    assert list(tmp_path.iterdir()) == []
