"""Leaves about persons, test accounts, static lists, and one file that has everything."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_store.definition_files import COHORT, Name, check_whole, read_definitions
from cohort_store.definition_text import DefinitionText
from cohort_store.errors import BadDefinition
from cohort_store.posthog.importing import import_posthog
from tests.examples import aside
from tests.posthog.building import PERFORMED, cohort_of, read, when_of

EMAIL = {"kind": "person_property", "property": "email", "op": "icontains", "value": "@shop.test"}
OF_BUY = {"kind": "performed", "event": "buy", "within": "30d"}
TEAM = {
    "timezone": "Europe/Berlin",
    "test_account_filters": [
        {"key": "email", "type": "person", "operator": "not_icontains", "value": "@shop.test"},
        {"key": "$host", "type": "event", "operator": "is_not", "value": "localhost"},
        {"key": "id", "type": "cohort", "value": 9, "negation": True},
    ],
}


@pytest.mark.parametrize(
    ("leaf", "test"),
    [
        ({"key": "plan", "value": ["pro"]}, {"property": "plan", "value": "pro"}),
        ({"key": "plan", "value": ["pro", "max"]}, {"property": "plan", "value": ["pro", "max"]}),
        ({"key": "paid", "operator": "exact", "value": True}, {"property": "paid", "value": True}),
        ({"key": "age", "operator": "gt", "value": "30"}, {"property": "age", "op": "gt", "value": "30"}),
        ({"key": "age", "operator": "min", "value": 30}, {"property": "age", "op": "gte", "value": 30}),
        ({"key": "age", "operator": "between", "value": [1, 9]}, {"property": "age", "op": "between", "value": [1, 9]}),
        ({"key": "plan", "operator": "is_not_set", "value": "is_not_set"}, {"property": "plan", "op": "is_not_set"}),
        (
            {"key": "seen", "operator": "is_date_after", "value": "-3m"},
            {"property": "seen", "op": "is_date_after", "value": "-3mo"},
        ),
        (
            {"key": "mail", "operator": "not_icontains_multi", "value": ["a", "b"]},
            {"property": "mail", "op": "not_icontains", "value": ["a", "b"]},
        ),
    ],
)
def test_a_persons_property_is_tested_by_the_same_operator(leaf: dict[str, Any], test: dict[str, Any]) -> None:
    assert when_of({"type": "person", **leaf}) == {"kind": "person_property", **test}
    assert when_of({"type": "person", **leaf, "negation": True}) == {"not": {"kind": "person_property", **test}}


def test_when_a_person_was_created_is_her_property_created_at() -> None:
    leaf = {"type": "person_metadata", "key": "created_at", "operator": "is_date_before", "value": "-7d"}
    expected = {"kind": "person_property", "property": "created_at", "op": "is_date_before", "value": "-7d"}
    assert when_of(leaf) == expected


def test_test_accounts_are_left_out_by_the_teams_filters_that_are_about_persons() -> None:
    cohort = cohort_of(PERFORMED)
    cohort["filters"]["filterTestAccounts"] = True
    made = read({"cohorts": [cohort]}, {"team": TEAM, "actions": []})
    (found,) = made.cohorts.values()
    assert found.when.model_dump(exclude_defaults=True)["all"][1]["op"] == "not_icontains"
    told = [warning for warning in made.warnings if "test_account_filters" in warning]
    assert [warning.partition("team.")[2] for warning in told] == [
        "test_account_filters[1] is not about persons, and is left out, as in PostHog",
        "test_account_filters[2] is not about persons, and is left out, as in PostHog",
    ]


@pytest.mark.parametrize(
    "properties",
    [
        [{"key": "email", "operator": "icontains", "value": "@shop.test"}],
        [{"key": "email", "operator": "icontains", "value": "@shop.test", "type": "event"}],
        {"type": "AND", "values": [{"type": "person", "key": "email", "operator": "icontains", "value": "@shop.test"}]},
    ],
)
def test_a_legacy_group_of_properties_is_about_the_person(properties: Any) -> None:
    made = read({"id": 7, "groups": [{"properties": properties}]})
    (cohort,) = made.cohorts.values()
    assert {"kind": "person_property", **cohort.when.model_dump(exclude_defaults=True)} == EMAIL


def test_a_static_cohort_is_a_list_of_its_members() -> None:
    static = {"id": 8, "name": "Friends", "is_static": True, "filters": None, "groups": [], "members": ["p1", 2]}
    made = import_posthog([DefinitionText("c.json", json.dumps(static).encode())])
    assert made.cohorts == ({"key": "8", "name": "Friends", "members": ["2", "p1"]},)


def everything() -> dict[str, Any]:
    """A bundle with the seven behaviors, persons, cohorts, static lists, negation, an action and test accounts."""

    def leaf(value: str, **more: Any) -> dict[str, Any]:
        return {**PERFORMED, "value": value, **more}

    lapsing = {"seq_time_value": "7", "seq_time_interval": "day"}
    following = {"seq_event": "pay", "seq_event_type": "events", **lapsing}
    periods = {"operator": "gte", "operator_value": "1", "min_periods": "2", "total_periods": "4", "time_value": "7"}
    behaviors = [
        leaf("performed_event", event_type="actions", key=5),
        leaf("performed_event_multiple", operator="lte", operator_value="3"),
        leaf("performed_event_first_time"),
        leaf("performed_event_sequence", **following),
        leaf("performed_event_regularly", **periods),
        leaf("stopped_performing_event", **lapsing),
        leaf("restarted_performing_event", **lapsing, negation=True),
    ]
    others = [
        {"type": "person", "key": "plan", "operator": "exact", "value": ["pro"]},
        {"type": "person_metadata", "key": "created_at", "operator": "is_date_after", "value": "-90d"},
        {"type": "cohort", "key": "id", "value": 8},
        {"type": "static-cohort", "key": "id", "value": 9, "negation": True},
    ]
    groups = [{"type": "AND", "values": behaviors}, {"type": "OR", "values": others}]
    cohort = cohort_of(*groups, kind="OR")
    cohort["filters"]["filterTestAccounts"] = True
    return {
        "cohorts": [
            cohort,
            {"id": 8, "filters": {"properties": {"type": "AND", "values": [PERFORMED]}}},
            {"id": 9, "is_static": True, "members": ["p1", "p2"]},
        ],
        "actions": [{"id": 5, "steps": [{"event": "pay"}, {"event": "$pageview", "url": "/thanks"}]}],
        "flags": [{"key": "f", "filters": {"groups": [{"properties": [{"type": "cohort", "key": "id", "value": 7}]}]}}],
        "team": TEAM,
    }


def test_a_file_with_everything_imports_and_reads_back_as_the_same() -> None:
    source = DefinitionText("all.json", json.dumps(everything()).encode())
    imported, before = import_posthog([source]), read_definitions([source])
    after = read_definitions([DefinitionText("all.yaml", imported.yaml().encode())])
    assert set(before.cohorts) == {Name(COHORT, 1, key) for key in ("7", "8", "9")}
    assert (after.cohorts, after.flags) == (before.cohorts, before.flags)
    check_whole(after, {})


JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**30, "", "x", "0", "any", "AND", "behavioral", "person", "-7d", [], [[]], [None],
    [1, 2], {}, {"values": []}, {"type": "AND", "values": [{}]}, {"steps": []}, {"a": {"b": 1}},
)  # fmt: skip


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every part of a value, as the steps that lead to it."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [place for step, inner in items for place in places_in(inner, (*path, step))]


PLACES = places_in(everything())


@aside()
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(JUNK)), min_size=1, max_size=3))
def test_a_file_with_anything_anywhere_is_read_or_refused_and_never_breaks(changes: list[tuple[Any, Any]]) -> None:
    value: Any = deepcopy(everything())
    for path, junk in changes:
        inner = value
        for step in path[:-1]:
            inner = inner[step] if has(inner, step) else None
        if has(inner, path[-1]):
            inner[path[-1]] = deepcopy(junk)
    told = "0.json"
    try:
        read(value)
    except BadDefinition as error:
        told = str(error)
    assert told.startswith("0.json")
    assert told.count("0.json") == 1 or "cannot be taken along" in told


def has(inner: Any, step: Any) -> bool:
    return (
        step in inner
        if isinstance(inner, dict)
        else isinstance(inner, list) and isinstance(step, int) and step < len(inner)
    )
