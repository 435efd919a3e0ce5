"""Why somebody is in a cohort, or is not: the tree with each condition's verdict and the events that decide it.

One pure function, for commands, HTTP and tests. It asks the very conditions that membership is decided by, and as they
are asked for it: where a timeline was cut at a cap, a part may be unknown (exactness.py). The
events that decide are those that a condition would keep (`Condition.keep`) of the ones at or before the instant: a
subset that answers as all of them do. Of a pruned record it tells the truth from the record's own instant on; of whole
timelines at any instant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from cohort_store.conditions.condition import AnyCondition, ConditionDefinition, RegisterCondition
from cohort_store.definitions import All, AnyOf, InCohort, Node, Not, children_of, parse_tree
from cohort_store.durations import format_instant
from cohort_store.errors import Crash
from cohort_store.exactness import next_change_of, verdict_of
from cohort_store.plans import BoundCondition
from cohort_store.records import Record, Register
from cohort_store.registry import Cohort, CohortVersion, TeamRegistry
from cohort_store.timelines import Timeline, at_or_before
from cohort_store.verdicts import complement, every, some
from cohort_store.wording import readable

TIMES_MAX = 50
"""So many deciding events of a selector are named, the latest; the others are counted."""
STEPS_MAX = 1_000
"""So many instants are tried for the next change; beyond them it is told as of the last one tried."""

UNSET = "null"
_NO_HANDLE = 0
"""Of a selector that the registry does not have: no timeline is under it."""

_SPANS = ("recent", "within", "since", "until")


class Deciding(msgspec.Struct, frozen=True, omit_defaults=True):
    """The events of one selector that decide a condition."""

    events: str
    """What is looked for, in words."""
    times: list[str]
    """The latest of those that decide, at most TIMES_MAX, in order; none: that there is none decides."""
    more: int = 0
    """How many earlier ones decide as well."""
    other: str | None = None
    """The latest one known by the instant that decides nothing: it has left the window, or others are enough."""


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of the tree."""

    kind: str
    """all, any, not, or the condition's kind."""
    holds: bool | None
    """None: it depends on events that were lost at a cap, and nothing can be said."""
    cohort: str | None = None
    """The cohort whose definition stands here in place of an `in_cohort`."""
    condition: dict[str, Any] | None = None
    """A condition as it is defined."""
    parts: list[Reason] = []
    decided_by: list[Deciding] = []
    present: str | None = None
    """Of a condition on a property of the person: its present value as JSON text, `null` where she has none."""
    changes_at: str | None = None
    """When the condition's verdict changes by time alone; absent where it never does."""


class Why(msgspec.Struct, frozen=True, omit_defaults=True):
    """One person and one cohort, at one instant."""

    cohort: str
    version: int
    now: str
    member: bool | None
    """None: nothing can be said, as of a part."""
    reason: Reason
    changes_at: str | None = None
    """When membership changes next if she does nothing more; absent where it never does."""


class _Leaf(NamedTuple):
    """A condition with the record that it reads."""

    bound: BoundCondition
    record: Record

    def holds(self, now: int) -> bool | None:
        return verdict_of(self.bound, self.record.timelines, self.record.inexact, now)

    def next_change(self, now: int) -> int | None:
        return next_change_of(self.bound, self.record.timelines, self.record.inexact, now)


class _RegisterLeaf(NamedTuple):
    """A condition with the register that it reads."""

    condition: RegisterCondition
    present: Register | None

    def holds(self, now: int) -> bool | None:
        return self.condition.holds(self.present, now)

    def next_change(self, now: int) -> int | None:
        return self.condition.next_change(self.present, now)


Holds = Callable[[int], bool | None]
"""A part of the tree, asked at an instant."""


def explain(record: Record, team: TeamRegistry, cohort: Cohort, version: CohortVersion, now: int) -> Why:
    """Why the record's person is in that version of the cohort at `now`, or is not."""
    explanation = _Explanation(record, team, now)
    reason, holds = explanation.part(parse_tree(version.when), cohort.source["when"])
    return Why(
        cohort=cohort.key,
        version=version.number,
        now=format_instant(now),
        member=reason.holds,
        reason=reason,
        changes_at=_instant(_next_change(explanation.leaves, holds, now)),
    )


