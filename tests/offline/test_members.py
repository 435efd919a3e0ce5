"""`muster members`: what its files may hold, whose an event is, and what is told of lines that cannot be used."""

import csv
import gzip
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow.parquet import write_table

from processors.cli.file_options import BAD_LINES_SHOWN_MAX
from tests.offline.commands import Ran, cohorts_file, command, jsonl

NOW = "2026-01-12T12:00:00Z"
BOUGHT = {"key": "bought", "when": {"kind": "performed", "event": "purchase", "within": "1d"}}
TWICE = {"key": "twice", "when": {"kind": "count", "event": "purchase", "n": 2, "within": "7d"}}
ABSENT = {"key": "absent", "when": {"not": {"kind": "performed", "event": "purchase", "within": "7d"}}}
PRO = {
    "key": "pro",
    "when": {
        "kind": "performed",
        "event": "purchase",
        "within": "1d",
        "where": [{"property": "plan", "value": "pro"}, {"property": "price", "op": "gt", "value": 9}],
    },
}
UUID = "5894a67e-8494-5720-a200-8d64a57f27a0"


def event(person: str | None = "ann", at: str = "2026-01-12T11:00:00Z", **fields: Any) -> dict[str, Any]:
    return {"event": "purchase", **({"person_id": person} if person else {}), "timestamp": at, **fields}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cohorts_file(tmp_path / "cohorts.json", [BOUGHT, TWICE, ABSENT, PRO])
    return tmp_path


def asked(folder: Path, events: Path, *more: str | Path, now: str = NOW) -> Ran:
    return command(
        "members", "--definitions", folder / "cohorts.json", "--events", events, "--now", now, "--json", *more
    )


def members(folder: Path, *events: Mapping[str, Any] | str, now: str = NOW) -> dict[str, list[str]]:
    found: dict[str, list[str]] = asked(folder, jsonl(folder / "events.jsonl", events), now=now).json
    return found


def test_every_cohort_is_a_key_and_keys_and_persons_are_sorted(folder: Path) -> None:
    ran = asked(folder, jsonl(folder / "e.jsonl", [event("zoe"), event("ann"), event("bob", "2026-01-01T00:00:00Z")]))
    assert list(ran.json) == ["absent", "bought", "pro", "twice"]
    assert ran.json == {"absent": ["bob"], "bought": ["ann", "zoe"], "pro": [], "twice": []}


def test_without_json_a_table_is_for_people(folder: Path) -> None:
    ran = command(
        *("members", "--definitions", folder / "cohorts.json", "--now", NOW),
        *("--events", jsonl(folder / "e.jsonl", [event("[b]ann[/b]"), event("bob", "2026-01-13T00:00:00Z")])),
    )
    assert ran.status == 0
    assert re.search(r"bought +1 +\[b\]ann\[/b\]", ran.out)
    assert "Of 2 persons, at 2026-01-12T12:00:00.000Z; 1 events are dated later" in ran.out


def test_an_instant_without_a_zone_is_in_utc_and_an_epoch_in_milliseconds_will_do_for_an_event(folder: Path) -> None:
    line = event(at=1768132800000)  # type: ignore[arg-type]  # 2026-01-11T12:00:00Z
    assert members(folder, line, now="2026-01-12T11:59:59.999")["bought"] == ["ann"]
    assert members(folder, line, now="2026-01-12T12:00:00")["bought"] == []
    assert members(folder, line, now="2026-01-12T13:59:59.999+02:00")["bought"] == ["ann"]


def test_an_event_after_now_does_not_count_yet_and_its_person_is_known(folder: Path) -> None:
    for at, bought in (
        ("2026-01-12T12:00:00Z", ["ann"]),
        ("2026-01-12T12:00:00.001Z", []),
        ("2027-01-01T00:00:00Z", []),
    ):
        found = members(folder, event(at=at))
        assert found["bought"] == bought
        assert found["absent"] == ([] if bought else ["ann"])


