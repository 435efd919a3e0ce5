"""Whole cohorts of PostHog's: trees, references, legacy groups, test accounts, shapes of files, warnings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cohort_store.definition_files import COHORT, FLAG, Name, check_whole, read_definitions
from cohort_store.definition_text import DefinitionText
from cohort_store.errors import BadDefinition
from cohort_store.posthog.importing import import_posthog
from tests.posthog.building import PERFORMED, cohort_of, plain_of, read, when_of

OF_BUY = {"kind": "performed", "event": "buy", "within": "30d"}
OF_CALL = {**OF_BUY, "event": "call"}
CALLED = {**PERFORMED, "key": "call"}
ASKING: dict[str, Any] = {"type": "cohort", "key": "id", "value": 8}
IN_EIGHT = {"kind": "in_cohort", "cohort": "8"}


def test_groups_are_all_and_any_a_group_of_one_is_what_is_in_it_and_negation_is_not() -> None:
    inner = {"type": "OR", "values": [CALLED, {**PERFORMED, "negation": True}]}
    assert when_of(PERFORMED, inner) == {"all": [OF_BUY, {"any": [OF_CALL, {"not": OF_BUY}]}]}
    assert when_of({"type": "AND", "values": [PERFORMED]}, kind="OR") == OF_BUY


def test_a_cohort_keeps_its_id_as_key_and_its_name_and_description() -> None:
    made = plain_of(read(cohort_of(PERFORMED, description="who bought")))
    assert (made["key"], made["name"], made["description"]) == ("7", "Seven", "who bought")


@pytest.mark.parametrize("kind", ["cohort", "precalculated-cohort", "static-cohort", "dynamic-cohort"])
def test_every_spelling_of_a_cohort_is_a_reference(kind: str) -> None:
    for value in (8, "8", [8]):
        assert when_of({**ASKING, "type": kind, "value": value}) == IN_EIGHT
    assert when_of({**ASKING, "type": kind, "negation": True}) == {"not": IN_EIGHT}
    assert when_of({**ASKING, "type": kind, "operator": "not_in"}) == {"not": IN_EIGHT}


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ({"event_id": "buy", "days": "30"}, OF_BUY),
        ({"event_id": "buy"}, {**OF_BUY, "within": "365d"}),
        ({"action_id": 6, "days": 30}, OF_CALL),
        (
            {"event_id": "buy", "days": 30, "count": 2, "count_operator": "gte"},
            {"kind": "count", "event": "buy", "n": 2, "within": "30d"},
        ),
        (
            {"event_id": "buy", "days": 30, "count": 2},
            {"kind": "count", "event": "buy", "op": "eq", "n": 2, "within": "30d"},
        ),
    ],
)
def test_a_legacy_group_is_an_event_in_so_many_days(group: dict[str, Any], expected: dict[str, Any]) -> None:
    cohort = {"id": 7, "groups": [group], "filters": None}
    made = read({"cohorts": [cohort], "actions": [{"id": 6, "steps": [{"event": "call"}]}]})
    assert plain_of(made)["when"] == expected


def test_of_legacy_groups_one_is_enough() -> None:
    made = plain_of(read({"id": 7, "groups": [{"event_id": "buy", "days": 30}, {"event_id": "call", "days": 30}]}))
    assert made["when"] == {"any": [OF_BUY, OF_CALL]}


COHORT_JSON = cohort_of(PERFORMED)
FLAG_JSON = {"id": 1, "key": "f", "filters": {"groups": [{"properties": [{**ASKING, "value": 7}]}]}}


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (COHORT_JSON, 0),
        ([COHORT_JSON], 0),
        ([COHORT_JSON, FLAG_JSON], 1),
        ({"count": 1, "next": None, "previous": None, "results": [COHORT_JSON]}, 0),
        ({"results": [FLAG_JSON, COHORT_JSON]}, 1),
        ({"cohorts": [COHORT_JSON]}, 0),
        ({"cohorts": [COHORT_JSON], "actions": [], "flags": [FLAG_JSON], "team": {"timezone": "UTC"}}, 1),
        ({"cohorts": [COHORT_JSON, {"key": "ours", "when": OF_BUY}]}, 0),
    ],
)
def test_posthogs_files_are_told_by_their_shape(value: Any, flags: int) -> None:
    made = read(value)
    assert Name(COHORT, 1, "7") in made.cohorts
    assert [name for name in made.flags if name == Name(FLAG, 1, "f")] == [Name(FLAG, 1, "f")] * flags
    check_whole(made, {})


def test_a_file_of_posthogs_in_yaml_is_read_as_well() -> None:
    leaf = "{type: behavioral, value: performed_event, key: buy, time_value: '30', time_interval: day}"
    text = f"id: 7\nfilters: {{properties: {{type: AND, values: [{leaf}]}}}}\n"
    assert plain_of(read_definitions([DefinitionText("c.yaml", text.encode())]))["when"] == OF_BUY


def test_the_team_of_a_bundle_owns_its_cohorts() -> None:
    made = read({"cohorts": [COHORT_JSON], "team": {"id": 12, "timezone": "UTC"}})
    assert set(made.cohorts) == {Name(COHORT, 12, "7")}
    assert set(read({**COHORT_JSON, "team_id": 5}).cohorts) == {Name(COHORT, 5, "7")}


def test_what_is_not_known_is_left_out_and_named_by_its_place() -> None:
    leaf = {**PERFORMED, "colour": "red", "empty": None, "bytecode": ["_h"]}
    made = read(
        {"cohorts": [cohort_of(leaf, surprise=1, created_by={"id": 1}), {**COHORT_JSON, "id": 8, "deleted": True}]}
    )
    told = [warning.partition(": ")[2] for warning in made.warnings]
    assert told[:2] == [
        "cohorts[0].surprise: this key is not known here, and is left out",
        "cohorts[0].filters.properties.values[0].colour: this key is not known here, and is left out",
    ]
    assert told[2].startswith("cohorts[0]: windows are exact to the millisecond here, where PostHog counts whole days")
    assert told[3:] == ["cohorts[1]: left out: the cohort is marked deleted"]
    assert made.warnings[0].startswith("0.json:1: ")


def test_a_cohort_of_fixed_times_alone_has_no_warning_on_windows() -> None:
    assert read(cohort_of({**PERFORMED, "explicit_datetime": "2026-01-12T12:00:00Z"})).warnings == ()


def test_what_is_imported_is_a_file_that_reads_back_as_the_same_definitions() -> None:
    texts = ["no", "1e5", "~", "", "007", "a: b", "# x", "true", "2026-01-12", "é\u2028\n", "'\"", "-", "1_000", ".5"]
    leaves = [{**PERFORMED, "key": text} for text in texts if text]
    leaves.append({**PERFORMED, "event_filters": [{"key": "p", "value": [*texts, 1, 1.5, True]}]})
    source = DefinitionText("c.json", json.dumps({"cohorts": [cohort_of(*leaves)], "flags": [FLAG_JSON]}).encode())
    imported, before = import_posthog([source]), read_definitions([source])
    after = read_definitions([DefinitionText("c.yaml", imported.yaml().encode())])
    assert (after.cohorts, after.flags) == (before.cohorts, before.flags)


def test_a_cohort_that_did_not_come_along_is_a_warning_for_who_imports() -> None:
    source = DefinitionText("c.json", json.dumps([cohort_of(ASKING), FLAG_JSON]).encode())
    assert import_posthog([source]).warnings == (
        "c.json:1: [0] (7): cohort '8' did not come along; import it too, or apply it first",
    )


def test_cohorts_that_refer_to_each_other_in_a_circle_are_refused() -> None:
    pair = [cohort_of(ASKING), {**cohort_of({**ASKING, "value": 7}), "id": 8}]
    with pytest.raises(BadDefinition, match="circle"):
        import_posthog([DefinitionText("c.json", json.dumps(pair).encode())])


def test_importing_prints_a_file_on_stdout_and_warnings_on_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from processors.cli.application import run

    source, target = tmp_path / "c.json", tmp_path / "c.yaml"
    source.write_text(json.dumps(cohort_of({**PERFORMED, "colour": "red"})))
    assert run(["import", "posthog", str(source)]) == 0
    shown = capfd.readouterr()
    assert shown.out.startswith('cohorts:\n  - key: "7"\n    name: Seven\n    when:\n      kind: performed\n')
    assert "warning: " in shown.err
    assert "colour: this key is not known here, and is left out" in shown.err
    assert run(["import", "posthog", str(source), "--output", str(target)]) == 0
    assert capfd.readouterr().out == f"1 cohorts and 0 flags written to {target}, with 2 warnings.\n"
    assert target.read_text() == shown.out
    assert run(["import", "posthog", str(source), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["cohorts"] == [{"key": "7", "name": "Seven", "when": OF_BUY}]
    source.write_text(json.dumps(cohort_of({**PERFORMED, "time_value": "0"})))
    assert run(["import", "posthog", str(source)]) == 1
    assert "values[0].time_value: '0' is out of bounds" in capfd.readouterr().err
