"""A registry as the evaluator needs it: cohorts to be asked about, and flags compiled against them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cohort_store.errors import BadDefinition
from cohort_store.flag_order import FlagOrder, order_flags
from cohort_store.flags import FlagDefinition, parse_flag
from cohort_store.freshness import CohortView, view_of
from cohort_store.kept_properties import kept_of, tested_by
from cohort_store.registry import Registry, TeamRegistry
from evaluator.access import Keyring, keyring_of
from evaluator.deciding.condition_tree import Tree, tree_of
from evaluator.deciding.flags import CompiledFlag, compile_flag
from evaluator.deciding.resolution import Resolver, compile_resolver
from evaluator.reading.coverage import Coverage


@dataclass(frozen=True, slots=True)
class TeamCatalog:
    """What one team has defined."""

    team: int
    cohorts: Mapping[str, CohortView] = field(default_factory=dict)
    """By key."""
    flags: Mapping[str, CompiledFlag] = field(default_factory=dict)
    registry: TeamRegistry = field(default_factory=lambda: TeamRegistry(0))
    """As it was published: for explanations, which need the trees."""
    group_types: Mapping[str, int] = field(default_factory=dict)
    """The number of each group type, by its name."""
    continuous: tuple[str, ...] = ()
    """The flags that must know in whose place a person came."""
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


def flags_by_name(flags: Iterable[CompiledFlag]) -> dict[str, CompiledFlag]:
    """The flags by what others may call them: by key, and by id as text where that is no flag's key."""
    flags = tuple(flags)
    return {str(flag.id): flag for flag in flags if flag.id} | {flag.key: flag for flag in flags}


def _compile_team(registry: TeamRegistry, version: int) -> TeamCatalog:
    views = [view_of(cohort, version) for cohort in registry.cohorts]
    known = cohorts_by_name(views)
    parsed: dict[str, FlagDefinition] = {}
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
            parsed[flag.key] = flag
            resolvers[flag.key] = compile_resolver(flag)
            trees[flag.key] = tree_of(flag)
            if flag.active and (names := tested_by(raw) & kept):
                tested[flag.key] = names
    order = order_flags(parsed.values())
    flags = compile_flags(parsed, order, known)
    tested = _tested_with_others(parsed, order, tested)
    return TeamCatalog(
        team=registry.team,
        cohorts={view.key: view for view in views},
        flags=flags,
        registry=registry,
        group_types=registry.group_types,
        continuous=tuple(dict.fromkeys(key for flag in flags.values() for key in flag.continuous)),
        refused=refused,
        kept=kept,
        tested=tested,
        tested_by_any=frozenset[str]().union(*tested.values()),
        resolvers=resolvers,
        trees=trees,
        coverage=Coverage(views, version),
    )


def compile_flags(
    flags: Mapping[str, FlagDefinition], order: FlagOrder, cohorts: Mapping[str, CohortView]
) -> dict[str, CompiledFlag]:
    """By key, each behind those that it depends on."""
    compiled: dict[str, CompiledFlag] = {}
    for key in order.keys:
        flag = flags[key]
        asked = {} if key in order.broken else {name: compiled[order.names[name]] for name in flag.flags()}
        compiled[key] = compile_flag(flag, cohorts, asked)
    return compiled


def _tested_with_others(
    flags: Mapping[str, FlagDefinition], order: FlagOrder, own: Mapping[str, frozenset[str]]
) -> dict[str, frozenset[str]]:
    """The properties that each flag tests, or that one tests which it depends on; only flags that need some."""
    tested: dict[str, frozenset[str]] = {}
    for key in order.keys:
        others = (
            () if key in order.broken or not flags[key].active else (order.names[name] for name in flags[key].flags())
        )
        names = own.get(key, frozenset()).union(*(tested.get(other, frozenset()) for other in others))
        if names:
            tested[key] = names
    return tested


def _key_of(raw: object, place: int) -> str:
    return str(raw["key"]) if isinstance(raw, Mapping) and "key" in raw else f"flags[{place}]"
