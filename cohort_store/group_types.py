"""How a team names its group types: `group_types: {company: 0, project: 1}` in a definitions file.

PostHog numbers a team's group types 0 to 4; flags tell them by number, requests by name. What PostHog's local
evaluation calls `group_type_mapping` (`{"0": "company"}`) means the same, and is accepted in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cohort_store.errors import BadDefinition
from cohort_store.findings import shown
from cohort_store.flag_conditions import GROUP_TYPE_MAX

NAME_CHARS_MAX = 400

GroupTypes = Mapping[str, int]
"""A team's group types by name, each with its number."""


def parse_group_types(raw: Any, path: str) -> dict[str, int]:
    """`{name: number}`. Raises BadDefinition, with path, value, limit and remedy."""
    if not isinstance(raw, Mapping):
        raise BadDefinition(path, f"{shown(raw)} where names with numbers are wanted; write {{company: 0, project: 1}}")
    found: dict[str, int] = {}
    for name, index in raw.items():
        if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARS_MAX:
            raise BadDefinition(path, f"{shown(name)} is no name; write a text of 1 to {NAME_CHARS_MAX} characters")
        if type(index) is not int or not 0 <= index <= GROUP_TYPE_MAX:
            raise BadDefinition(
                f"{path}.{name}", f"{shown(index)} is no group type's number; write 0 to {GROUP_TYPE_MAX}"
            )
        found[name] = index
    return found


def parse_mapping(raw: Any, path: str) -> dict[str, int]:
    """PostHog's `{"0": name}`. Raises BadDefinition."""
    if not isinstance(raw, Mapping):
        raise BadDefinition(path, f'{shown(raw)} where numbers with names are wanted; write {{"0": "company"}}')
    numbers = {str(index): index for index in range(GROUP_TYPE_MAX + 1)}
    for index in raw:
        if str(index) not in numbers:
            raise BadDefinition(path, f"{shown(index)} is no group type's number; write 0 to {GROUP_TYPE_MAX}")
    if len(set(map(str, raw.values()))) < len(raw):
        raise BadDefinition(path, "one name stands for two group types; give each a name of its own")
    return parse_group_types({name: numbers[str(index)] for index, name in raw.items()}, path)


def twice_numbered(types: GroupTypes) -> tuple[str, str] | None:
    """Two names for one number; None where there are none."""
    seen: dict[int, str] = {}
    for name, index in types.items():
        if index in seen:
            return seen[index], name
        seen[index] = name
    return None
