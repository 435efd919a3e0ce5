"""PostHog's flags as a definitions file of Muster's: group types come along, and what did not is named."""

import json
from typing import Any

import pytest

from cohort_store.definition_files import check_whole, read_definitions
from cohort_store.definition_text import DefinitionText
from cohort_store.errors import BadDefinition
from cohort_store.posthog.importing import Imported, import_posthog

ABOUT_COMPANIES = {"id": 3, "key": "f", "filters": {"aggregation_group_type_index": 0, "groups": [{}]}}
ASKING = {"type": "flag", "key": "3", "operator": "flag_evaluates_to", "value": True, "dependency_chain": ["f"]}
DEPENDING = {"id": 4, "key": "g", "filters": {"groups": [{"properties": [ASKING]}]}}


def _imported(bundle: dict[str, Any]) -> Imported:
    return import_posthog([DefinitionText("b.json", json.dumps(bundle).encode())])


@pytest.mark.parametrize("team", [1, 7])
def test_what_was_imported_can_be_applied_as_it_is(team: int) -> None:
    bundle = {"flags": [ABOUT_COMPANIES, DEPENDING], "group_type_mapping": {"0": "company"}, "team": {"id": team}}
    made = _imported(bundle)
    assert made.warnings == ()
    written = read_definitions([DefinitionText("f.yaml", made.yaml().encode())])
    check_whole(written, {})
    assert written.group_types_of(team) == {"company": 0}
    assert written.flags == read_definitions([DefinitionText("b.json", json.dumps(bundle).encode())]).flags


def test_a_flag_or_group_type_that_did_not_come_along_is_a_warning() -> None:
    (first,) = _imported({"results": [DEPENDING]}).warnings
    assert "flag '3' did not come along" in first
    (second,) = _imported({"results": [ABOUT_COMPANIES, DEPENDING]}).warnings
    assert "group type 0 has no name; add group_types: {name: 0}" in second


def test_the_group_types_of_two_teams_are_imported_one_at_a_time() -> None:
    files = [
        DefinitionText(f"{team}.json", json.dumps({"group_type_mapping": {"0": "a"}, "team": {"id": team}}).encode())
        for team in (1, 2)
    ]
    with pytest.raises(BadDefinition, match="one team at a time"):
        import_posthog(files)