def test_an_event_is_known_by_its_uuid_or_else_by_its_content(folder: Path) -> None:
    assert members(folder, event(uuid=UUID), event(uuid=UUID.upper()))["twice"] == []
    assert members(folder, event(uuid=UUID), event(uuid=UUID.replace("0", "1")))["twice"] == ["ann"]
    assert members(folder, event(), event())["twice"] == []
    assert members(folder, event(), event(properties={"plan": "pro"}))["twice"] == ["ann"]


def test_a_distinct_id_belongs_to_the_person_of_the_latest_pair_and_else_to_its_namesake(folder: Path) -> None:
    before, after = "2026-01-12T09:00:00Z", "2026-01-12T10:00:00Z"
    anonymous = event(None, distinct_id="d")
    assert members(folder, anonymous)["bought"] == ["d"]
    pairs = [
        {"event": "login", "person_id": person, "distinct_id": "d", "timestamp": at}
        for person, at in (("ann", after), ("bob", before))
    ]
    assert members(folder, anonymous, *pairs) == {"absent": ["bob"], "bought": ["ann"], "pro": [], "twice": []}
    later = {"event": "login", "person_id": "cyd", "distinct_id": "d", "timestamp": "2026-01-12T13:00:00Z"}
    assert members(folder, anonymous, *pairs, later)["bought"] == ["ann"]


def test_the_persons_file_says_whose_a_distinct_id_is_and_who_there_is(folder: Path) -> None:
    persons = jsonl(folder / "p.jsonl", [{"person_id": "eve", "distinct_ids": ["d"]}, {"id": "fay"}])
    pair = {"event": "login", "person_id": "ann", "distinct_id": "d", "timestamp": NOW}
    events = jsonl(folder / "e.jsonl", [event(None, distinct_id="d"), pair])
    found = asked(folder, events, "--persons", persons).json
    assert found == {"absent": ["ann", "fay"], "bought": ["eve"], "pro": [], "twice": []}


LINES = [event(uuid=UUID, properties={"plan": "pro", "price": 10}), event("bob", properties={"plan": "free"})]


def _jsonl(path: Path) -> Path:
    return jsonl(path, LINES)


def _csv(path: Path) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("uuid", "event", "person_id", "timestamp", "plan", "price"))
        writer.writerow((UUID, "purchase", "ann", "2026-01-12T11:00:00Z", "pro", 10))
        writer.writerow(("", "purchase", "bob", 1768215600000, "free", ""))
    return path


def _csv_of_json(path: Path) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("event", "distinct_id", "timestamp", "properties"))
        for line in LINES:
            writer.writerow(("purchase", line["person_id"], "2026-01-12T11:00:00Z", json.dumps(line["properties"])))
    return path


def _gz(path: Path) -> Path:
    plain = path.with_suffix("")
    path.write_bytes(gzip.compress((_csv if ".csv" in path.name else _jsonl)(plain).read_bytes()))
    return path


def _parquet(path: Path) -> Path:
    columns = {
        "uuid": [UUID, None],
        "event": ["purchase", "purchase"],
        "person_id": ["ann", "bob"],
        "timestamp": pa.array([1768215600000, 1768215600000], pa.timestamp("ms", tz="UTC")),
        "plan": ["pro", "free"],
        "price": [10.5, None],
    }
    write_table(pa.table(columns), path)
    return path


def _parquet_of_json(path: Path) -> Path:
    columns = {
        "event": ["purchase"] * 2,
        "person_id": ["ann", "bob"],
        "timestamp": pa.array([1768215600000000] * 2, pa.timestamp("us")),
        "properties": [json.dumps(line["properties"]) for line in LINES],
    }
    write_table(pa.table(columns), path)
    return path


