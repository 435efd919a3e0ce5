"""What files mean: YAML and JSON alike, teams, references, and PostHog's list of flags."""

from pathlib import Path

import pytest

from cohort_store.definition_files import COHORT, FLAG, Name, check_whole, read_definitions
from cohort_store.definition_schema import schema_text
from cohort_store.definition_text import DefinitionText, read_text
from cohort_store.definitions import to_plain
from cohort_store.errors import BadDefinition
from processors.definition_reading import read_definition_files

ROOT = Path(__file__).parents[2]
ASKING = '{"key": "f", "filters": {"groups": [{"properties": [{"key": "id", "type": "cohort", "value": %s}]}]}}'


def value_of(text: str, name: str = "f.yaml") -> object:
    return read_text(DefinitionText(name, text.encode())).value


def test_words_dates_and_leading_zeros_stay_what_their_author_wrote() -> None:
    assert value_of("[no, on, 2024-01-01, 2024-01-01T00:00:00Z, 12:30:00, 1_000, 0x10, .inf]") == [
        "no", "on", "2024-01-01", "2024-01-01T00:00:00Z", "12:30:00", "1_000", "0x10", ".inf",
    ]  # fmt: skip


def test_numbers_booleans_and_nulls_are_those_of_json() -> None:
    assert value_of("[1, -2, 1.5, 1e3, true, False, null, ~, '5', !!str 7]") == [
        1, -2, 1.5, 1000.0, True, False, None, None, "5", "7",
    ]  # fmt: skip


def test_json_reads_as_json_whatever_yaml_makes_of_it() -> None:
    assert value_of('{"a": "\\ud83d\\ude00", "b":\t["no"]}', "f.json") == {"a": "😀", "b": ["no"]}


def test_an_empty_file_defines_nothing_and_names_no_team() -> None:
    definitions = read_definitions([DefinitionText("f.yaml", b"")])
    assert not definitions.cohorts
    assert definitions.teams == frozenset()


def test_a_files_team_is_for_those_that_name_none() -> None:
    text = """
team: 7
cohorts:
  - {key: a, when: {kind: performed, event: x, within: 1d}}
  - {key: a, team: 8, when: {kind: performed, event: x, within: 1d}}
flags: [{key: f}]
"""
    definitions = read_definitions([DefinitionText("f.yaml", text.encode())])
    assert set(definitions.cohorts) == {Name(COHORT, 7, "a"), Name(COHORT, 8, "a")}
    assert set(definitions.flags) == {Name(FLAG, 7, "f")}
    assert definitions.teams == {7, 8}


def test_posthogs_page_of_flags_is_read_as_it_is() -> None:
    raw = b'{"count": 1, "next": null, "previous": null, "results": [{"id": 3, "key": "f", "created_by": {}}]}'
    assert set(read_definitions([DefinitionText("flags.json", raw)]).flags) == {Name(FLAG, 1, "f")}


def test_a_flag_may_ask_a_cohort_by_key_or_by_the_id_that_it_got() -> None:
    cohort = '{"key": "buyers", "when": {"kind": "performed", "event": "x", "within": "1d"}}'
    for asked in ('"buyers"', "12", '"12"', "[12]"):
        text = f'{{"cohorts": [{cohort}], "flags": [{ASKING % asked}]}}'
        definitions = read_definitions([DefinitionText("f.json", text.encode())])
        check_whole(definitions, {Name(COHORT, 1, "buyers"): 12})


def test_an_id_counts_only_in_the_flags_own_team() -> None:
    text = f'{{"flags": [{ASKING % 12}]}}'
    definitions = read_definitions([DefinitionText("f.json", text.encode())])
    with pytest.raises(BadDefinition, match="asks cohort '12', which team 1 does not define"):
        check_whole(definitions, {Name(COHORT, 2, "buyers"): 12})


def test_the_examples_are_valid_as_a_whole() -> None:
    files = sorted((ROOT / "examples").rglob("*.yaml"))
    definitions = read_definition_files(files)
    check_whole(definitions, {})
    assert definitions.cohorts
    assert definitions.flags


def test_files_of_tests_are_passed_over_beside_definitions_and_refused_alone(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("cohorts: [{key: a, when: {kind: performed, event: x, within: 1d}}]")
    (tmp_path / "a.test.yaml").write_text("cases: []")
    assert set(read_definition_files(sorted(tmp_path.iterdir())).cohorts) == {Name(COHORT, 1, "a")}
    with pytest.raises(BadDefinition, match="holds tests and defines nothing"):
        read_definition_files([tmp_path / "a.test.yaml"])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadDefinition, match=r"absent\.yaml: cannot be read"):
        read_definition_files([tmp_path / "absent.yaml"])


def test_yaml_and_json_of_one_definition_are_the_same() -> None:
    yaml = b"cohorts: [{key: a, when: {not: {kind: count, event: x, n: 3, since: 2024-01-01T00:00:00Z}}}]"
    json = b'{"cohorts":[{"key":"a","when":{"not":{"kind":"count","event":"x","n":3,"since":"2024-01-01T00:00:00Z"}}}]}'
    name = Name(COHORT, 1, "a")
    of_yaml, of_json = (read_definitions([DefinitionText(f, raw)]) for f, raw in (("f.yaml", yaml), ("f.json", json)))
    assert to_plain(of_yaml.cohorts[name]) == to_plain(of_json.cohorts[name])


def test_the_published_schema_is_the_one_that_the_code_means() -> None:
    published = (ROOT / "schema" / "definitions.schema.json").read_text()
    assert published == schema_text(), "run: make schema"


def test_names_survive_their_text_even_with_colons() -> None:
    name = Name(FLAG, 3, "a:b:c")
    assert Name.parse(str(name)) == name
