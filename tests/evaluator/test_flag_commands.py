"""`muster flag` and `muster stale` against a running evaluator."""

import json
from typing import Any

import pytest

from cohort_store.durations import format_instant
from processors.cli.application import run
from processors.embedded.child import choose_port
from tests.evaluator.conftest import LATER_MS
from tests.evaluator.serving import SECRET, Evaluator


@pytest.fixture(autouse=True)
def settings(evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Commands that know where the evaluator is, and nothing of this folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MUSTER_EVALUATOR_PORT", str(evaluator.port))
    (tmp_path / "secret-key").write_text(SECRET)
    monkeypatch.setenv("MUSTER_SECRET_KEY_FILE", str(tmp_path / "secret-key"))


def said(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert run(list(arguments)) == status
    out, err = capsys.readouterr()
    return err if status else out


def test_the_reason_is_told_with_each_set_its_tests_and_the_cohorts_own_tree(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = said(capsys, "flag", "for-buyers", "browser-ada").splitlines()
    assert lines[0].startswith("for-buyers is on for browser-ada (person ada) at ")
    assert lines[0].endswith(": Matched condition set 1 (condition_match).")
    assert lines[1] == "yes    set 1, decides"
    assert lines[2] == "yes      in cohort buyers: she is"
    assert "performed event: purchase, within: 7d" in lines[3]


def test_what_if_she_had_a_property_or_were_in_a_cohort(capsys: pytest.CaptureFixture[str]) -> None:
    assert 'plan exact "pro": she has none' in said(capsys, "flag", "for-pros", "ada")
    told = said(capsys, "flag", "for-pros", "ada", "--property", "plan=PRO")
    assert told.startswith("for-pros is on for ada")
    assert 'plan exact "pro": it is "PRO"' in told
    assert "in cohort buyers: she is, as given" in said(capsys, "flag", "for-buyers", "nobody", "--in", "buyers")
    assert said(capsys, "flag", "for-buyers", "ada", "--not-in", "1").startswith("for-buyers is off")
    assert "The flag does not ask cohort sleepers." in said(capsys, "flag", "for-buyers", "ada", "--in", "sleepers")


def test_a_value_is_json_where_it_can_be_and_a_text_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--property", "n=30", "--property", "b=true", "--property", "t=a=b", "--property", 'q="30"']
    found = json.loads(said(capsys, "flag", "off", "ada", *given, "--json"))
    assert found["properties"] == {"n": 30, "b": True, "t": "a=b", "q": "30"}


def test_variants_and_instants_to_come_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "hash for variants 0." in said(capsys, "flag", "colours", "ada")
    told = said(capsys, "flag", "for-buyers", "ivy", "--at", format_instant(LATER_MS))
    assert told.startswith("for-buyers is on for ivy")
    assert "if nothing more is done." in told.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (("flag", "ghost", "ada"), 1, "muster: flag 'ghost': no flag has that key"),
        (("flag", "for-buyers", "ada", "--in", "ghosts"), 1, "cohort 'ghosts' is not defined"),
        (("flag", "for-buyers", "ada", "--at", "2026-01-01"), 1, "MUSTER_CLICKHOUSE"),
        (("flag", "for-buyers", "ada", "--property", "plan"), 2, "write NAME=VALUE"),
        (("flag", "for-buyers", "ada", "--in", "a", "--not-in", "a"), 2, "leave one out"),
        (("stale", "--prompt", "for-buyers"), 1, "nothing is stale about flag 'for-buyers'"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, reason: str
) -> None:
    assert reason in said(capsys, *arguments, status=status)


def test_without_a_key_the_command_says_how_to_get_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MUSTER_SECRET_KEY_FILE")
    assert "let MUSTER_SECRET_KEY_FILE name a file with one" in said(capsys, "stale", status=1)


def test_without_an_evaluator_the_command_says_where_it_looked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_EVALUATOR_PORT", str(port := choose_port(None)))
    assert f"no evaluator answers at http://127.0.0.1:{port}/flags/stale" in said(capsys, "stale", status=1)


def test_stale_flags_are_listed_with_what_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "stale").splitlines()
    assert lines[0] == "No flag of 5 is stale."
    assert lines[1].startswith("Not known: whether anybody calls a flag: there is no ClickHouse to ask")
    assert json.loads(said(capsys, "stale", "--json"))["looked_at"] == 5