def _posthog(path: Path) -> Path:
    return jsonl(
        path,
        [
            {
                "uuid": UUID.replace("0", str(number)),
                "event": "purchase",
                "properties": json.dumps(line["properties"]),
                "timestamp": "2026-01-12 11:00:00.000000",
                "team_id": 1,
                "distinct_id": line["person_id"],
                "person_id": "00000000-0000-0000-0000-000000000000",
            }
            for number, line in enumerate(LINES)
        ],
    )


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("e.jsonl", _jsonl),
        ("e.ndjson", _jsonl),
        ("e.jsonl.gz", _gz),
        ("e.csv", _csv),
        ("json.csv", _csv_of_json),
        ("e.csv.gz", _gz),
        ("e.parquet", _parquet),
        ("json.parquet", _parquet_of_json),
        ("posthog.jsonl", _posthog),
    ],
)
def test_every_kind_of_file_says_the_same(folder: Path, name: str, write: Any) -> None:
    ran = asked(folder, write(folder / name), "--strict")
    assert ran.json == {"absent": [], "bought": ["ann", "bob"], "pro": ["ann"], "twice": []}


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_persons_may_come_in_every_kind_of_file(folder: Path, suffix: str) -> None:
    path = folder / f"persons.{suffix}"
    if suffix == "csv":
        path.write_text('id,distinct_ids,plan\neve,"[""d"",""e""]",pro\nfay,f,\n')
    elif suffix == "parquet":
        write_table(pa.table({"id": ["eve", "fay"], "distinct_ids": [["d", "e"], ["f"]]}), path)
    else:
        jsonl(path, [{"id": "eve", "distinct_ids": ["d", "e"]}, {"person_id": "fay", "distinct_ids": ["f"]}])
    events = jsonl(folder / "e.jsonl", [event(None, distinct_id=distinct_id) for distinct_id in "ef"])
    assert asked(folder, events, "--persons", path, "--strict").json["bought"] == ["eve", "fay"]


def test_several_files_may_follow_one_option_or_each_have_their_own(folder: Path) -> None:
    files = [jsonl(folder / f"{name}.jsonl", [event(name)]) for name in ("ann", "bob", "cyd")]
    ran = command(
        *("members", "--definitions", folder / "cohorts.json", "--events", files[0], files[1], "--json"),
        *("--now", NOW, "--events", files[2]),
    )
    assert ran.json["bought"] == ["ann", "bob", "cyd"]


BAD_LINES = [
    ("{", "truncated"),
    ('{"event": "purchase", "person_id": "ann"}', "timestamp"),
    (json.dumps(event(at="yesterday")), "yesterday"),
    (json.dumps(event(at="1999-12-31T23:59:59.999Z")), "before the year 2000"),
    (json.dumps(event(None)), "neither distinct_id nor person_id"),
    (json.dumps({**event(), "person_id": ""}), "person_id is empty"),
    (json.dumps(event(uuid="one")), "write a UUID"),
    (json.dumps(event(properties=[])), "object"),
    (json.dumps({**event(), "event": ""}), "name has 0 characters"),
    (json.dumps(event(team_id=0)), "team_id is 0"),
    (json.dumps(event(properties={"x": json.loads("[" * 120 + "]" * 120)})), "nested"),
]


@pytest.mark.parametrize(("line", "said"), BAD_LINES)
def test_a_bad_line_is_told_with_file_and_number_and_the_others_count(folder: Path, line: str, said: str) -> None:
    path = jsonl(folder / "e.jsonl", [event("bob"), "", line, event("cyd")])
    ran = asked(folder, path)
    assert ran.json["bought"] == ["bob", "cyd"]
    assert ran.err.startswith(f"{path}:3: ")
    assert said in ran.err
    strict = asked(folder, path, "--strict")
    assert (strict.status, strict.out) == (1, "")
    assert "1 lines cannot be used" in strict.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{}", "person_id is empty"),
        ('{"id": "a", "person_id": "b"}', "keep one of the two"),
        ('{"id": "a", "distinct_ids": "d"}', "distinct_ids"),
        ('{"id": "a", "distinct_ids": [""]}', "a distinct id is empty"),
        ('{"id": "a", "properties": []}', "properties"),
    ],
)
def test_a_bad_line_of_the_persons_file_is_told_too(folder: Path, line: str, said: str) -> None:
    path = jsonl(folder / "p.jsonl", ['{"id": "eve"}', line])
    ran = asked(folder, jsonl(folder / "e.jsonl", [event()]), "--persons", path)
    assert ran.json["absent"] == ["eve"]
    assert ran.err.startswith(f"{path}:2: ")
    assert said in ran.err