class _Explanation:
    """One walk through a tree. `leaves` are those passed so far."""

    def __init__(self, record: Record, team: TeamRegistry, now: int) -> None:
        self.leaves: list[_Leaf | _RegisterLeaf] = []
        self._record = record
        self._team = team
        self._now = now

    def part(self, node: Node, source: Any) -> tuple[Reason, Holds]:
        """A node's part of the answer. `source` is the same node as its author wrote it, where that is known."""
        name, source = self._followed(source)
        if isinstance(node, (All, AnyOf, Not)):
            return self._branch(node, source, name)
        if isinstance(node, InCohort):
            raise Crash(f"in_cohort {node.cohort!r} was not resolved before compiling")
        return self._leaf(node, name)

    def _branch(self, node: All | AnyOf | Not, source: Any, name: str | None) -> tuple[Reason, Holds]:
        children = children_of(node)
        sources = _children(source, len(children))
        parts = [self.part(child, its) for child, its in zip(children, sources, strict=True)]
        kind, holds = _joined(node, [holds for _, holds in parts])
        return Reason(kind, holds(self._now), name, parts=[reason for reason, _ in parts]), holds

    def _leaf(self, definition: ConditionDefinition, name: str | None) -> tuple[Reason, Holds]:
        leaf = self._bound(definition.compile())
        self.leaves.append(leaf)
        reason = Reason(
            kind=definition.kind,
            holds=leaf.holds(self._now),
            cohort=name,
            condition=_as_written(definition),
            decided_by=_deciding(leaf, self._now) if isinstance(leaf, _Leaf) else [],
            present=_present(leaf) if isinstance(leaf, _RegisterLeaf) else None,
            changes_at=_instant(_next_change([leaf], leaf.holds, self._now)),
        )
        return reason, leaf.holds

    def _bound(self, condition: AnyCondition) -> _Leaf | _RegisterLeaf:
        if isinstance(condition, RegisterCondition):
            return _RegisterLeaf(condition, self._record.registers.get(condition.register))
        handles = (self._team.selectors.get(selector.canonical(), _NO_HANDLE) for selector in condition.selectors)
        return _Leaf(BoundCondition.of(condition, tuple(handles)), self._record)

    def _followed(self, source: Any) -> tuple[str | None, Any]:
        """Through references to the tree that stands in their place, and the first one's name."""
        name: str | None = None
        while isinstance(source, Mapping) and source.get("kind") == "in_cohort":
            name = name or source["cohort"]
            referred = self._team.cohort(source["cohort"])
            source = referred.source.get("when") if referred else None
        return name, source


def _as_written(definition: ConditionDefinition) -> dict[str, Any]:
    """What was defined, without defaults; when, last."""
    plain = definition.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    spans = {key: plain.pop(key) for key in _SPANS if key in plain}
    return {**plain, **spans}


def _joined(node: All | AnyOf | Not, parts: Sequence[Holds]) -> tuple[str, Holds]:
    if isinstance(node, All):
        return "all", every(parts)
    if isinstance(node, AnyOf):
        return "any", some(parts)
    return "not", complement(parts[0])


def _children(source: Any, count: int) -> Sequence[Any]:
    """The parts of a node as it was written; unknown where it was edited since, and is another node now."""
    if not isinstance(source, Mapping):
        return [None] * count
    children = [source["not"]] if "not" in source else source.get("all") or source.get("any") or []
    return children if len(children) == count else [None] * count


def _deciding(leaf: _Leaf, now: int) -> list[Deciding]:
    condition, lines = leaf.bound.condition, leaf.bound.read(leaf.record.timelines)
    return [
        _named(selector.canonical(), line[: at_or_before(line, now)], whole[: at_or_before(whole, now)])
        for selector, line, whole in zip(condition.selectors, condition.keep(lines, now), lines, strict=True)
    ]


def _present(leaf: _RegisterLeaf) -> str:
    return leaf.present[1] if leaf.present else UNSET


def _named(selector: str, deciding: Timeline, known: Timeline) -> Deciding:
    others = set(known).difference(deciding)
    times = [format_instant(entry[0]) for entry in deciding[-TIMES_MAX:]]
    return Deciding(readable(selector), times, len(deciding) - len(times), _instant(max(others)[0] if others else None))


def _next_change(leaves: Sequence[_Leaf | _RegisterLeaf], holds: Holds, now: int) -> int | None:
    """The first later instant at which `holds` differs by time alone.

    A condition tells of the next instant at which it may differ; each of those is tried.
    """
    present = holds(now)
    at = now
    for _ in range(STEPS_MAX):
        turns = [turn for leaf in leaves if (turn := leaf.next_change(at)) is not None]
        if not turns:
            return None
        at = min(turns)
        if holds(at) is not present:
            break
    return at


def _instant(time_ms: int | None) -> str | None:
    return None if time_ms is None else format_instant(time_ms)
