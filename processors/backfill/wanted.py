"""What is to be filled in: the versions that lack their history, and what is to be kept for them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from cohort_store.conditions.condition import ConditionDefinition
from cohort_store.definitions import leaves_of, parse_tree
from cohort_store.inheriting import needs_history
from cohort_store.plans import AnyBound, BoundRegister, Plan, TeamPlan, compile_plan
from cohort_store.records import RESERVED_PREFIX
from cohort_store.registry import Cohort, Registry, TeamRegistry
from cohort_store.selectors import Selector
from cohort_store.warming import need_of


class Wanted(NamedTuple):
    """Of one team."""

    team: int
    handles: frozenset[int]
    """The versions."""
    asked: tuple[AnyBound, ...]
    """Their conditions, each once."""
    selectors: Mapping[int, Selector]
    """What those read of events, by handle."""
    properties: frozenset[str]
    """What those read of persons, with what is kept for flags where that is read along."""
    is_first: bool = False
    """Whether nothing of the team was filled in before: whose its distinct ids are is not known either then."""

    @property
    def asks_nothing(self) -> bool:
        """Whether no history can matter to them."""
        return not self.selectors and not self.properties


def wanted(registry: Registry, *, all_of_it: bool = False, without: frozenset[int] = frozenset()) -> list[Wanted]:
    """By team, what awaits its history (`all_of_it`: whatever has one); empty where nothing does.

    `without` are the handles of versions that are not meant.
    """
    plan = compile_plan(registry)
    return list(_of_teams(registry, plan.teams, all_of_it, without))


def wanted_of(registry: Registry, team: int, handles: frozenset[int]) -> Wanted:
    """The same for some versions of a team, whatever they lack."""
    return _wanted(team, handles, compile_plan(registry).team(team))


def of_any_time(cohorts: Iterable[Cohort]) -> Iterator[tuple[str, str]]:
    """(cohort's key, kind): the conditions to which an event of any time may matter, so that a part of the past
    decides nothing.

    *First time* would take the first event of that part for her first one, *restarted* does the same, and of a
    property that was set once the first value is the one that counts.
    """
    for cohort in cohorts:
        for version in cohort.versions:
            for leaf in leaves_of(parse_tree(version.when)):
                if isinstance(leaf, ConditionDefinition) and need_of(leaf.compile()).always:
                    yield cohort.key, leaf.kind


def _of_teams(
    registry: Registry, plans: Mapping[int, TeamPlan], all_of_it: bool, without: frozenset[int]
) -> Iterator[Wanted]:
    for number, team in registry.teams.items():
        versions = (version for cohort in team.cohorts for version in cohort.versions)
        handles = frozenset(version.handle for version in versions if all_of_it or version.awaits_history) - without
        if handles or all_of_it:
            plan = plans[number]
            found = _wanted(number, handles, plan)._replace(is_first=not _has_history(team, plan))
            # What is kept for flags comes along where it costs little: history is never read for flags alone.
            for_flags = plan.flag_properties if all_of_it or found.properties else frozenset[str]()
            yield found._replace(properties=found.properties | for_flags)


def is_refilled(plan: Plan) -> bool:
    """Whether shards that lost what they had get all of it from the history: where it was ever filled in, it can be."""
    return any(_has_history(team, plan.team(number)) for number, team in plan.registry.teams.items())


def _has_history(team: TeamRegistry, plan: TeamPlan) -> bool:
    """Whether a version has its history that needs one."""
    filled = {version.handle for cohort in team.cohorts for version in cohort.versions if version.backfilled}
    indices = {index for cohort in plan.cohorts if cohort.handle in filled for index in cohort.conditions}
    return any(needs_history(plan.conditions[index].condition) for index in indices)


def _wanted(team: int, handles: frozenset[int], plan: TeamPlan) -> Wanted:
    indices = {index for cohort in plan.cohorts if cohort.handle in handles for index in cohort.conditions}
    asked = tuple(plan.conditions[index] for index in sorted(indices))
    registers = {each.register for each in asked if isinstance(each, BoundRegister)}
    return Wanted(
        team,
        handles,
        asked,
        {handle: plan.selectors[handle] for each in asked for handle in each.selectors},
        frozenset(name for name in registers if not name.startswith(RESERVED_PREFIX)),
    )
