"""Cohort definitions as people write them, and what is refused.

A cohort is a key and a tree: leaves are the kinds of `conditions/` and `in_cohort`; inner nodes are
`all`, `any` and `not`, at any depth, alone too. Or it has a list of members in place of the tree, and the tree
is then made of that (`static_lists.py`). `parse_cohort` validates one;
errors carry the path in the definition, the value, the limit and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, TypeAdapter, ValidationError

from cohort_store.conditions import kinds
from cohort_store.conditions.condition import ConditionDefinition
from cohort_store.errors import BadDefinition, Crash
from cohort_store.findings import first_finding
from cohort_store.schema import Model
from cohort_store.static_lists import MEMBERS_MAX, checked_members, tree_of

DEPTH_MAX = 20
LEAVES_MAX = 200
CHILDREN_MAX = 100
COHORTS_MAX = 10_000
NESTING_MAX = 2 * DEPTH_MAX + 8
"""Lists and mappings within each other: a level of the tree takes two, a condition's own parts a few more."""
VALUES_MAX = 250_000

TEAM_MAX = 2**31 - 1

KEY_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,99}$"


class InCohort(Model):
    """Membership in another cohort of the same team: `{kind: in_cohort, cohort: buyers}`."""

    kind: Literal["in_cohort"] = "in_cohort"
    cohort: str = Field(pattern=KEY_PATTERN, description="The other cohort's key.")


class All(Model):
    """Holds when every child does: `{all: [...]}`."""

    all: tuple[Node, ...] = Field(min_length=1, max_length=CHILDREN_MAX)


class AnyOf(Model):
    """Holds when at least one child does: `{any: [...]}`."""

    any: tuple[Node, ...] = Field(min_length=1, max_length=CHILDREN_MAX)


class Not(Model):
    """Holds when its child does not: `{not: {...}}`."""

    child: Node = Field(alias="not")


_BRANCHES = ("all", "any", "not")


def _tag(node: Any) -> str | None:
    """Which form a node has: one of the branches, or the word in its `kind`."""
    if isinstance(node, Mapping):
        kind = node.get("kind")
        return next((word for word in _BRANCHES if word in node), kind if isinstance(kind, str) else None)
    if isinstance(node, Not):
        return "not"
    fields = type(node).model_fields if isinstance(node, Model) else ()
    return next((word for word in _BRANCHES if word in fields), getattr(node, "kind", None))


if TYPE_CHECKING:
    Node: TypeAlias = All | AnyOf | Not | InCohort | ConditionDefinition
else:
    _FORMS = [
        Annotated[All, Tag("all")],
        Annotated[AnyOf, Tag("any")],
        Annotated[Not, Tag("not")],
        Annotated[InCohort, Tag("in_cohort")],
        *(Annotated[kind, Tag(kind.kind_name())] for kind in kinds()),
    ]
    Node = Annotated[reduce(or_, _FORMS), Discriminator(_tag)]

for _branch in (All, AnyOf, Not):
    _branch.model_rebuild(_types_namespace={"Node": Node})


class CohortDefinition(Model):
    """One cohort. Its key is unique in its team and outlives every edit."""

    key: str = Field(pattern=KEY_PATTERN, description="A slug: lower-case letters, digits, - and _; at most 100.")
    name: str = Field(default="", max_length=400, description="For people.")
    description: str = Field(default="", max_length=4_000, description="For people.")
    team: int = Field(default=1, strict=True, ge=1, le=TEAM_MAX, description="The tenant whose events are meant.")
    listed: bool = Field(default=True, strict=True, description="Keep the list of members; off saves 20 bytes each.")
    members: tuple[str, ...] | None = Field(
        default=None,
        max_length=MEMBERS_MAX,
        description="The ids of the persons who are in it, in place of `when`: a static list.",
    )
    when: Node = Field(description="The tree of conditions.")


if not TYPE_CHECKING:
    CohortDefinition.model_rebuild(_types_namespace={"Node": Node})


class CohortFile(Model):
    """The part of a definitions file that is about cohorts; flags stand beside it under `flags`."""

    team: int | None = Field(default=None, strict=True, ge=1, le=TEAM_MAX, description="For cohorts that name none.")
    cohorts: tuple[CohortDefinition, ...] = Field(default=(), max_length=COHORTS_MAX)


