"""Which cohorts can be compared with the history, and why the others cannot. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from cohort_store.conditions.condition import RegisterCondition
from cohort_store.definitions import parse_tree
from cohort_store.plans import conditions_of
from cohort_store.records import RESERVED_PREFIX
from cohort_store.registry import Cohort, CohortVersion, Registry
from processors.reconcile.ports import Agreement


class Judged(NamedTuple):
    """The cohorts of a team that are compared."""

    team: int
    cohorts: Mapping[int, tuple[Cohort, CohortVersion]]
    """By the handle of the version that answers."""
    lists: Mapping[str, Sequence[str]]
    """The members of static lists, by digest."""

    @property
    def ready_from(self) -> int:
        """The registry version that a shard must have folded to be compared."""
        return max((version.registry_version for _, version in self.cohorts.values()), default=0)


def judged_of(
    registry: Registry,
    team: int,
    keys: Collection[str],
    lists: Mapping[str, Sequence[str]],
    *,
    knows_persons: bool,
) -> tuple[Judged, list[Agreement]]:
    """The team's cohorts with these keys (none: all) that can be compared, and the others with the reason.

    `knows_persons`: whether the history has all that sets properties of persons.
    """
    judged: dict[int, tuple[Cohort, CohortVersion]] = {}
    others: list[Agreement] = []
    for cohort in registry.team(team).cohorts:
        if keys and cohort.key not in keys:
            continue
        version = cohort.active or cohort.versions[-1]
        why_not = _why_not(cohort, version, knows_persons=knows_persons)
        if why_not:
            others.append(Agreement(team, cohort.id, cohort.key, version.number, 0, 0, not_judged=why_not))
        else:
            judged[version.handle] = (cohort, version)
    return Judged(team, judged, lists), others


def merged(agreements: Sequence[Agreement]) -> list[Agreement]:
    """One for each cohort, of what was compared in several turns, in the order of their first ones."""
    found: dict[tuple[int, int], list[Agreement]] = {}
    for each in agreements:
        found.setdefault((each.team, each.id), []).append(each)
    return [_sum(each) for each in found.values()]


def _why_not(cohort: Cohort, version: CohortVersion, *, knows_persons: bool) -> str:
    if cohort.active is None:
        return "no version of it answers yet"
    if not version.backfilled:
        return "its history is not filled in yet"
    if not knows_persons and any(_properties(version)):
        return "it reads properties of persons, which come from a topic that the history does not hold"
    return ""


def _properties(version: CohortVersion) -> Iterator[str]:
    for condition in conditions_of(parse_tree(version.when)):
        if isinstance(condition, RegisterCondition) and not condition.register.startswith(RESERVED_PREFIX):
            yield condition.register


def _sum(agreements: Sequence[Agreement]) -> Agreement:
    last = agreements[-1]
    return Agreement(
        team=last.team,
        id=last.id,
        key=last.key,
        version=last.version,
        at_ms=max(each.at_ms for each in agreements),
        persons=sum(each.persons for each in agreements),
        in_flight=sum(each.in_flight for each in agreements),
        drifted=tuple(drifted for each in agreements for drifted in each.drifted),
        not_judged=last.not_judged,
    )
