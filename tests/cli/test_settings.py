"""A setting that cannot be right is named by every command, with its value and what to write, and status two."""

import json
from pathlib import Path

import pytest

from cohort_store.settings import Settings
from processors.cli.application import run
from processors.roles import WIRINGS
from processors.up.configuration import environment_of, write_configuration
from tests.cli.test_application import _no_settings_but_ours  # noqa: F401 - the same autouse fixture

MAPPED = (
    '{"schema":"mapped","table":"own","team":"1","event":"what","person":"who","distinct_id":"\'\'","time":"at","uuid":"id",'
    '"properties":"\'{}\'"}'
)
WRONG = {
    "MUSTER_KAFKA": [
        "",
        "a:b",
        "a:0",
        "a:65536",
        "kafka://a:9092",
        "a:1,,b:1",
        "::1:9092",
        "[::1:9092",
        "a b:1",
        "me:secret@a:1",
    ],
    "MUSTER_REDIS": [
        "",
        "127.0.0.1:6379",
        "http://a",
        "redis://",
        "redis://me:secret@a:b",
        "redis://a:0",
        "redis://a:65536",
        "redis://[::1",
        "redis://a/name",
        "unix://",
    ],
    "MUSTER_CLICKHOUSE": [
        "a:8123",
        "clickhouse://me:secret@a",
        "http://",
        "http://me:secret@a:b",
        "http://a:0",
        "http://a:65536",
        "http://[::1",
    ],
    "MUSTER_CLOCK": ["", "sundial", "file:", "file"],
    "MUSTER_TOPIC_REPLICATION": ["0", "-2", "32768"],
}
WRONG_HISTORY = [
    ("schema", '{"schema":"clickhouse"}'),
    ("", '{"schema":"muster","table":"others"}'),
    ("", '{"schema":"posthog","team":"team_id"}'),
    ("table", '{"schema":"posthog","table":"a.b.c"}'),
    ("table", '{"schema":"posthog","table":"a; DROP TABLE b"}'),
    ("settle", '{"schema":"posthog","settle":"soon"}'),
    ("filter", '{"schema":"posthog","filter":" "}'),
    ("filter", '{"schema":"posthog","filter":"true)"}'),
    ("filter", '{"schema":"posthog","filter":"true; SELECT 1"}'),
    ("filter", '{"schema":"posthog","filter":"true -- and so on"}'),
    ("filter", '{"schema":"posthog","filter":"{team:UInt32} = 1"}'),
    ("filter", '{"schema":"posthog","filter":"event = \'a"}'),
    ("", '{"schema":"mapped","table":"own"}'),
    ("", MAPPED.replace('"who"', '""')),
    # Their states would beat whatever events say later, and nothing tells of later ones.
    ("", f'{MAPPED[:-1]},"persons":{{"table":"p","team":"1","id":"id","properties":"p","version":"v"}}}}'),
    ("tabel", '{"schema":"posthog","tabel":"events"}'),
]
RIGHT = {
    "MUSTER_KAFKA": ["a", "a:1", "a:65535", "a:1, b:2", "[::1]:9092", "ä.example:9092"],
    "MUSTER_REDIS": ["redis://a", "rediss://me:secret@a:65535/15", "redis://[::1]:6379", "unix:///run/redis.sock"],
    "MUSTER_CLICKHOUSE": ["", "http://a", "https://me:secret@a:65535/shop", "http://[::1]:8123"],
    "MUSTER_CLOCK": ["system", "file:/tmp/clock"],
    "MUSTER_TOPIC_REPLICATION": ["-1", "1", "32767"],
}
# Each with arguments that it takes; none of them comes so far as to need its parts.
COMMANDS = [[role] for role in WIRINGS] + [
    ["apply", "cohorts.yaml"],
    ["doctor"],
    ["person", "ann"],
    ["send", "events.jsonl"],
    ["status"],
    ["up"],
    ["watch"],
    ["who", "regulars"],
]