_COHORT: TypeAdapter[CohortDefinition] = TypeAdapter(CohortDefinition)
_TREE: TypeAdapter[Node] = TypeAdapter(Node)
_KINDS = frozenset({"in_cohort", *(kind.kind_name() for kind in kinds() if kind.is_written)})
_TAGS = _KINDS | {kind.kind_name() for kind in kinds()}


def parse_cohort(raw: Any, path: str = "") -> CohortDefinition:
    """One cohort from plain JSON or YAML values.

    Raises BadDefinition, which names the path (below `path`), the value, the limit and the remedy.
    """
    is_list = isinstance(raw, Mapping) and raw.get("members") is not None
    if is_list:
        raw = _with_tree(raw, path)
    _check_size(raw, path)
    try:
        cohort = _COHORT.validate_python(raw)
    except ValidationError as error:
        raise BadDefinition(*first_finding(error, path, _KINDS)) from None
    where = f"{path}.when" if path else "when"
    unwritten = next((leaf.kind for leaf in leaves_of(cohort.when) if leaf.kind not in _KINDS), None)
    if unwritten and not is_list:
        problem = f"{unwritten!r} is made by Muster alone; give a cohort `members: [...]`, and ask for it by in_cohort"
        raise BadDefinition(where, problem)
    leaves = sum(1 for _ in leaves_of(cohort.when))
    if leaves > LEAVES_MAX:
        raise BadDefinition(where, f"{leaves} conditions in one cohort; at most {LEAVES_MAX}: split it, use in_cohort")
    depth = depth_of(cohort.when)
    if depth > DEPTH_MAX:
        raise BadDefinition(where, f"{depth} levels of conditions; at most {DEPTH_MAX}: split it and use in_cohort")
    return cohort


def _with_tree(raw: Mapping[str, Any], path: str) -> dict[str, Any]:
    """A cohort with members, as one with a tree beside them."""
    inside = f"{path}.members" if path else "members"
    if raw.get("when") is not None:
        raise BadDefinition(inside, "`members` and `when` in one cohort; keep one, and join two cohorts by in_cohort")
    members = checked_members(raw["members"], inside)
    return {**raw, "members": members, "when": tree_of(members)}


def parse_tree(when: Any) -> Node:
    """The tree that `to_plain` or `references.resolve_all` wrote; Crash for anything else."""
    try:
        return _TREE.validate_python(when)
    except ValidationError as error:
        raise Crash(f"a compiled tree that is none: {first_finding(error, 'when', _TAGS)}") from None


def children_of(node: Node) -> tuple[Node, ...]:
    """The nodes right below; none for a leaf."""
    if isinstance(node, All):
        return node.all
    if isinstance(node, AnyOf):
        return node.any
    return (node.child,) if isinstance(node, Not) else ()


def depth_of(node: Node) -> int:
    """How many levels a tree has; a leaf alone is one."""
    return 1 + max(map(depth_of, children_of(node)), default=0)


def leaves_of(node: Node) -> Iterator[InCohort | ConditionDefinition]:
    """The conditions of a tree, from left to right."""
    if isinstance(node, (All, AnyOf, Not)):
        for child in children_of(node):
            yield from leaves_of(child)
    else:
        yield node


def to_plain(cohort: CohortDefinition) -> dict[str, Any]:
    """The canonical plain form: what `parse_cohort` reads, without defaults; of a list the tree, not the members."""
    plain = cohort.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"when", "members"})
    return plain | {"when": _plain(cohort.when)}


def _plain(node: Node) -> dict[str, Any]:
    if isinstance(node, All):
        return {"all": [_plain(child) for child in node.all]}
    if isinstance(node, AnyOf):
        return {"any": [_plain(child) for child in node.any]}
    if isinstance(node, Not):
        return {"not": _plain(node.child)}
    return {"kind": node.kind} | node.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _check_size(raw: Any, path: str) -> None:
    """Refuse before pydantic recurses: what is nested or grown far beyond the limits is nobody's definition."""
    level, depth, size = [raw], 0, 0
    while level:
        depth += 1
        size += len(level)
        if depth > NESTING_MAX:
            raise BadDefinition(path, f"nested deeper than {DEPTH_MAX} conditions; split it and use in_cohort")
        if size > VALUES_MAX:
            raise BadDefinition(path, f"more than {VALUES_MAX} values in one cohort; split it and use in_cohort")
        level = [
            child
            for value in level
            if isinstance(value, (list, Mapping))
            for child in (value.values() if isinstance(value, Mapping) else value)
        ]
