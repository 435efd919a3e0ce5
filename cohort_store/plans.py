"""Plans: a registry compiled for speed, one for each team.

A plan knows which conditions read a selector's timeline, and which cohorts ask those conditions. A
condition that several cohorts share is one condition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from cohort_store.conditions.condition import AnyCondition, Capped, Condition, ConditionDefinition, RegisterCondition
from cohort_store.definitions import All, AnyOf, InCohort, Node, Not, leaves_of, parse_tree
from cohort_store.errors import Crash
from cohort_store.kept_properties import kept_for
from cohort_store.records import RESERVED_PREFIX
from cohort_store.registry import Cohort, CohortVersion, Registry, TeamRegistry
from cohort_store.selectors import Selector
from cohort_store.timelines import Timeline, Timelines
from cohort_store.verdicts import complement, every, some

Ask = Callable[[int], bool | None]
"""Gives the verdict of a condition by its index in the plan; None where nothing can be said (folding.py)."""

Verdict = Callable[[Ask], bool | None]
"""A cohort's tree, as one call. None where it depends on a condition of which nothing can be said."""


@dataclass(frozen=True, slots=True)
class BoundCondition:
    """A condition with the handles of the selectors that it reads."""

    condition: Condition
    selectors: tuple[int, ...]
    capped: Capped | None = None
    """The same condition, where it is one that cuts at a cap."""

    @classmethod
    def of(cls, condition: Condition, selectors: tuple[int, ...]) -> BoundCondition:
        """The condition, with the handles of its selectors in their order."""
        return cls(condition, selectors, condition if isinstance(condition, Capped) else None)

    def read(self, timelines: Mapping[int, Timeline]) -> Timelines:
        """Of a record's timelines those that the condition reads."""
        if len(self.selectors) == 1:
            return (timelines.get(self.selectors[0], ()),)
        return tuple(timelines.get(selector, ()) for selector in self.selectors)


@dataclass(frozen=True, slots=True)
class BoundRegister:
    """A condition that reads a register, in the place of one that reads timelines."""

    condition: RegisterCondition
    register: str
    selectors: tuple[int, ...] = ()


AnyBound = BoundCondition | BoundRegister


@dataclass(frozen=True, slots=True)
class CohortPlan:
    """One version of one cohort, ready to be evaluated."""

    handle: int
    cohort_id: int
    key: str
    number: int
    complemented: bool
    listed: bool
    verdict: Verdict
    conditions: tuple[int, ...]
    active: bool = True
    """Whether readers see it; changes are told of active versions only."""
    replaces: int = 0
    replaces_complemented: bool = False
    in_force_from: int = 0
    may_be_unknown: bool = False
    """Whether a condition of it cuts at a cap."""


class Touched(NamedTuple):
    """What to look at: the cohorts to ask, the conditions whose due times count, the selectors to prune."""

    cohorts: Sequence[CohortPlan]
    conditions: Sequence[int]
    selectors: Sequence[int]
    registers: Sequence[str] = ()


