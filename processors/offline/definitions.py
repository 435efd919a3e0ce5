"""The definitions that a log is asked about: those of one team, compiled as control compiles them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cohort_store.compiling import assign
from cohort_store.definition_files import COHORT, Definitions, Name, place_of
from cohort_store.errors import BadDefinition, Reject
from cohort_store.plans import TeamPlan, compile_plan
from cohort_store.registry import Registry, TeamRegistry
from cohort_store.static_lists import digest_of
from processors.definition_reading import read_definition_files
from processors.router.routes import TeamRoutes, compile_routes

TEAM_DEFAULT = 1


class NoTeam(Reject):
    """Which team is meant cannot be told; the message says how to name it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One team's cohorts, ready to be asked of a log."""

    team: int
    registry: TeamRegistry
    plan: TeamPlan
    routes: TeamRoutes
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The members of each static list, by its digest."""
    warnings: tuple[str, ...] = ()
    """What PostHog's files hold that is not carried over, or means something slightly different here."""


def read_asked(files: Sequence[Path], team: int | None) -> Asked:
    """What the files define for a team. Raises BadDefinition as `muster apply` does, NoTeam where none is named."""
    definitions = read_definition_files(files)
    return compile_asked(definitions, chosen_team(definitions, team))


def chosen_team(definitions: Definitions, team: int | None) -> int:
    """The team that was named, else the only one that has cohorts."""
    if team is not None:
        return team
    teams = sorted({name.team for name in definitions.cohorts})
    if len(teams) > 1:
        raise NoTeam(f"the definitions are of teams {', '.join(map(str, teams))}; say which with --team")
    return teams[0] if teams else TEAM_DEFAULT


def compile_asked(definitions: Definitions, team: int) -> Asked:
    """The team's cohorts, compiled. Raises BadDefinition for what only shows in the whole."""
    cohorts = [cohort for name, cohort in definitions.cohorts.items() if name.team == team]
    try:
        registry = assign(Registry(), cohorts, {}, applied="", now=0)
    except BadDefinition as error:
        raise BadDefinition(place_of(definitions, Name(COHORT, team, error.path)), error.problem) from None
    lists = {digest_of(cohort.members): cohort.members for cohort in cohorts if cohort.members is not None}
    return replace(asked_of(registry, team), lists=lists, warnings=definitions.warnings)


def asked_of(registry: Registry, team: int) -> Asked:
    """What is in force for a team; who is in its static lists is not in a registry."""
    plan = compile_plan(registry)
    routes = compile_routes(plan).teams.get(team) or TeamRoutes({}, ())
    return Asked(team, registry.team(team), plan.team(team), routes)
