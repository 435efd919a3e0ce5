"""One cohort of PostHog's as a plain cohort of Muster's: the tree, static lists, test accounts, the legacy groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cohort_store.definitions import parse_cohort
from cohort_store.errors import BadDefinition
from cohort_store.posthog.behaviors import Surroundings, behavior
from cohort_store.posthog.places import Place
from cohort_store.posthog.properties import BOOKS, property_test

COHORT_BOOKS = (
    *("count", "created_at", "created_by", "deleted", "errors_calculating", "experiment_set", "is_calculating"),
    *("last_calculation", "last_error_at", "last_error_message", "version", "pending_version", "cohort_type"),
    *("user_access_level", "last_backfill_person_properties_at", "realtime", "_create_in_folder", "condition_type"),
)
"""Keys that PostHog keeps for itself; nothing is said of them."""

_KEYS = ("id", "name", "description", "filters", "groups", "is_static", "members", "query", "team_id", *COHORT_BOOKS)
_FILTERS_KEYS = ("properties", "filterTestAccounts", "filter_test_accounts")
_GROUP_KEYS = ("type", "values", "id", *BOOKS)
_LEGACY_KEYS = ("properties", "action_id", "event_id", "days", "count", "count_operator", "label", "id", "name")
_LEGACY_BOOKS = ("start_date", "end_date", "groupType", "sort_key")
_LEGACY_DAYS = 365
_COHORT_TYPES = ("cohort", "precalculated-cohort", "static-cohort", "dynamic-cohort")
_WINDOW_NOTE = (
    "windows are exact to the millisecond here, where PostHog counts whole days of the team's zone "
    "(a month is 30 days, a year 365)"
)


@dataclass(frozen=True, slots=True)
class Team:
    """What came along of the team that the cohorts belong to."""

    around: Surroundings
    test_accounts: tuple[Place, ...] | None = None
    """None: its test-account filters did not come along."""


def translate_cohort(place: Place, team: Team) -> dict[str, Any]:
    """The cohort, plain: its id as text is the key. Raises BadDefinition."""
    place.leave_out(_KEYS)
    plain: dict[str, Any] = {"key": _key(place)}
    for key in ("name", "description"):
        if place.has(key):
            plain[key] = str(place.get(key))
    if place.has("team_id"):
        plain["team"] = place.get("team_id")
    if place.flag("is_static"):
        return {**plain, "members": _members(place)}
    if place.has("members"):
        place.note("members", "left out: the cohort is not static, its members follow from its filters")
    if place.has("query"):
        place.refuse("query", "a cohort made by a query cannot be taken along; write its conditions as filters")
    when = _whole(place, team)
    if _rolls(when):
        place.note("", _WINDOW_NOTE)
    return {**plain, "when": when}


def _key(place: Place) -> str:
    value = place.get("id")
    if isinstance(value, bool) or not isinstance(value, (int, str)) or value == "":
        place.refuse("id", f"{str(value)[:40]!r} is no id; give the cohort the one by which others name it")
    return str(value)


def _members(place: Place) -> list[str]:
    found = place.get("members")
    if not isinstance(found, list):
        place.refuse("members", "the members of a static cohort did not come along; add them: members: [person ids]")
    return [_member(place, f"members[{index}]", each) for index, each in enumerate(found)]


def _member(place: Place, key: str, raw: Any) -> str:
    """A person's id, alone or in a person of PostHog's."""
    value = raw
    if isinstance(raw, Mapping):
        value = next((raw[name] for name in ("person_id", "uuid", "id") if raw.get(name)), None)
    if isinstance(value, bool) or not isinstance(value, (int, str)) or value == "":
        place.refuse(key, f"{str(raw)[:40]!r} is no person; write a person's id")
    return str(value)


def _whole(place: Place, team: Team) -> dict[str, Any]:
    """The cohort's tree, with what leaves test accounts out."""
    if not place.has("filters"):
        return _legacy(place, team)
    filters = place.child("filters")
    filters.leave_out(_FILTERS_KEYS)
    if isinstance(filters.get("properties"), list):
        when = _joined("all", [_node(each, team) for each in filters.children("properties")], filters, "properties")
    else:
        when = _node(filters.child("properties"), team)
    if filters.flag("filterTestAccounts") or filters.flag("filter_test_accounts"):
        return {"all": [when, *_without_test_accounts(filters, team)]}
    return when


def _node(place: Place, team: Team) -> dict[str, Any]:
    """A group or a leaf."""
    if "values" in place.raw or place.get("type") in ("AND", "OR"):
        return _group(place, team)
    return _leaf(place, team)


def _group(place: Place, team: Team) -> dict[str, Any]:
    word = {"AND": "all", "OR": "any"}[place.one_of("type", ("AND", "OR"))]
    if place.flag("negation"):
        place.refuse("negation", "a group is not negated in PostHog; negate its conditions one by one")
    place.leave_out((*_GROUP_KEYS, "negation"))
    return _joined(word, [_node(each, team) for each in place.children("values")], place, "values")


