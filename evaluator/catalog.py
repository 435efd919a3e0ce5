"""A registry as the evaluator needs it: cohorts to be asked about, and flags compiled against them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cohort_store.errors import BadDefinition
from cohort_store.flags import parse_flag
from cohort_store.freshness import CohortView, view_of
from cohort_store.kept_properties import kept_of, tested_by
from cohort_store.registry import Registry, TeamRegistry
from evaluator.access import Keyring, keyring_of
from evaluator.condition_tree import Tree, tree_of
from evaluator.coverage import Coverage
from evaluator.flags import CompiledFlag, compile_flag
from evaluator.resolution import Resolver, compile_resolver


@dataclass(frozen=True, slots=True)
class TeamCatalog:
    """What one team has defined."""

    team: int
    cohorts: Mapping[str, CohortView] = field(default_factory=dict)
    """By key."""
    flags: Mapping[str, CompiledFlag] = field(default_factory=dict)
    registry: TeamRegistry = field(default_factory=lambda: TeamRegistry(0))
    """As it was published: for explanations, which need the trees."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Flags that this version of Muster cannot read, with the reason: by key, or by place in the registry."""
    kept: frozenset[str] = frozenset()
    """The properties of persons that are kept."""
    tested: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By key of a flag that is on, those of them that it tests; only flags that test some."""
    tested_by_any: frozenset[str] = frozenset()
    resolvers: Mapping[str, Resolver] = field(default_factory=dict)
    """By flag: how its answers are told to OpenFeature clients."""
    trees: Mapping[str, Tree] = field(default_factory=dict, compare=False)
    """Of each flag, by key: its tests with their names."""
    coverage: Coverage = field(default_factory=Coverage, compare=False)


@dataclass(frozen=True, slots=True)
class Catalog:
    """One registry version, compiled. Replaced as a whole, never changed."""

    version: int
    teams: Mapping[int, TeamCatalog] = field(default_factory=dict)
    keys: Keyring = field(default_factory=dict)
    """Of all teams."""

    def team(self, team: int) -> TeamCatalog:
        """The team's part; an empty one where it has defined nothing."""
        return self.teams.get(team) or TeamCatalog(team)


def compile_catalog(registry: Registry) -> Catalog:
    """Compile every team. Raises Crash where a registry was not made by `compiling.assign`."""
    return Catalog(
        registry.version,
        {team: _compile_team(of_team, registry.version) for team, of_team in registry.teams.items()},
        keyring_of(registry.keys),
    )


def cohorts_by_name(views: Sequence[CohortView]) -> dict[str, CohortView]:
    """The cohorts by what a flag may call them: by key, and by id as text where that is no cohort's key."""
    return {str(view.id): view for view in views} | {view.key: view for view in views}


def _compile_team(registry: TeamRegistry, version: int) -> TeamCatalog:
    views = [view_of(cohort, version) for cohort in registry.cohorts]
    known = cohorts_by_name(views)
    flags: dict[str, CompiledFlag] = {}
    resolvers: dict[str, Resolver] = {}
    refused: dict[str, str] = {}
    kept, tested = kept_of(registry), dict[str, frozenset[str]]()
    trees: dict[str, Tree] = {}
    for place, raw in enumerate(registry.flags):
        try:
            flag = parse_flag(raw, f"flags[{place}]")
        except BadDefinition as error:
            refused[_key_of(raw, place)] = str(error)
        else:
            flags[flag.key] = compile_flag(flag, known)
            resolvers[flag.key] = compile_resolver(flag)
            trees[flag.key] = tree_of(flag)
            if flag.active and (names := tested_by(raw) & kept):
                tested[flag.key] = names
    return TeamCatalog(
        team=registry.team,
        cohorts={view.key: view for view in views},
        flags=flags,
        registry=registry,
        refused=refused,
        kept=kept,
        tested=tested,
        tested_by_any=frozenset[str]().union(*tested.values()),
        resolvers=resolvers,
        trees=trees,
        coverage=Coverage(views, version),
    )


def _key_of(raw: object, place: int) -> str:
    return str(raw["key"]) if isinstance(raw, Mapping) and "key" in raw else f"flags[{place}]"
