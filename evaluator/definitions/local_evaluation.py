"""What an SDK gets to decide flags by itself: a team's flags in PostHog's JSON, and cohorts that it can judge. Pure.

An SDK asks `/flags` for each flag that it cannot decide. Two things here make it do so:

* **A cohort that only the server knows** stays in its flag's conditions and is left out of `cohorts`; an SDK that
  meets a cohort it was not told of asks. A cohort is told only where an SDK's rules come to the same as the
  cohort's: all of its conditions are about the person's properties, no operator is one for which SDKs fold case and
  cohorts do not, and no flag asks it by `not_in`, which SDKs of the old endpoint overlook.
* **A flag that an SDK is known to misjudge** is *held back*: it is told without its conditions, and as one whose
  answers must not change with a person's login (`ensure_experience_continuity`), which SDKs never decide themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Any

import msgspec

from cohort_store.errors import BadDefinition
from cohort_store.flags import DEVICE_ID, parse_flag, payload_text, plain_flag
from cohort_store.registry import Cohort, TeamRegistry

PROPERTY_MATCHING_VERSION = 2
"""To SDKs that know several: `exact` compares texts, and `true` is a text like others."""

_NUMERIC = frozenset({"gt", "gte", "lt", "lte"})
_FOLDING = frozenset({"icontains", "not_icontains"})
_EQUAL = frozenset({"exact", "is_not"})

CHAIN_MAX = 50
"""Flags that a flag depends on through others; beyond, SDKs ask."""

Plain = dict[str, Any]


class Reader(StrEnum):
    """Who reads the document, by what it is known to misjudge."""

    CURRENT = "current"
    """The SDKs that ask `/flags/definitions`."""
    WHOLE = "whole"
    """The SDKs that ask the older path: they read whole percentages only, and know nothing of newer features."""
    GO = "go"
    """posthog-go 1: like these, and it lets everybody who passes a condition's properties through its rollout."""


class LocalDefinitions(msgspec.Struct, frozen=True):
    """PostHog's answer for local evaluation."""

    flags: list[Plain]
    """Every flag, also those that an SDK must ask for."""
    group_type_mapping: dict[str, str]
    """The number of each group type, with its name."""
    cohorts: dict[str, Plain]
    """By what flags call them; empty unless `send_cohorts` asks for them."""
    property_matching_version: int = PROPERTY_MATCHING_VERSION


class Document(msgspec.Struct, frozen=True):
    """The answer as bytes, with a weak entity tag that changes with them."""

    body: bytes
    etag: str


_encoder = msgspec.json.Encoder(order="deterministic")


def document_of(team: TeamRegistry, *, with_cohorts: bool, reader: Reader) -> Document:
    """The team's document. Flags that this version cannot read are left out."""
    body = _encoder.encode(definitions_of(team, with_cohorts=with_cohorts, reader=reader))
    return Document(body, f'W/"{sha256(body).hexdigest()[:32]}"')


def definitions_of(team: TeamRegistry, *, with_cohorts: bool, reader: Reader) -> LocalDefinitions:
    """The same, not encoded."""
    flags = [_spelled_out(flag) for flag in _readable(team.flags)]
    names = {str(flag["id"]): flag["key"] for flag in flags} | {flag["key"]: flag["key"] for flag in flags}
    dependencies = [asked for flag in flags for asked in _properties(flag) if asked["type"] == "flag"]
    for asked in dependencies:
        asked["key"] = names.get(asked["key"], asked["key"])
    chains = _chains(flags)
    for asked in dependencies:
        asked["dependency_chain"] = chains.get(asked["key"], [])
    return LocalDefinitions(
        flags=[_held_back(flag) if _is_misjudged(flag, reader) else flag for flag in flags],
        group_type_mapping={str(index): name for name, index in team.group_types.items()},
        cohorts=_cohorts(team.cohorts, flags) if with_cohorts else {},
    )


def _readable(flags: Iterable[Any]) -> Iterator[Plain]:
    for raw in flags:
        try:
            yield plain_flag(parse_flag(raw))
        except BadDefinition:
            continue


_FLAG: Plain = {"id": 0, "name": "", "version": 1, "active": True, "ensure_experience_continuity": False}
_FILTERS: Plain = {"groups": (), "multivariate": None, "payloads": {}}
_CONDITION: Plain = {"properties": (), "rollout_percentage": None, "variant": None}
"""What SDKs read without asking whether it is there, with what it is where an author says nothing."""


def _spelled_out(flag: Plain) -> Plain:
    """A flag with every field that SDKs count on, and none of Muster's own."""
    filters = _FILTERS | flag.get("filters", {})
    filters["payloads"] = {key: payload_text(payload) for key, payload in filters["payloads"].items()}
    filters["groups"] = [_condition(_CONDITION | group) for group in filters["groups"]]
    for variant in (filters["multivariate"] or {}).get("variants", ()):
        variant["rollout_percentage"] = _whole(variant["rollout_percentage"])
    whole = _FLAG | flag | {"filters": filters}
    return {name: value for name, value in whole.items() if name not in ("muster", "team_id")}


def _condition(group: Plain) -> Plain:
    properties = [_property({"type": "person"} | asked) for asked in group["properties"]]
    return group | {"rollout_percentage": _whole(group["rollout_percentage"]), "properties": properties}


