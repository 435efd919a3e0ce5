"""The command line itself: help, exit statuses, and which settings apply."""

import gzip
import json
from pathlib import Path

import pytest
import typer
from rich.table import Table
from typer.core import TyperGroup

from cohort_store.errors import Retry
from cohort_store.settings import Settings
from processors.cli import reference
from processors.cli.application import build, run
from processors.cli.invocation import FAILED, Invocation, output
from processors.cli.web import url_of
from processors.embedded.folder import FolderLock
from processors.roles import WIRINGS
from processors.up.configuration import environment_of, live_configuration, write_configuration

DOCS = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
NOWHERE = {
    "MUSTER_KAFKA": "127.0.0.1:1",
    "MUSTER_REDIS": "redis://127.0.0.1:1/0",
    "MUSTER_CLICKHOUSE": "http://127.0.0.1:1",
}


@pytest.fixture(autouse=True)
def _no_settings_but_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"MUSTER_{name.upper()}", raising=False)
    # Set and taken away, so that what a command sets is taken away again.
    monkeypatch.setenv("MUSTER_CONFIG", "")
    monkeypatch.delenv("MUSTER_CONFIG")
    monkeypatch.chdir(tmp_path)


def commands() -> list[str]:
    group = typer.main.get_command(build())
    assert isinstance(group, TyperGroup)
    return sorted(group.commands)


def test_the_page_of_commands_is_what_the_commands_say_of_themselves() -> None:
    assert DOCS.read_text() == reference.render(), "write it anew: make docs"


def test_every_role_of_production_is_a_command() -> None:
    assert set(WIRINGS) <= set(commands())


@pytest.mark.parametrize("name", commands())
def test_every_commands_help_shows_an_example_of_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    said = capsys.readouterr().out
    assert "Example" in said
    assert f"muster {name}" in said.split("Example", 1)[1]


@pytest.mark.parametrize("damage", [b"cut off", b"no gzip"])
def test_a_damaged_file_of_events_is_named_and_no_broker_blamed(
    damage: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = b'{"event": "a", "person_id": "ann", "timestamp": "2026-01-12T12:00:00Z"}\n'
    whole = gzip.compress(line * 1_000)
    (tmp_path / "events.jsonl.gz").write_bytes(whole[:-20] if damage == b"cut off" else damage)
    assert run(["send", "events.jsonl.gz", "--end", "now"]) == 1
    assert "events.jsonl.gz cannot be read to its end" in " ".join(capsys.readouterr().err.split())


def test_a_setting_that_does_not_fit_is_named_and_ends_with_status_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSTER_SHARDS", "many")
    assert run(["status"]) == 2
    assert "MUSTER_SHARDS" in capsys.readouterr().err


def test_an_unknown_setting_in_the_file_is_named_with_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("muster.toml").write_text('kafak = "127.0.0.1:9092"\n')
    assert run(["status"]) == 2
    said = capsys.readouterr().err
    assert "kafak" in said
    assert "muster.toml" in said


def test_a_configuration_file_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSTER_CONFIG", "absent.toml")
    assert run(["status"]) == 2
    assert "absent.toml" in capsys.readouterr().err


def test_a_setting_that_is_no_json_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSTER_SOURCES", "events")
    assert run(["status"]) == 2
    assert "sources" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["who"], ["nosuch"], ["send", "absent.jsonl"], ["who", "a", "--limit", "-1"]])
def test_wrong_usage_ends_with_status_two(arguments: list[str]) -> None:
    assert run(arguments) == 2


def test_a_store_that_is_away_ends_with_status_one_and_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSTER_REDIS", "redis://127.0.0.1:1/0")
    assert run(["who", "regulars"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("muster: ")
    assert said.out == ""


def test_doctor_names_every_part_that_is_away_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, address in (NOWHERE | {"MUSTER_CONTROL_PORT": "1", "MUSTER_EVALUATOR_PORT": "1"}).items():
        monkeypatch.setenv(name, address)
    assert run(["doctor", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["well"] is False
    wrong = {finding["part"]: finding["remedy"] for finding in answer["findings"] if finding["verdict"] == "wrong"}
    assert set(wrong) == {"kafka", "redis", "clickhouse", "registry", "control", "evaluator"}
    assert all(wrong.values())


def test_doctor_calls_nothing_wrong_that_was_turned_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (NOWHERE | {"MUSTER_CONTROL_PORT": "0", "MUSTER_EVALUATOR_PORT": "0"}).items():
        monkeypatch.setenv(name, value)
    run(["doctor", "--json"])
    found = {each["part"]: each for each in json.loads(capsys.readouterr().out)["findings"]}
    assert (found["control"]["verdict"], found["evaluator"]["verdict"]) == ("note", "note")
    assert "MUSTER_CONTROL_PORT" in found["control"]["remedy"]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8300/ready"),
        ("", "http://127.0.0.1:8300/ready"),
        ("0.0.0.0", "http://127.0.0.1:8300/ready"),
        ("::", "http://127.0.0.1:8300/ready"),
        ("::1", "http://[::1]:8300/ready"),
        ("[fe80::2]", "http://[fe80::2]:8300/ready"),
        ("flags.example", "http://flags.example:8300/ready"),
    ],
)
def test_a_role_is_asked_where_it_listens(host: str, url: str) -> None:
    assert url_of(host, 8300, "/ready") == url


def test_a_folder_on_which_nothing_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--data", str(tmp_path), "status"]) == 2
    assert "muster up --data" in capsys.readouterr().err


def test_a_configuration_is_live_only_while_its_writer_holds_the_folder(tmp_path: Path) -> None:
    write_configuration(tmp_path, Settings())
    assert live_configuration(tmp_path) is None
    with FolderLock(tmp_path):
        assert live_configuration(tmp_path) == tmp_path / "muster.toml"
    assert live_configuration(tmp_path) is None


def test_a_written_configuration_reads_back_as_the_same_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        kafka="ä.example:9092",
        sources={"muster.events": "plain", "clickhouse_events_json": "posthog"},
        tokens={'a"\\b': 7},
    )
    monkeypatch.setenv("MUSTER_CONFIG", str(write_configuration(tmp_path, settings)))
    assert Settings() == settings


def test_settings_as_environment_variables_read_back_as_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(kafka="broker:1", tokens={"phc_x": 3}, redis_cluster=True, mark_interval_ms=50)
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_an_id_that_looks_like_an_emoji_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(box=None)
    table.add_row(":heart:")
    for console in (output(), Invocation().errors):
        console.print("  :smile:", markup=False)
        console.print(table)
    said = capsys.readouterr()
    assert all(":smile:" in text and ":heart:" in text for text in (said.out, said.err))


def test_whoever_stands_in_another_folder_than_her_muster_up_is_told_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing_answers(*_: object) -> None:
        raise Retry("the view cannot be used")

    monkeypatch.setattr("processors.cli.members._who", nothing_answers)
    for chosen in (False, True):
        if chosen:
            monkeypatch.setenv("MUSTER_REDIS", NOWHERE["MUSTER_REDIS"])
        assert run(["who", "regulars"]) == FAILED
        said = capsys.readouterr().err
        assert "the view cannot be used" in said
        assert ("muster --data DIR" in said) is not chosen