@pytest.fixture(autouse=True)
def _files(_no_settings_but_ours: None) -> None:  # noqa: F811 - the fixture, so that this comes behind it
    Path("cohorts.yaml").write_text("cohorts: []")
    Path("events.jsonl").write_text("")


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_value_that_cannot_be_right_is_named_without_its_password(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert run(["status"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"muster: setting {name} (or ")
    assert ", got '" in said
    assert "secret" not in said


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in RIGHT.items() for value in values])
def test_a_value_that_can_be_right_is_taken(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert str(getattr(Settings(), name.removeprefix("MUSTER_").lower())) == value


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
@pytest.mark.parametrize("name", ["MUSTER_KAFKA", "MUSTER_REDIS", "MUSTER_CLICKHOUSE", "MUSTER_CLOCK"])
def test_every_command_ends_with_status_two_for_it(
    arguments: list[str], name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, "a:b:c")
    assert run(arguments) == 2
    assert name in capsys.readouterr().err


@pytest.mark.parametrize(("field", "value"), WRONG_HISTORY)
def test_a_description_of_the_history_that_cannot_be_right_is_named_by_its_field(
    field: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSTER_HISTORY", value)
    assert run(["status"]) == 2
    inner = f"[{field!r}]" if field else ""
    assert capsys.readouterr().err.startswith(f"muster: setting MUSTER_HISTORY{inner} (or ")


def test_a_history_of_own_tables_reads_from_toml_as_from_json(monkeypatch: pytest.MonkeyPatch) -> None:
    persons = {"table": "p", "team": "1", "id": "id", "properties": "p", "version": "v"}
    given = json.loads(MAPPED) | {"persons": persons, "settle": "1h30m", "filter": "position(what, ')(') = 0"}
    sources = '{ events = "plain", persons = "posthog_person" }'
    nested = ", ".join(f"{name} = {json.dumps(value)}" for name, value in persons.items())
    lines = [f"{name} = {json.dumps(value)}" for name, value in given.items() if name != "persons"]
    Path("muster.toml").write_text(
        "\n".join([f"sources = {sources}", "[history]", *lines, f"persons = {{ {nested} }}"])
    )
    of_file = Settings()
    Path("muster.toml").unlink()
    monkeypatch.setenv("MUSTER_SOURCES", '{"events": "plain", "persons": "posthog_person"}')
    monkeypatch.setenv("MUSTER_HISTORY", json.dumps(given))
    assert Settings() == of_file
    assert of_file.history.settle_ms == 5_400_000
    assert of_file.history.persons is not None
    assert of_file.history.persons.deleted == "false"
    monkeypatch.delenv("MUSTER_SOURCES")
    monkeypatch.delenv("MUSTER_HISTORY")
    monkeypatch.setenv("MUSTER_CONFIG", str(write_configuration(Path(), of_file)))
    assert Settings() == of_file
    for name, value in environment_of(of_file).items():
        monkeypatch.setenv(name, value)
    assert Settings() == of_file


def test_several_nodes_are_a_clusters_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MUSTER_REDIS", "redis://a:1,b:2")
    assert run(["status"]) == 2
    assert "MUSTER_REDIS_CLUSTER" in capsys.readouterr().err
    monkeypatch.setenv("MUSTER_REDIS_CLUSTER", "true")
    assert Settings().redis == "redis://a:1,b:2"


@pytest.mark.parametrize("content", [None, b"", b"1234567", b"123456789"])
def test_a_clock_file_that_holds_no_instant_ends_with_a_sentence(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "clock").write_bytes(content)
    monkeypatch.setenv("MUSTER_CLOCK", f"file:{tmp_path / 'clock'}")
    assert run(["send", "events.jsonl", "--end", "now"]) in (0, 1)
    Path("events.jsonl").write_text('{"event": "a", "person_id": "ann", "timestamp": "2026-01-12T12:00:00Z"}')
    assert run(["send", "events.jsonl", "--end", "now"]) == 1
    assert "clock file" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["", "a" * 401, "ä" * 201, "a\udcff"])
def test_an_id_that_nobody_can_have_is_wrong_usage(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["person", "--", given]) == 2
    assert "Invalid value for ID" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["a", "a" * 400, "ä" * 200])
def test_an_id_that_somebody_can_have_is_looked_for(
    given: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSTER_REDIS", "redis://127.0.0.1:1/0")
    assert run(["person", "--", given]) == 1
    assert "view cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("end", ["0001-01-01", "1999-12-31T23:59:59.999Z", "9999-12-31T23:59:59Z", "yesterday"])
def test_an_end_that_routers_refuse_is_wrong_usage(end: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("events.jsonl").write_text('{"event": "a", "person_id": "ann", "timestamp": "2026-01-12T12:00:00Z"}')
    assert run(["send", "events.jsonl", "--end", end]) == 2
    assert "--end" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["up", "--data", "events.jsonl"], ["up", "--data", "events.jsonl/below"]])
def test_a_data_folder_that_is_none_is_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 1
    assert "events.jsonl" in capsys.readouterr().err


def test_control_without_a_folder_for_its_state_says_which_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSTER_DATA_DIR", "events.jsonl")
    assert run(["control"]) == 1
    assert "MUSTER_DATA_DIR" in capsys.readouterr().err
