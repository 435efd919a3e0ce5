"""Which properties of persons are kept: those that cohorts' conditions name, and those that flags test.

Read from definitions as the registry has them, as plain JSON, and only as deep as the names lie: whatever else a flag
says, its properties are found. A flag that is off counts too, so that turning it on finds its properties known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cohort_store.records import FORGOTTEN, RESERVED_PREFIX
from cohort_store.registry import TeamRegistry

FLAG_PROPERTIES_MAX = 100
"""Names a team that are kept for its flags alone; of more, those that most flags test. A request must bring the rest.

Not refused, as a cohort's would be: a flag answers without what is kept, as long as requests bring it.
"""

ENROLLMENT_PREFIX = "$feature_enrollment/"
"""Of the property that says whether somebody takes part in a flag's early access; the flag's key follows."""

_PERSON_PROPERTY = "person_property"
_SETS = ("groups", "super_groups", "holdout_groups")


def kept_of(team: TeamRegistry) -> frozenset[str]:
    """The properties that are kept of a team's persons: `TeamPlan.person_properties`, without compiling anything."""
    alive = (*team.cohorts, *team.retired)
    read = frozenset(name for cohort in alive for version in cohort.versions for name in _read_by(version.when))
    return read | kept_for(team.flags, read)


def kept_for(flags: Iterable[Any], already: frozenset[str] = frozenset()) -> frozenset[str]:
    """The properties to keep for a team's flags, beside those that are kept `already`."""
    tested = Counter(name for flag in flags for name in tested_by(flag) if name not in already)
    by_use = sorted(tested, key=lambda name: (-tested[name], name))
    return frozenset(by_use[:FLAG_PROPERTIES_MAX])


def tested_by(flag: Any) -> frozenset[str]:
    """The properties of persons that one flag tests, as far as they can be kept."""
    return frozenset(name for name in _named(flag) if name and not _is_reserved(name))


def _named(flag: Any) -> Iterator[str]:
    filters = _object(_object(flag).get("filters"))
    for sets in _SETS:
        for each in _list(filters.get(sets)):
            for test in map(_object, _list(_object(each).get("properties"))):
                if test.get("type", "person") == "person" and isinstance(test.get("key"), str):
                    yield test["key"]
    if filters.get("feature_enrollment"):
        yield f"{ENROLLMENT_PREFIX}{_object(flag).get('key')}"


def _read_by(when: Mapping[str, Any]) -> Iterator[str]:
    """The properties that a resolved tree names."""
    if when.get("kind") == _PERSON_PROPERTY:
        yield when["property"]
    children = [when["not"]] if "not" in when else when.get("all") or when.get("any") or ()
    for child in children:
        yield from _read_by(child)


def _is_reserved(name: str) -> bool:
    return name == FORGOTTEN or name.startswith(RESERVED_PREFIX)


def _object(raw: Any) -> Mapping[str, Any]:
    return raw if isinstance(raw, Mapping) else {}


def _list(raw: Any) -> Iterable[Any]:
    return raw if isinstance(raw, (list, tuple)) else ()
