"""What SDKs are told of groups and of flags that depend on flags, and what they are not left to decide."""

from collections.abc import Mapping
from typing import Any

import pytest
from posthog.feature_flags import match_feature_flag_properties

from cohort_store.flags import parse_flag, plain_flag
from cohort_store.registry import TeamRegistry
from evaluator.definitions.local_evaluation import LocalDefinitions, Reader, definitions_of
from tests.evaluator.building import flag, in_cohort, person_is

OF_COMPANY = person_is("plan", "exact", "pro") | {"type": "group"}


def told(*flags: Mapping[str, Any], reader: Reader = Reader.CURRENT) -> LocalDefinitions:
    """The document of a team with a company and a project for groups."""
    plain = tuple(plain_flag(parse_flag(each)) for each in flags)
    team = TeamRegistry(1, flags=plain, group_types={"company": 0, "project": 1})
    return definitions_of(team, with_cohorts=True, reader=reader)


def is_held_back(each: Mapping[str, Any], reader: Reader = Reader.CURRENT) -> bool:
    (found,) = told(each, reader=reader).flags
    return bool(found["ensure_experience_continuity"])


def test_group_types_are_told_by_their_numbers() -> None:
    assert told().group_type_mapping == {"0": "company", "1": "project"}


@pytest.mark.parametrize("own", [{}, {"aggregation_group_type_index": 0}])
def test_an_sdk_decides_a_set_about_groups_as_it_stands(own: dict[str, Any]) -> None:
    more = {} if own else {"aggregation_group_type_index": 0}
    document = told(flag("f", {"properties": [OF_COMPANY], **own}, **more))
    (found,) = document.flags
    for plan, expected in (("pro", True), ("free", False)):
        value = match_feature_flag_properties(
            found,
            "ada",
            {} if own else {"plan": plan},
            bucketing_value="ada" if own else "acme",
            group_type_mapping=document.group_type_mapping,
            groups={"company": "acme"},
            group_properties={"company": {"plan": plan}},
        )
        assert value is expected


def test_a_flag_that_others_depend_on_is_told_by_its_key_however_it_was_named() -> None:
    asking = {"type": "flag", "key": "7", "operator": "flag_evaluates_to", "value": True}
    first, _ = told(flag("f", {"properties": [asking]}), flag("g", {}, id=7)).flags
    (asked,) = first["filters"]["groups"][0]["properties"]
    assert (asked["key"], asked["dependency_chain"]) == ("g", ["g"])
    assert "group_type_index" not in asked


@pytest.mark.parametrize(
    ("of_set", "asked"),
    [
        (0, person_is("plan", "exact", "pro")),
        (0, in_cohort("buyers")),
        (0, OF_COMPANY | {"group_type_index": 1}),
        (None, OF_COMPANY | {"group_type_index": 0}),
    ],
)
def test_a_set_that_tests_somebody_else_than_whom_it_is_about_is_left_to_the_server(
    of_set: int | None, asked: dict[str, Any]
) -> None:
    assert is_held_back(flag("f", {"properties": [asked], "aggregation_group_type_index": of_set}))
    assert not is_held_back(flag("f", {"aggregation_group_type_index": of_set}))


def test_older_sdks_are_not_left_what_they_do_not_know() -> None:
    mixed = flag("f", {}, {"aggregation_group_type_index": 0})
    by_device = flag("f", {}, bucketing_identifier="device_id")
    for each in (mixed, by_device):
        assert is_held_back(each, Reader.WHOLE)
        assert not is_held_back(each)
