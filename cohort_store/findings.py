"""What pydantic finds wrong in a definition, as a path and a sentence for its author."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any

from pydantic import ValidationError

_BRANCHES = ("all", "any", "not")

_SENTENCES = {
    "missing": "this is required; add it",
    "extra_forbidden": "this key is not known here; remove it or check its spelling",
    "invalid_key": "{value} is no key; keys are texts",
    "string_type": "{value} is no text; write one, in quotes if need be",
    "string_unicode": "not valid Unicode; remove the lone surrogate",
    "string_too_short": "{length} characters; at least {min_length}: write something",
    "string_too_long": "{length} characters; at most {max_length}: shorten it",
    "string_pattern_mismatch": "{value} does not match {pattern}; rename it",
    "int_type": "{value} is no whole number; write one, without quotes",
    "bool_type": "{value} is neither true nor false; write one of the two",
    "greater_than_equal": "{value} is too small; at least {ge}",
    "less_than_equal": "{value} is too large; at most {le}",
    "literal_error": "{value} is not known; use {expected}",
    "too_short": "{length} of them; at least {min_length}: add one",
    "too_long": "{length} of them; at most {max_length}: remove some, or split it",
    "tuple_type": "{value} is no list; write [...]",
    "model_type": "{value} is no mapping; write {{key: value, ...}}",
}
"""By pydantic's type of error: the value, the limit and the remedy."""


def first_finding(error: ValidationError, path: str, tags: frozenset[str]) -> tuple[str, str]:
    """Path and sentence of the first finding. `tags` are the words by which pydantic told the forms of a node apart."""
    found = error.errors(include_url=False)[0]
    value = found.get("input")
    if found["type"] in ("union_tag_not_found", "union_tag_invalid"):
        kind = value.get("kind") if isinstance(value, Mapping) else value
        sentence = f"{shown(kind)} is no condition; write all, any, not, or a kind out of {', '.join(sorted(tags))}"
    elif found["type"] in _SENTENCES:
        length = len(value) if isinstance(value, Sized) else 0
        sentence = _SENTENCES[found["type"]].format(**found.get("ctx", {}), value=shown(value), length=length)
    else:
        sentence = found["msg"].removeprefix("Value error, ")
    return _path(found["loc"], path, tags), sentence


def shown(value: Any) -> str:
    """A value for a message: short, whatever it is."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of more than 64 bits"
    text = "null" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _path(steps: tuple[str | int, ...], path: str, tags: frozenset[str]) -> str:
    """The steps as an author would write them: pydantic puts the tag of each node before the node's own fields."""
    at_node = False
    field: str | int = ""
    for step in steps:
        if at_node and (step in _BRANCHES or step in tags):
            at_node = False
            continue
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
        at_node = step in ("when", "not") or (isinstance(step, int) and field in ("all", "any"))
        field = step
    return path.removesuffix(".[key]")
