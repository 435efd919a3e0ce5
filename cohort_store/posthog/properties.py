"""PostHog's property filters, turned into property tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from cohort_store.errors import BadDefinition
from cohort_store.operators import OPERATORS
from cohort_store.posthog.dates import relative_date
from cohort_store.posthog.places import Place
from cohort_store.properties import OPERATORS_SHOWN, PropertyTest

BOOKS = ("label", "cohort_name", "bytecode", "bytecode_error", "conditionHash", "group_key_names", "sourceFilter")
"""Keys of a leaf that PostHog keeps for itself; nothing is said of them."""

_KEYS = ("key", "value", "operator", "type", "negation", *BOOKS)
_SPELLINGS = {
    "icontains_multi": "icontains",
    "not_icontains_multi": "not_icontains",
    "min": "gte",
    "max": "lte",
    "in": "exact",
    "not_in": "is_not",
}
_VALUELESS = ("is_set", "is_not_set")
_VERSION_PARTS = 3


def property_test(place: Place) -> dict[str, Any]:
    """A filter's test, plain, without its `negation`. Raises BadDefinition for what is not known here."""
    place.leave_out(_KEYS)
    key = place.get("key")
    if not isinstance(key, str) or not key:
        place.refuse("key", f"{str(key)[:40]!r} is no property's name; write one")
    op = place.get("operator") or "exact"
    if not isinstance(op, str) or op not in (*OPERATORS, *_SPELLINGS):
        place.refuse("operator", f"{str(op)[:40]!r} is not known here; use {OPERATORS_SHOWN}")
    op = _SPELLINGS.get(op, op)
    plain = {"property": key, "op": op}
    if op not in _VALUELESS:
        plain["value"] = posthog_value(op, place.get("value"))
        if plain["value"] is None:
            place.refuse("value", f"operator {op} needs a value; to ask whether the property is there, use is_set")
    try:
        PropertyTest.model_validate(plain)
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        where = "key" if "property" in found["loc"] else "value"
        raise BadDefinition(place.at(where), found["msg"].removeprefix("Value error, ")) from None
    return plain


def posthog_value(op: str, value: Any) -> Any:
    """A value as it is written here: one alone stands in no list, months have their own unit, versions all parts."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if op.startswith("is_date_"):
        return relative_date(value) or value
    if op.startswith("semver_") and op != "semver_wildcard" and isinstance(value, (str, int, float)):
        return _whole_version(str(value))
    return value


def _whole_version(text: str) -> str:
    """`v1.2` as `1.2.0`: PostHog reads missing parts as 0."""
    version = text.strip().removeprefix("v")
    mark = next((index for index, each in enumerate(version) if each in "-+"), len(version))
    parts = version[:mark].split(".")
    if not all(part.isdigit() for part in parts):
        return text
    return ".".join([*parts, *["0"] * (_VERSION_PARTS - len(parts))]) + version[mark:]


def event_tests(places: Iterable[Place]) -> list[dict[str, Any]]:
    """Filters on the properties of events; those of another type are refused."""
    tests = []
    for place in places:
        kind = place.get("type") or "event"
        if kind != "event":
            place.refuse(
                "type", f"{str(kind)[:40]!r} is no property of an event; use type event, or a condition of its own"
            )
        if place.flag("negation"):
            place.refuse("negation", "a filter of an event is denied by its operator; use is_not or a not_ form")
        tests.append(property_test(place))
    return tests