def _joined(word: str, nodes: list[dict[str, Any]], place: Place, key: str) -> dict[str, Any]:
    if not nodes:
        place.refuse(key, "no conditions; add one, since everybody would be in the cohort")
    return nodes[0] if len(nodes) == 1 else {word: nodes}


def _leaf(place: Place, team: Team) -> dict[str, Any]:
    """One condition, checked as Muster checks it, so that what it refuses is named where PostHog has it."""
    kind = place.one_of("type", ("behavioral", "person", "person_metadata", *_COHORT_TYPES))
    if kind == "behavioral":
        made = behavior(place, team.around)
    elif kind in _COHORT_TYPES:
        made = _cohort(place)
    else:
        made = _person(place, kind)
    try:
        parse_cohort({"key": "x", "when": made})
    except BadDefinition as error:
        field = error.path.removeprefix("when").lstrip(".")
        raise BadDefinition(place.path, f"{field}: {error.problem}" if field else error.problem) from None
    return {"not": made} if place.flag("negation") else made


def _person(place: Place, kind: str) -> dict[str, Any]:
    if kind == "person_metadata" and place.get("key") != "created_at":
        place.refuse("key", f"{str(place.get('key'))[:40]!r} of a person's metadata is not known here; use created_at")
    return {"kind": "person_property", **property_test(place)}


def _cohort(place: Place) -> dict[str, Any]:
    place.leave_out(("key", "value", "type", "operator", "negation", *BOOKS))
    value = place.get("value")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, (int, str)) or value == "":
        place.refuse("value", f"{str(value)[:40]!r} is no cohort; give one cohort's id")
    asked = {"kind": "in_cohort", "cohort": str(value)}
    return {"not": asked} if place.one_of("operator", ("in", "not_in", "exact"), default="in") == "not_in" else asked


def _without_test_accounts(filters: Place, team: Team) -> list[dict[str, Any]]:
    """The team's filters that are about persons: each passes for whoever is no test account."""
    if team.test_accounts is None:
        filters.refuse(
            "filterTestAccounts",
            "the team's test-account filters did not come along; add team: {test_account_filters: [...]}",
        )
    wanted = []
    for place in team.test_accounts:
        if place.get("type") == "person":
            try:
                wanted.append(_leaf(Place(place.raw, place.path, filters.notes), team))
            except BadDefinition as error:
                filters.refuse("filterTestAccounts", f"a filter of the team cannot be taken along: {error}")
        else:
            filters.note("filterTestAccounts", f"{place.path} is not about persons, and is left out, as in PostHog")
    return wanted


def _legacy(place: Place, team: Team) -> dict[str, Any]:
    """The form before `filters`: a list of groups, one of which is enough."""
    nodes = [_legacy_group(group, team) for group in place.children("groups")]
    if not nodes:
        place.refuse("filters", "no conditions; add filters: {properties: ...}, or is_static and members")
    return nodes[0] if len(nodes) == 1 else {"any": nodes}


def _legacy_group(place: Place, team: Team) -> dict[str, Any]:
    place.leave_out((*_LEGACY_KEYS, *_LEGACY_BOOKS))
    for key in _LEGACY_BOOKS[:2]:
        if place.has(key):
            place.note(key, "left out, as in PostHog, which reads only days of a legacy group")
    if place.has("properties"):
        return _legacy_properties(place, team)
    is_action = place.has("action_id")
    if not is_action and not place.has("event_id"):
        place.refuse("", "a legacy group has properties, an action_id or an event_id; add one")
    is_counted = place.has("count") and place.get("count") not in (0, "0")
    leaf = {
        "type": "behavioral",
        "value": "performed_event_multiple" if is_counted else "performed_event",
        "key": place.get("action_id" if is_action else "event_id"),
        "event_type": "actions" if is_action else "events",
        "time_value": place.get("days") or _LEGACY_DAYS,
        "time_interval": "day",
        **({"operator": place.get("count_operator"), "operator_value": place.get("count")} if is_counted else {}),
    }
    return _leaf(Place(leaf, place.path, place.notes), team)


def _legacy_properties(place: Place, team: Team) -> dict[str, Any]:
    """A list of filters, a tree, or `{name: value}`; where a filter has no type, or event, a person's is meant."""
    found = place.get("properties")
    if isinstance(found, Mapping) and "values" in found:
        return _node(place.child("properties"), team)
    if isinstance(found, Mapping):
        inner = place.child("properties")
        leaves = [Place({"key": key, "value": value}, inner.at(key), place.notes) for key, value in found.items()]
    else:
        leaves = place.children("properties")
    nodes = [_leaf(each if each.get("type") not in (None, "event") else _of_person(each), team) for each in leaves]
    return _joined("all", nodes, place, "properties")


def _of_person(place: Place) -> Place:
    return Place({**place.raw, "type": "person"}, place.path, place.notes)


def _rolls(node: Any) -> bool:
    """Whether a window of the tree rolls."""
    if isinstance(node, Mapping):
        return "within" in node or "period" in node or any(map(_rolls, node.values()))
    return isinstance(node, list) and any(map(_rolls, node))
