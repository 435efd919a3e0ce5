"""References between cohorts: `in_cohort` is replaced by the tree of the cohort that it names.

So both flip together, and nobody needs the other one's membership. Trees are resolved from the referenced
cohorts upward, each once, and refused as soon as one passes the bounds: the size of the work is that of the
definitions, however often they refer to each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

from cohort_store.definitions import CohortDefinition, to_plain
from cohort_store.errors import BadDefinition

RESOLVED_CONDITIONS_MAX = 1_000
RESOLVED_DEPTH_MAX = 60


class _Resolved(NamedTuple):
    """A tree without references, as plain JSON; its parts are shared with the trees that it was made from."""

    when: dict[str, Any]
    conditions: int
    depth: int


def resolve_all(known: Mapping[str, CohortDefinition]) -> dict[str, dict[str, Any]]:
    """The tree of each cohort with every reference followed, as plain JSON, in the order of `known`.

    Raises BadDefinition, its path the cohort's key, for a reference to nobody, for a circle, and for a tree beyond
    the bounds.
    """
    written = {key: to_plain(cohort)["when"] for key, cohort in known.items()}
    done: dict[str, _Resolved] = {}
    for key in _from_below(written):
        resolved = done[key] = _inline(written[key], done)
        if resolved.conditions > RESOLVED_CONDITIONS_MAX:
            problem = f"{resolved.conditions} conditions once its references are followed; at most"
            raise BadDefinition(key, f"{problem} {RESOLVED_CONDITIONS_MAX}: refer to fewer or smaller cohorts")
        if resolved.depth > RESOLVED_DEPTH_MAX:
            problem = f"{resolved.depth} levels of conditions once its references are followed; at most"
            raise BadDefinition(key, f"{problem} {RESOLVED_DEPTH_MAX}: refer to flatter cohorts")
    return {key: done[key].when for key in known}


def references_of(when: Mapping[str, Any]) -> Iterator[str]:
    """The keys that a tree, as plain JSON, refers to; from left to right, repetitions included."""
    for child in _children_of(when):
        yield from references_of(child)
    if when.get("kind") == "in_cohort":
        yield when["cohort"]


def _from_below(written: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The keys, each behind those that it refers to."""
    references = {key: tuple(references_of(when)) for key, when in written.items()}
    for key, named in references.items():
        nobody = next((name for name in named if name not in written), None)
        if nobody is not None:
            raise BadDefinition(
                key, f"refers to cohort {nobody!r}, which this team does not define; apply it first or together"
            )
    try:
        return list(TopologicalSorter(references).static_order())
    except CycleError as error:
        circle = error.args[1][::-1]
        problem = f"refers to itself through {' → '.join(circle)}; break the circle"
        raise BadDefinition(circle[0], problem) from None


def _inline(node: dict[str, Any], done: Mapping[str, _Resolved]) -> _Resolved:
    if node.get("kind") == "in_cohort":
        return done[node["cohort"]]
    children = [_inline(child, done) for child in _children_of(node)]
    if not children:
        return _Resolved(node, 1, 1)
    word = next(iter(node))
    when = {word: children[0].when if word == "not" else [child.when for child in children]}
    return _Resolved(when, sum(c.conditions for c in children), 1 + max(c.depth for c in children))


def _children_of(node: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "not" in node:
        return [node["not"]]
    children: list[dict[str, Any]] = node.get("all") or node.get("any") or []
    return children