@dataclass(frozen=True)
class TeamPlan:
    """What one team's records are folded and evaluated with."""

    team: int
    conditions: tuple[AnyBound, ...] = ()
    cohorts: tuple[CohortPlan, ...] = ()
    selectors: dict[int, Selector] = field(default_factory=dict)
    flag_properties: frozenset[str] = frozenset()
    """Registers that no condition reads, and that are kept for flags."""

    @cached_property
    def readers(self) -> dict[int, tuple[int, ...]]:
        """Selector handle → indices of the conditions that read it."""
        found: dict[int, list[int]] = {handle: [] for handle in self.selectors}
        for index, bound in enumerate(self.conditions):
            for handle in bound.selectors:
                found[handle].append(index)
        return {handle: tuple(dict.fromkeys(indices)) for handle, indices in found.items()}

    @cached_property
    def capped_readers(self) -> dict[int, tuple[BoundCondition, ...]]:
        """Selector handle → the conditions that cut its timeline at a cap; only selectors that have such."""
        found: dict[int, tuple[BoundCondition, ...]] = {}
        for handle, indices in self.readers.items():
            bounds = (self.conditions[index] for index in indices)
            found[handle] = tuple(each for each in bounds if isinstance(each, BoundCondition) and each.capped)
        return {handle: readers for handle, readers in found.items() if readers}

    @cached_property
    def cohorts_reading(self) -> dict[int, tuple[CohortPlan, ...]]:
        """Selector handle → the cohorts that ask a condition on it."""
        found: dict[int, list[CohortPlan]] = {handle: [] for handle in self.selectors}
        for cohort in self.cohorts:
            for handle in dict.fromkeys(h for index in cohort.conditions for h in self.conditions[index].selectors):
                found[handle].append(cohort)
        return {handle: tuple(cohorts) for handle, cohorts in found.items()}

    @cached_property
    def touched_by(self) -> dict[int, Touched]:
        """Selector handle → what to look at where that selector's timeline alone has changed."""
        return {
            handle: Touched(self.cohorts_reading[handle], self.readers[handle], (handle,)) for handle in self.selectors
        }

    @cached_property
    def taken_over(self) -> tuple[CohortPlan, ...]:
        """The active versions that took over, from others or from nothing, the latest take-over first."""
        found = [cohort for cohort in self.cohorts if cohort.active and cohort.in_force_from]
        return tuple(sorted(found, key=lambda cohort: -cohort.in_force_from))

    @cached_property
    def register_readers(self) -> dict[str, tuple[int, ...]]:
        """Register's name → indices of the conditions that read it; a name that is not there is not kept."""
        found: dict[str, list[int]] = {name: [] for name in self.flag_properties}
        for index, bound in enumerate(self.conditions):
            if isinstance(bound, BoundRegister):
                found.setdefault(bound.register, []).append(index)
        return {name: tuple(indices) for name, indices in found.items()}

    @cached_property
    def cohorts_reading_register(self) -> dict[str, tuple[CohortPlan, ...]]:
        """Register's name → the cohorts that ask a condition on it."""
        return {
            name: tuple(cohort for cohort in self.cohorts if not readers.isdisjoint(cohort.conditions))
            for name, readers in ((name, frozenset(indices)) for name, indices in self.register_readers.items())
        }

    @cached_property
    def person_properties(self) -> frozenset[str]:
        """The properties of persons that a definition names, a flag's too: what is worth sending of what events say."""
        return frozenset(name for name in self.register_readers if not name.startswith(RESERVED_PREFIX))

    @cached_property
    def by_handle(self) -> dict[int, CohortPlan]:
        """Cohort version handle → its plan."""
        return {cohort.handle: cohort for cohort in self.cohorts}


@dataclass(frozen=True)
class Plan:
    """A registry version, compiled."""

    version: int
    teams: dict[int, TeamPlan]
    registry: Registry

    @cached_property
    def unlisted(self) -> frozenset[int]:
        """Handles of the versions whose member lists are not kept; of nobody's being unknown (−handle) there is one."""
        cohorts = [cohort for team in self.teams.values() for cohort in team.cohorts]
        unlisted = frozenset(cohort.handle for cohort in cohorts if not cohort.listed)
        return unlisted.union(-cohort.handle for cohort in cohorts if cohort.may_be_unknown)

    @cached_property
    def taken_over_in(self) -> int:
        """The latest registry version with which a version took over from another; 0 where none did."""
        latest = (team.taken_over[0].in_force_from for team in self.teams.values() if team.taken_over)
        return max(latest, default=0)

    def team(self, team: int) -> TeamPlan:
        """The team's plan; an empty one where it has defined nothing."""
        return self.teams.get(team) or TeamPlan(team)


def compile_plan(registry: Registry) -> Plan:
    """Compile every team. Raises Crash where a registry was not made by `compiling.assign`."""
    return Plan(registry.version, {t: compile_team(r) for t, r in registry.teams.items()}, registry)


