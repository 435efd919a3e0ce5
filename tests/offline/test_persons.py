"""`muster members` on what persons are: properties from their file and from events, `created_at`, and static lists."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.offline.commands import Ran, cohorts_file, command, jsonl

NOW = "2026-01-12T12:00:00Z"
PRO = {"key": "pro", "when": {"kind": "person_property", "property": "plan", "value": "pro"}}
UNSET = {"key": "unset", "when": {"kind": "person_property", "property": "plan", "op": "is_not_set"}}
NEW = {
    "key": "new",
    "when": {"kind": "person_property", "property": "created_at", "op": "is_date_after", "value": "-7d"},
}
DEVICE = {"id": "ann", "distinct_ids": ["d"]}
LISTED = {"key": "listed", "members": ["ann", "bob", "never-seen"]}
REST = {"key": "rest", "when": {"not": {"kind": "in_cohort", "cohort": "listed"}}}


def asked(
    folder: Path, events: list[dict[str, Any]], persons: list[dict[str, Any]], *more: str, cohorts: Any = (PRO, UNSET)
) -> Ran:
    definitions = cohorts_file(folder / "c.json", cohorts)
    files = ("--events", jsonl(folder / "e.jsonl", events), "--persons", jsonl(folder / "p.jsonl", persons))
    return command("members", "--definitions", definitions, *files, "--now", NOW, "--json", *more)


def says(at: str = "2026-01-12T11:00:00Z", person: str | None = "ann", **fields: Any) -> dict[str, Any]:
    return {"event": "x", "timestamp": at, **({"person_id": person} if person else {}), **fields}


@pytest.mark.parametrize("engine", ["timelines", "clickhouse"])
@pytest.mark.parametrize(
    ("events", "persons", "pro"),
    [
        ([], [{"id": "ann", "properties": {"plan": "pro"}}], True),
        ([says(properties={"$set": {"plan": "pro"}})], [], True),
        ([{**says(), "$set": {"plan": "pro"}}], [], True),
        ([says(properties={"$set": {"plan": "pro"}})], [{"id": "ann", "properties": {"plan": "free"}}], False),
        ([says(properties={"$set": {"plan": "pro"}})], [{"id": "ann", "properties": {"plan": None}}], False),
        ([says(properties={"$set": {"plan": "pro"}})], [{"id": "ann", "properties": {"age": 7}}], True),
        ([says("2026-01-12T12:00:00.001Z", properties={"$set": {"plan": "pro"}})], [], False),
        ([says(properties={"$set_once": {"plan": "pro"}}), says(NOW, properties={"$unset": ["plan"]})], [], False),
        ([says(person=None, distinct_id="d", properties={"$set": {"plan": "pro"}})], [DEVICE], True),
        ([says(properties="{}", person_properties='{"plan": "pro"}')], [], True),
    ],
)
def test_a_property_is_what_the_persons_file_says_else_what_events_said_by_now(
    tmp_path: Path, engine: str, events: list[dict[str, Any]], persons: list[dict[str, Any]], pro: bool
) -> None:
    ran = asked(tmp_path, events, persons, "--strict", "--engine", engine)
    assert ran.json["pro"] == (["ann"] if pro else [])


@pytest.mark.parametrize("engine", ["timelines", "clickhouse"])
def test_what_an_identified_id_did_counts_for_the_person_whom_it_was_told_to_be(tmp_path: Path, engine: str) -> None:
    anonymous = says(person=None, distinct_id="anon", properties={"$set": {"plan": "pro"}})
    told = says(NOW, person=None, distinct_id="ann", event="$identify", properties={"$anon_distinct_id": "anon"})
    ran = asked(tmp_path, [anonymous, told], [], "--strict", "--engine", engine)
    assert (ran.json["pro"], ran.json["unset"]) == (["ann"], [])


def test_of_somebody_without_the_property_it_is_not_set(tmp_path: Path) -> None:
    persons: list[dict[str, Any]] = [{"id": "ann", "properties": {"plan": None}}, {"id": "bob"}]
    persons.append({"id": "cyd", "properties": {"plan": "free"}})
    assert asked(tmp_path, [], persons).json == {"pro": [], "unset": ["ann", "bob"]}


def test_created_at_is_a_property_and_a_relative_date_is_seen_from_now(tmp_path: Path) -> None:
    persons: list[dict[str, Any]] = [
        {"id": "new", "created_at": "2026-01-05T12:00:00.001Z"},
        {"id": "at-the-edge", "created_at": "2026-01-05T12:00:00Z"},
        {"id": "in-milliseconds", "created_at": 1768219200000},
        {"id": "in-seconds", "created_at": 1768219200},
        {"id": "in-seconds-and-a-part", "created_at": 1768219200.5},
        {"id": "seconds-at-the-edge", "created_at": 1767614400},
        {"id": "beyond-every-date", "created_at": 10**18},
        {"id": "unknown", "created_at": None, "distinct_ids": None, "properties": None},
    ]
    ran = asked(tmp_path, [], persons, "--strict", cohorts=[NEW])
    assert ran.json == {"new": ["in-milliseconds", "in-seconds", "in-seconds-and-a-part", "new"]}


def test_of_a_static_list_the_persons_of_the_files_are_members(tmp_path: Path) -> None:
    found = asked(tmp_path, [says(person="bob")], [{"id": "ann"}, {"id": "cyd"}], cohorts=[LISTED, REST]).json
    assert found == {"listed": ["ann", "bob"], "rest": ["cyd"]}


@pytest.mark.parametrize("engine", ["timelines", "clickhouse"])
def test_a_listed_person_may_be_known_by_a_distinct_id_alone(tmp_path: Path, engine: str) -> None:
    events = [says(person=None, distinct_id=name) for name in ("ann", "bob")]
    persons = [{"id": "cyd", "distinct_ids": ["bob"]}]
    found = asked(tmp_path, events, persons, "--engine", engine, cohorts=[LISTED, REST]).json
    assert found == {"listed": ["ann"], "rest": ["cyd"]}


def test_what_cannot_be_a_property_is_told_with_its_line(tmp_path: Path) -> None:
    events = [says(), says(properties={"$set": ["plan"]})]
    ran = asked(tmp_path, events, [{"id": "ann", "properties": {"plan": "x" * 2_000}}])
    assert ran.status == 0
    assert "e.jsonl:2: $set is " in ran.err
    assert "p.jsonl:1: property 'plan' of the person has 2002 bytes" in ran.err


def test_a_case_tells_what_a_property_of_a_wrong_person_is(tmp_path: Path) -> None:
    cohorts_file(tmp_path / "c.json", [PRO])
    (tmp_path / "c.test.yaml").write_text(
        "definitions: c.json\ncases:\n  - name: pro\n    now: 2026-01-12T12:00:00Z\n"
        "    persons: [{id: ann, properties: {plan: free}}]\n    expect: {pro: [ann]}\n"
    )
    ran = command("test", tmp_path / "c.test.yaml", "--json")
    assert ran.status == 1
    reason = json.loads(ran.out)["cases"][0]["wrong"][0]["why"]["reason"]
    assert (reason["kind"], reason["present"]) == ("person_property", '"free"')
    assert "free" in command("test", tmp_path / "c.test.yaml").out