def test_of_very_many_bad_lines_the_first_are_told_and_the_rest_counted(folder: Path) -> None:
    ran = asked(folder, jsonl(folder / "e.jsonl", ["{"] * (BAD_LINES_SHOWN_MAX + 7)))
    assert ran.err.count("e.jsonl:") == BAD_LINES_SHOWN_MAX
    assert ran.err.endswith("... and 7 more\n")


def test_events_of_another_team_are_not_meant(folder: Path) -> None:
    found = members(folder, event("ann", team_id=2), event("bob", team_id=1), event("cyd"))
    assert found["bought"] == ["bob", "cyd"]
    assert found["absent"] == []


def test_of_definitions_for_several_teams_one_must_be_named(folder: Path) -> None:
    cohorts_file(folder / "cohorts.json", [BOUGHT, {**TWICE, "team": 2}])
    events = jsonl(folder / "e.jsonl", [event()])
    refused = asked(folder, events)
    assert refused.status == 1
    assert "--team" in refused.err
    assert asked(folder, events, "--team", "2").json == {"twice": []}


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"x" * 1000)[:-9]], ids=["no gzip", "cut short"])
def test_a_damaged_file_is_named(folder: Path, content: bytes) -> None:
    path = folder / "e.jsonl.gz"
    path.write_bytes(content)
    ran = asked(folder, path)
    assert ran.status == 1
    assert "e.jsonl.gz cannot be read to its end" in ran.err


def test_a_file_that_is_no_parquet_is_named(folder: Path) -> None:
    (folder / "e.parquet").write_text("no parquet")
    ran = asked(folder, folder / "e.parquet")
    assert ran.status == 1
    assert "e.parquet is no Parquet file" in ran.err


def test_a_bad_definition_is_refused_as_apply_refuses_it(folder: Path) -> None:
    cohorts_file(folder / "cohorts.json", [{"key": "a", "when": {"kind": "in_cohort", "cohort": "nobody"}}])
    ran = asked(folder, jsonl(folder / "e.jsonl", [event()]))
    assert ran.status == 1
    assert "cohorts.json:1: cohorts[0] (a): refers to cohort 'nobody'" in ran.err


def test_a_wrong_instant_is_wrong_usage(folder: Path) -> None:
    ran = asked(folder, jsonl(folder / "e.jsonl", []), now="yesterday")
    assert ran.status == 2
    assert "yesterday" in ran.err


def test_lines_of_more_than_a_chunk_keep_their_numbers(folder: Path) -> None:
    big = {"text": "x" * 200_000}
    lines = [json.dumps(event(f"p{number}", properties=big)) for number in range(8)]
    lines.insert(6, "{")
    ran = asked(folder, jsonl(folder / "e.jsonl", lines))
    assert ran.json["bought"] == [f"p{number}" for number in range(8)]
    assert "e.jsonl:7:" in ran.err


def test_a_line_longer_than_an_event_may_be_is_told(folder: Path) -> None:
    ran = asked(folder, jsonl(folder / "e.jsonl", [event("ann", properties={"text": "x" * 1_100_000}), event("bob")]))
    assert ran.json["bought"] == ["bob"]
    assert "e.jsonl:1: the message has 11" in ran.err
