"""A file of PostHog's is answered as it is: who is in each cohort, by either engine, from a small log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.offline.commands import command, jsonl
from tests.posthog.building import PERFORMED
from tests.posthog.test_persons_and_lists import everything

NOW = "2026-01-31T12:00:00Z"
EVENTS = [  # person, event, day of January 2026
    *(("once", "buy", 30), ("twice", "buy", 29), ("twice", "buy", 30)),
    *(("lapsed", "buy", 10), ("back", "buy", 2), ("back", "buy", 30), ("buyer", "buy", 29), ("buyer", "pay", 30)),
    *(("late", "buy", 20), ("late", "pay", 30), ("payer", "pay", 30)),
    *(("steady", "buy", day) for day in (11, 18, 25, 30)),
]
BEHAVIORS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "1": ({"value": "performed_event", "time_value": "2"}, ["back", "once", "steady", "twice"]),
    "2": ({"value": "performed_event_multiple", "operator": "lt", "operator_value": "2", "time_value": 5},
          ["back", "buyer", "once", "steady"]),
    "3": ({"value": "performed_event_first_time", "time_value": "3"}, ["buyer", "once", "twice"]),
    "4": ({"value": "performed_event_sequence", "seq_event": "pay", "seq_event_type": "events",
           "seq_time_value": 2, "seq_time_interval": "day"}, ["buyer"]),
    "5": ({"value": "performed_event_regularly", "operator": "gte", "operator_value": 1, "time_value": 1,
           "time_interval": "week", "min_periods": 3, "total_periods": 4}, ["steady"]),
    "6": ({"value": "stopped_performing_event", "seq_time_value": 1, "seq_time_interval": "week"}, ["lapsed", "late"]),
    "7": ({"value": "restarted_performing_event", "time_value": 20, "seq_time_value": 1, "seq_time_interval": "week"},
          ["back"]),
    "8": ({"value": "performed_event", "time_value": "20", "negation": True}, ["lapsed", "payer"]),
    "9": ({"value": "performed_event", "explicit_datetime": "2026-01-29T10:30:00",
           "explicit_datetime_to": "2026-01-30"}, ["buyer", "twice"]),
}  # fmt: skip


def members(folder: Path, definitions: Path, *more: str | Path) -> Any:
    events = jsonl(
        folder / "events.jsonl",
        [
            {"event": event, "person_id": person, "timestamp": f"2026-01-{day:02}T10:00:00Z"}
            for person, event, day in EVENTS
        ],
    )
    return command("members", "--definitions", definitions, "--events", events, "--now", NOW, "--json", *more)


@pytest.fixture
def behaviors(tmp_path: Path) -> Path:
    bundle = {
        "cohorts": [
            {"id": int(key), "filters": {"properties": {"type": "AND", "values": [{**PERFORMED, **leaf}]}}}
            for key, (leaf, _) in BEHAVIORS.items()
        ],
        "team": {"timezone": "Europe/Berlin"},
    }
    path = tmp_path / "cohorts.json"
    path.write_text(json.dumps(bundle))
    return path


@pytest.mark.parametrize("engine", ["timelines", "clickhouse"])
def test_every_behavior_has_the_members_that_it_should(tmp_path: Path, behaviors: Path, engine: str) -> None:
    found = members(tmp_path, behaviors, "--engine", engine)
    assert found.json == {key: expected for key, (_, expected) in BEHAVIORS.items()}
    assert "warning: " in found.err


def test_what_was_imported_has_the_same_members(tmp_path: Path, behaviors: Path) -> None:
    imported = tmp_path / "cohorts.yaml"
    assert command("import", "posthog", behaviors, "--output", imported).status == 0
    assert members(tmp_path, imported).json == members(tmp_path, behaviors).json


def test_a_file_with_everything_is_answered(tmp_path: Path) -> None:
    definitions = tmp_path / "all.json"
    definitions.write_text(json.dumps(everything()))
    persons = jsonl(
        tmp_path / "persons.jsonl",
        [
            {"id": "p1", "properties": {"plan": "pro", "email": "eve@shop.test"}},
            {"id": "p2", "properties": {}},
            {"id": "p3", "properties": {"plan": "pro"}},
        ],
    )
    found = members(tmp_path, definitions, "--persons", persons).json
    bought = ["back", "buyer", "lapsed", "late", "once", "steady", "twice"]
    assert found == {"7": sorted([*bought, "p3", "payer"]), "8": bought, "9": ["p1", "p2"]}