def _property(asked: Plain) -> Plain:
    """A condition's property, in the one form that every SDK reads."""
    operator = asked.get("operator")
    if asked["type"] != "cohort":
        return asked | {"operator": operator or "exact"}
    value = asked["value"]
    operator = "not_in" if operator == "not_in" else "in"
    return asked | {"operator": operator, "value": value[0] if isinstance(value, list) else value}


def _whole(percentage: float | None) -> float | None:
    """A whole number as one: some SDKs read nothing of a document in which 50 is written as 50.0."""
    return int(percentage) if percentage is not None and percentage == int(percentage) else percentage


def _variants(flag: Plain) -> Sequence[Plain]:
    found: Sequence[Plain] = (flag["filters"]["multivariate"] or {}).get("variants", ())
    return found


def _properties(flag: Plain) -> Iterator[Plain]:
    for group in flag["filters"]["groups"]:
        yield from group["properties"]


def _is_misjudged(flag: Plain, reader: Reader) -> bool:
    filters = flag["filters"]
    if filters.get("super_groups") or filters.get("feature_enrollment"):
        return True
    if any(_mixes(group, filters.get("aggregation_group_type_index")) for group in filters["groups"]):
        return True
    if reader is Reader.CURRENT:
        return False
    shares = [each["rollout_percentage"] for each in (*filters["groups"], *_variants(flag))]
    if any(isinstance(share, float) for share in shares):
        return True
    if filters.get("holdout") or filters.get("early_exit") or DEVICE_ID in _buckets(flag):
        return True
    if any(group.get("aggregation_group_type_index") is not None for group in filters["groups"]):
        return True
    return reader is Reader.GO and any(
        group["properties"] and group["rollout_percentage"] not in (None, 100) for group in filters["groups"]
    )


def _buckets(flag: Plain) -> tuple[str | None, str | None]:
    return flag.get("bucketing_identifier"), flag["filters"].get("bucketing_identifier")


def _mixes(group: Plain, of_flag: int | None) -> bool:
    """Whether a set tests something else than whom it is about: SDKs look for all of it in one place."""
    about = group.get("aggregation_group_type_index", of_flag)
    if about is None:
        return any(asked["type"] == "group" for asked in group["properties"])
    return any(
        asked["type"] in ("person", "cohort") or asked.get("group_type_index", about) != about
        for asked in group["properties"]
    )


def _held_back(flag: Plain) -> Plain:
    filters: Plain = {"groups": [], "multivariate": None, "payloads": {}}
    return flag | {"filters": filters, "ensure_experience_continuity": True}


def _chains(flags: Iterable[Plain]) -> dict[str, list[str]]:
    """For each flag those that it depends on, each behind its own, and itself last; [] where they go in a circle."""
    needed = {
        flag["key"]: [str(asked["key"]) for asked in _properties(flag) if asked.get("type") == "flag"] for flag in flags
    }
    chains: dict[str, list[str]] = {}

    def chain(key: str, above: tuple[str, ...]) -> list[str]:
        if key in above or len(above) >= CHAIN_MAX:
            return []
        if key not in chains:
            parts = [chain(other, (*above, key)) for other in needed.get(key, ())]
            names = dict.fromkeys([*(name for part in parts for name in part), key])
            chains[key] = list(names) if all(parts) and len(names) <= CHAIN_MAX else []
        return chains[key]

    return {key: chain(key, ()) for key in needed}


def _cohorts(cohorts: Sequence[Cohort], flags: Iterable[Plain]) -> dict[str, Plain]:
    """The cohorts that flags name and an SDK can judge."""
    asked = [each for flag in flags for each in _properties(flag) if each["type"] == "cohort"]
    unsent = {str(each["value"]) for each in asked if each["operator"] == "not_in"}
    named = {str(cohort.id): cohort for cohort in cohorts} | {cohort.key: cohort for cohort in cohorts}
    found: dict[str, Plain] = {}
    for name in sorted({str(each["value"]) for each in asked} - unsent):
        active = named[name].active if name in named else None
        group = _group(active.when, negated=False) if active else None
        if group is not None:
            found[name] = group
    return found


def _group(node: Mapping[str, Any], *, negated: bool) -> Plain | None:
    """A tree as PostHog's property group; None where an SDK cannot judge it. A `not` is moved down to the leaves.

    A group holds groups only, or leaves only: one SDK takes all to be what the first is.
    """
    if "not" in node:
        return _group(node["not"], negated=not negated)
    children = node.get("all") or node.get("any")
    if children is None:
        leaf = _leaf(node, negated=negated)
        return None if leaf is None else {"type": "AND", "values": [leaf]}
    groups = [_group(child, negated=negated) for child in children]
    if None in groups:
        return None
    return {"type": "AND" if ("all" in node) is not negated else "OR", "values": groups}


def _leaf(node: Mapping[str, Any], *, negated: bool) -> Plain | None:
    operator, value = node.get("op", "exact"), node.get("value")
    if node.get("kind") != "person_property" or not _means_the_same(operator, value):
        return None
    return {"key": node["property"], "type": "person", "operator": operator, "value": value, "negation": negated}


def _means_the_same(operator: str, value: Any) -> bool:
    """Whether SDKs and cohorts judge alike; SDKs fold case throughout."""
    if operator in _NUMERIC:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if operator in _FOLDING:
        return isinstance(value, str) and value.isascii()
    values = value if isinstance(value, (list, tuple)) else [value]
    return operator in _EQUAL and all(not isinstance(each, str) or each.lower() == each.upper() for each in values)
