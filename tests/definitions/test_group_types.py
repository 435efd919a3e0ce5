"""How a team names its group types: in files of Muster's and of PostHog's, and what is refused."""

import pytest

from cohort_store.definition_files import GROUP_TYPE, Definitions, Name, check_whole, read_definitions
from cohort_store.definition_text import DefinitionText
from cohort_store.errors import BadDefinition
from processors.definition_changes import Action, canonical_values, parse_values, plan_apply

ABOUT_A_GROUP = "flags: [{key: f, filters: {aggregation_group_type_index: 0, groups: [{}]}}]"


def _read(text: str) -> Definitions:
    return read_definitions([DefinitionText("f.yaml", text.encode())])


@pytest.mark.parametrize("text", ["{company: 0, project: 3}", "{project: 3, company: 0}"])
def test_a_file_names_the_teams_group_types(text: str) -> None:
    definitions = _read(f"team: 2\ngroup_types: {text}\n")
    assert definitions.group_types == {Name(GROUP_TYPE, 2, "company"): 0, Name(GROUP_TYPE, 2, "project"): 3}
    assert definitions.group_types_of(2) == {"company": 0, "project": 3}
    assert definitions.group_types_of(1) == {}


def test_posthogs_mapping_means_the_same() -> None:
    assert _read('group_type_mapping: {"0": company}').group_types_of(1) == {"company": 0}


def test_a_bundle_of_posthogs_brings_its_mapping_along() -> None:
    bundle = 'group_type_mapping: {"1": company}\nteam: {id: 7}\nflags: [{key: f, filters: {groups: []}}]'
    assert _read(bundle).group_types_of(7) == {"company": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("group_types: [company]", "write {company: 0"),
        ("group_types: {company: 5}", "write 0 to 4"),
        ("group_types: {company: yes}", "write 0 to 4"),
        ('group_types: {"": 0}', "write a text"),
        ('group_type_mapping: {"7": company}', "write 0 to 4"),
        ('group_type_mapping: {"0": a, "1": a}', "a name of its own"),
        ("group_types: {company: 0}\ngroup_type_mapping: {'0': company}", "keep one of the two"),
    ],
)
def test_what_names_no_group_type_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(BadDefinition) as refused:
        _read(text)
    assert said in refused.value.problem
    assert refused.value.path.startswith("f.yaml:")


def test_two_types_with_one_number_are_refused() -> None:
    with pytest.raises(BadDefinition, match="has the number 0 of 'company'"):
        check_whole(_read("group_types: {company: 0, firm: 0}"), {})


def test_a_flag_about_a_group_type_that_nobody_named_is_refused() -> None:
    with pytest.raises(BadDefinition, match=r"add group_types: \{name: 0\}"):
        check_whole(_read(ABOUT_A_GROUP), {})
    check_whole(_read(f"group_types: {{company: 0}}\n{ABOUT_A_GROUP}"), {})


def test_group_types_are_stored_dropped_and_read_back_as_other_definitions_are() -> None:
    before = canonical_values(_read("group_types: {company: 0, project: 1}"))
    assert parse_values(before).group_types_of(1) == {"company": 0, "project": 1}
    planned = plan_apply(before, _read("group_types: {company: 2}"), prune=True)
    assert {(change.name.key, change.action) for change in planned.changes} == {
        ("company", Action.EDITED),
        ("project", Action.DROPPED),
    }
    assert parse_values(planned.values).group_types_of(1) == {"company": 2}
