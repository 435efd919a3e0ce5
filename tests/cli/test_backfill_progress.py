"""What a backfill that was asked for shows: a bar for people, lines of JSON for scripts."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from cohort_store.memory import MemoryMirror
from processors.backfill.asking import Asked, Asking, Outcome
from processors.backfill.ports import FillingStatus
from processors.backfill.progress import Standing
from processors.cli import backfill_runs
from processors.cli.backfill_runs import Bar, Lines, is_for_scripts, text_of, until_ended
from processors.cli.invocation import Failed

STATUS = FillingStatus(1, (2,), team=1, part=1, parts=4, persons=1_000, known=4_000, run="run")
STANDING = Standing(0.25, 1_000, 512.345, 61.4)


def test_people_see_persons_a_second_and_the_time_that_is_left_once_they_are_known() -> None:
    assert text_of(STANDING) == "1,000 persons, 512/s, 1m1s left"
    assert text_of(Standing(0.0, 0, None, None)) == "0 persons"


def test_scripts_see_a_line_of_json_for_what_is_new(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill_runs, "LINE_S", 0.0)
    with Lines() as lines:
        lines.look(None, None, "control")
        lines.look(STATUS, STANDING, "")
        lines.look(STATUS, STANDING._replace(left_s=60.0), "")
        lines.look(STATUS, STANDING, "muster backfill resume")
    first, second, third = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first == {"waits_for": "control"}
    assert second == {
        "waits_for": "",
        "part": 1,
        "parts": 4,
        "persons": 1_000,
        "share": 0.25,
        "persons_per_s": 512.3,
        "left_s": 61.4,
    }
    assert third["waits_for"] == "muster backfill resume"


def test_a_bar_is_for_terminals_alone_and_leaves_nothing_behind(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_for_scripts(False), "a test has no terminal"
    with Bar() as bar:
        bar.look(None, None, "control")
        bar.look(STATUS, STANDING, "")
    assert capsys.readouterr().out.strip() == ""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert [is_for_scripts(as_json) for as_json in (False, True)] == [False, True]


async def test_whoever_waits_learns_how_the_run_ended_and_whose_took_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill_runs, "LOOK_S", 0.0)
    notes = MemoryMirror()
    asking = Asking(notes)
    run, other, lost = (Asked(name, (2,)) for name in ("run", "other", "lost"))
    await asking.ask(run)
    waiting = asyncio.ensure_future(until_ended(notes, asking, run, Lines()))
    await asyncio.sleep(0)
    await asking.end("run", Outcome.CANCELLED, 7)
    assert (await waiting).outcome is Outcome.CANCELLED
    assert await asking.asked() is None
    await asking.ask(other)
    with pytest.raises(Failed, match="in this one's place"):
        await until_ended(notes, asking, lost, Lines())
    monkeypatch.setattr(backfill_runs, "BEGUN_WITHIN_S", 0.0)
    with pytest.raises(Failed, match="is muster control running"):
        await until_ended(notes, asking, other, Lines())
    assert await asking.asked() is None, "nobody is surprised by it later"
