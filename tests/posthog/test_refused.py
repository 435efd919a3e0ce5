"""Wrong cohorts of PostHog's: each is refused whole, with its path, the value and a way out."""

from __future__ import annotations

from typing import Any

import pytest

from cohort_store.errors import BadDefinition
from tests.posthog.building import PERFORMED, cohort_of, read

LEAF = "cohorts[0].filters.properties.values[0]"
MULTIPLE = {**PERFORMED, "value": "performed_event_multiple", "operator": "gte", "operator_value": 3}
REGULARLY = {
    **PERFORMED, "value": "performed_event_regularly", "operator": "gte", "operator_value": 1,
    "min_periods": 1, "total_periods": 2,
}  # fmt: skip
STOPPED = {**PERFORMED, "value": "stopped_performing_event", "seq_time_value": 7, "seq_time_interval": "day"}
SELECTED = [{"id": 5, "steps": [{"event": "$autocapture", "selector": "button"}]}, {"id": 6, "steps": []}]


def filtered(**filter_: Any) -> dict[str, Any]:
    return {**PERFORMED, "event_filters": [{"key": "p", "type": "event", **filter_}]}


LEAVES: list[tuple[str, dict[str, Any], str, tuple[str, ...]]] = [
    ("unknown type", {**PERFORMED, "type": "session"}, ".type", ("'session'", "behavioral", "cohort")),
    ("no type", {"key": "buy"}, ".type", ("null", "behavioral")),
    ("unknown behavior", {**PERFORMED, "value": "performed_often"}, ".value", ("'performed_often'", "performed_event")),
    ("no key", {k: v for k, v in PERFORMED.items() if k != "key"}, ".key", ("required", "event or an action")),
    ("key no name", {**PERFORMED, "key": 5}, ".key", ("'5'", "event's name")),
    ("event named any", {**PERFORMED, "key": "any"}, ".key", ("'any'", "another name")),
    ("unknown event type", {**PERFORMED, "event_type": "views"}, ".event_type", ("'views'", "events, actions")),
    ("unknown unit", {**PERFORMED, "time_interval": "fortnight"}, ".time_interval", ("'fortnight'", "day, week")),
    ("no window", {**PERFORMED, "time_value": None}, ".time_value", ("required", "above 0")),
    ("window of nothing", {**PERFORMED, "time_value": "0"}, ".time_value", ("'0'", "above 0")),
    ("window below nothing", {**PERFORMED, "time_value": -3}, ".time_value", ("-3", "above 0")),
    ("window no number", {**PERFORMED, "time_value": "thirty"}, ".time_value", ("'thirty'", "whole number")),
    ("window a fraction", {**PERFORMED, "time_value": 1.5}, ".time_value", ("1.5", "whole number")),
    ("window too long", {**PERFORMED, "time_value": 731}, ".time_value", ("731d", "730d")),
    ("count of nothing", {**MULTIPLE, "operator_value": 0}, ".operator_value", ("0", "above 0")),
    ("count too large", {**MULTIPLE, "operator_value": 1001}, "", ("n: 1001 is too large", "at most 1000")),
    ("count operator", {**MULTIPLE, "operator": "about"}, ".operator", ("'about'", "gte, gt")),
    ("regularly not gte", {**REGULARLY, "operator": "lte"}, ".operator", ("'lte'", "use gte")),
    ("regularly exchanged", {**REGULARLY, "min_periods": 3}, ".min_periods", ("3", "total_periods, 2", "lower")),
    ("regularly too long", {**REGULARLY, "total_periods": 25}, "", ("25 periods of 30d", "730d")),
    ("stopped exchanged", {**STOPPED, "seq_time_value": 30}, ".seq_time_value", ("30d", "shorten")),
    ("sequence without", {**STOPPED, "value": "performed_event_sequence"}, ".seq_event", ("required", "an event or")),
    ("stopped without", {**STOPPED, "seq_time_value": None}, ".seq_time_value", ("required",)),
    ("explicit no time", {**PERFORMED, "explicit_datetime": "lately"}, ".explicit_datetime", ("'lately'", "ISO 8601")),
    ("end alone", {**PERFORMED, "explicit_datetime_to": "2026-01-12"}, ".explicit_datetime_to", ("beginning",)),
    (
        "end of a rolling window",
        {**PERFORMED, "explicit_datetime": "-30d", "explicit_datetime_to": "-7d"},
        ".explicit_datetime_to",
        ("ends now", "fixed times"),
    ),
    (
        "ends exchanged",
        {**PERFORMED, "explicit_datetime": "2026-02-01", "explicit_datetime_to": "2026-01-01"},
        ".explicit_datetime_to",
        ("2026-01-01", "2026-02-01", "exchange"),
    ),
    ("unknown action", {**PERFORMED, "event_type": "actions", "key": 9}, ".key", ("'9'", "under actions")),
    ("action by selector", {**PERFORMED, "event_type": "actions", "key": 5}, ".key", ("actions[0].steps[0].selector",)),
    ("action without steps", {**PERFORMED, "event_type": "actions", "key": 6}, ".key", ("no steps", "add a step")),
    ("negation a word", {**PERFORMED, "negation": "yes"}, ".negation", ("'yes'", "true nor false")),
    ("filter unknown", filtered(operator="like", value="x"), ".event_filters[0].operator", ("'like'", "icontains")),
    ("filter of a person", filtered(type="person", value=1), ".event_filters[0].type", ("'person'", "type event")),
    ("filter without value", filtered(operator="gt"), ".event_filters[0].value", ("gt needs a value", "is_set")),
    ("filter no number", filtered(operator="gt", value="x"), ".event_filters[0].value", ("'x'", "one number")),
    ("filter open", filtered(operator="regex", value="(a"), ".event_filters[0].value", ("RE2", "missing )")),
    ("filter relative", filtered(operator="is_date_after", value="-7d"), "", ("where[0]", "'-7d'", "fixed date")),
    ("filters no list", {**PERFORMED, "event_filters": {"a": 1}}, ".event_filters", ("a mapping", "[...]")),
    ("group negated", {"type": "AND", "values": [PERFORMED], "negation": True}, ".negation", ("one by one",)),
    ("group empty", {"type": "OR", "values": []}, ".values", ("no conditions", "add one")),
    ("group of another type", {"type": "XOR", "values": [PERFORMED]}, ".type", ("'XOR'", "AND, OR")),
    ("leaf no object", {"type": "OR", "values": ["buy"]}, ".values[0]", ("'buy'", "object")),
    ("cohort of no id", {"type": "cohort", "key": "id", "value": None}, ".value", ("'None'", "cohort's id")),
    ("cohorts several", {"type": "cohort", "key": "id", "value": [1, 2]}, ".value", ("[1, 2]", "one cohort's id")),
    ("metadata unknown", {"type": "person_metadata", "key": "age", "value": 1}, ".key", ("'age'", "created_at")),
    ("person unknown", {"type": "person", "key": "p", "operator": "~", "value": 1}, ".operator", ("'~'", "icontains")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("leaf", "below", "parts"), [pytest.param(leaf, below, parts, id=name) for name, leaf, below, parts in LEAVES]
)
def test_a_wrong_leaf_is_refused_with_its_path_the_value_and_a_way_out(
    leaf: dict[str, Any], below: str, parts: tuple[str, ...]
) -> None:
    told = refusal_of({"cohorts": [cohort_of(leaf)], "actions": SELECTED})
    place, _, problem = told.partition(": ")[2].partition(": ")
    assert place == LEAF + below
    assert [part for part in parts if part not in problem] == [], told
    assert len(told) < 500


FILES: list[tuple[str, Any, str, tuple[str, ...]]] = [
    ("no id", {"filters": {"properties": {"type": "AND", "values": [PERFORMED]}}}, "id", ("None", "give the cohort")),
    ("no conditions", {"id": 7, "filters": {}, "groups": []}, "filters", ("no conditions", "is_static")),
    ("static without members", {"id": 7, "is_static": True}, "members", ("members: [person ids]",)),
    ("member no id", {"id": 7, "is_static": True, "members": [True]}, "members[0]", ("'True'", "person's id")),
    ("query", {"id": 7, "query": {"kind": "ActorsQuery"}}, "query", ("filters",)),
    ("legacy empty", {"id": 7, "groups": [{"days": 3}]}, "groups[0]", ("event_id",)),
    ("page of several", {"next": "http://x", "results": [cohort_of(PERFORMED)]}, "next", ("one page", "limit")),
    ("time zone", {"cohorts": [cohort_of(PERFORMED)], "team": {"timezone": "Mars"}}, "team.timezone", ("'Mars'",)),
    ("no item", {"results": [{"a": 1}]}, "results[0]", ("no cohort, action or flag",)),
    (
        "test accounts",
        {"cohorts": [{**cohort_of(PERFORMED), "filters": {"properties": PERFORMED, "filterTestAccounts": True}}]},
        "cohorts[0].filters.filterTestAccounts",
        ("did not come along", "test_account_filters"),
    ),
    ("key", {**cohort_of(PERFORMED), "id": "Not A Slug"}, "key", ("'Not A Slug'",)),
    ("twice", [cohort_of(PERFORMED), cohort_of(PERFORMED)], "[1]", ("'7'", "keep one of the two")),
]


@pytest.mark.parametrize(
    ("value", "path", "parts"), [pytest.param(value, path, parts, id=name) for name, value, path, parts in FILES]
)
def test_a_wrong_file_is_refused_with_its_path_and_a_way_out(value: Any, path: str, parts: tuple[str, ...]) -> None:
    told = refusal_of(value)
    assert f": {path}: " in told
    assert [part for part in parts if part not in told] == [], told


def refusal_of(value: Any) -> str:
    with pytest.raises(BadDefinition) as refused:
        read(value)
    assert str(refused.value).startswith("0.json:")
    return str(refused.value)