def compile_team(registry: TeamRegistry) -> TeamPlan:
    """One team's plan, with every version that is kept up: active, building or retired."""
    builder = _Builder(registry)
    alive = (*registry.cohorts, *registry.retired)
    cohorts = tuple(builder.cohort(cohort, version) for cohort in alive for version in cohort.versions)
    registers = frozenset(bound.register for bound in builder.conditions if isinstance(bound, BoundRegister))
    flag_properties = kept_for(registry.flags, registers)
    return TeamPlan(registry.team, tuple(builder.conditions), cohorts, builder.selectors, flag_properties)


class _Builder:
    def __init__(self, registry: TeamRegistry) -> None:
        self.registry = registry
        self.conditions: list[AnyBound] = []
        self.selectors: dict[int, Selector] = {}
        self._known: dict[AnyCondition, int] = {}

    def cohort(self, cohort: Cohort, version: CohortVersion) -> CohortPlan:
        used: list[int] = []
        verdict = self._verdict(parse_tree(version.when), used)
        return CohortPlan(
            version.handle,
            cohort.id,
            cohort.key,
            version.number,
            version.complemented,
            cohort.listed,
            verdict,
            tuple(dict.fromkeys(used)),
            version is cohort.active,
            version.replaces,
            version.replaces_complemented,
            version.in_force_from,
            any(self._is_capped(index) for index in used),
        )

    def _is_capped(self, index: int) -> bool:
        bound = self.conditions[index]
        return isinstance(bound, BoundCondition) and bound.capped is not None

    def _verdict(self, node: Node, used: list[int]) -> Verdict:
        return compose(node, lambda leaf: self._leaf(leaf, used))

    def _leaf(self, leaf: ConditionDefinition, used: list[int]) -> Verdict:
        index = self._condition(leaf.compile())
        used.append(index)
        return lambda ask: ask(index)

    def _condition(self, condition: AnyCondition) -> int:
        known = self._known.get(condition)
        if known is None:
            self.conditions.append(self._bound(condition))
            known = self._known[condition] = len(self.conditions) - 1
        return known

    def _bound(self, condition: AnyCondition) -> AnyBound:
        if isinstance(condition, RegisterCondition):
            return BoundRegister(condition, condition.register)
        handles = []
        for selector in condition.selectors:
            handle = self.registry.selectors.get(selector.canonical())
            if handle is None:
                raise Crash(f"selector {selector.canonical()} has no handle in team {self.registry.team}'s registry")
            self.selectors[handle] = selector
            handles.append(handle)
        return BoundCondition.of(condition, tuple(handles))


def compose(node: Node, leaf: Callable[[ConditionDefinition], Verdict]) -> Verdict:
    """A tree as one call. `leaf` makes the verdict of a condition; `in_cohort` must have been resolved before."""
    if isinstance(node, All):
        return every(tuple(compose(child, leaf) for child in node.all))
    if isinstance(node, AnyOf):
        return some(tuple(compose(child, leaf) for child in node.any))
    if isinstance(node, Not):
        return complement(compose(node.child, leaf))
    if isinstance(node, InCohort):
        raise Crash(f"in_cohort {node.cohort!r} was not resolved before compiling")
    return leaf(node)


def conditions_of(node: Node) -> Iterator[AnyCondition]:
    """The compiled conditions of a resolved tree, from left to right."""
    for leaf in leaves_of(node):
        if isinstance(leaf, InCohort):
            raise Crash(f"in_cohort {leaf.cohort!r} was not resolved before compiling")
        yield leaf.compile()


def holds_for_empty(node: Node) -> bool:
    """Whether a resolved tree holds for somebody who never did anything."""
    return compose(node, _of_nobody)(_nobody) is True


def _of_nobody(leaf: ConditionDefinition) -> Verdict:
    condition = leaf.compile()
    if isinstance(condition, RegisterCondition):
        verdict = condition.holds(None, 0)
    else:
        verdict = condition.holds(tuple(() for _ in condition.selectors), 0)

    def constant(_: Ask) -> bool:
        return verdict

    return constant


def _nobody(_: int) -> bool:
    return False
