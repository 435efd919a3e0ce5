"""The registry: every definition with the handles and versions that it was given.

Control is its one writer; everyone else follows the topic `muster.registry` or its mirror in Redis.
A handle is a small integer, assigned once and never reused. `assign` is the pure step from one registry
and a new set of definitions to the next; workers compile plans from what it returns (`plans.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from cohort_store.access_keys import AccessKey
from cohort_store.errors import WrongShards


class VersionState(StrEnum):
    """Where a cohort's version is in its life."""

    BUILDING = "building"
    ACTIVE = "active"
    RETIRED = "retired"
    """Out of force, and kept up for readers that have not read the registry without it yet."""


class Fill(StrEnum):
    """What is to become of a version's history."""

    ONCE = "once"
    """It is filled in by itself, where it was not yet."""
    AGAIN = "again"
    """It was filled in, and somebody asked for it once more. What it says of itself stays as it is meanwhile."""
    LEFT = "left"
    """It is left as it is until somebody asks: what was under way was cancelled, or only a part was asked for."""


class CohortVersion(msgspec.Struct, frozen=True, omit_defaults=True):
    """One version of a cohort: its resolved tree, as plain JSON, under a handle of its own."""

    handle: int
    number: int
    """1, 2, 3, … within the cohort."""
    when: Any
    """The tree with every `in_cohort` replaced by the tree it refers to."""
    registry_version: int
    """The registry version that brought it: a shard below cannot answer for it."""
    activated_ms: int
    """From here on no event that it looks at is missing: when it was compiled; or before, where what was in force kept
    all that it needs (inheriting.py), or where history was filled in."""
    complemented: bool = False
    """Whether it holds for an empty history: then the store keeps the exceptions."""
    state: VersionState = VersionState.ACTIVE
    replaces: int = 0
    """The handle of the version that it takes over from; 0 for a cohort's first."""
    replaces_complemented: bool = False
    """Whether that one was complemented."""
    in_force_from: int = 0
    """The registry version with which it took over: a shard that folded that one has told who was changed."""
    retired_in: int = 0
    """The registry version with which it went out of force: readers of that one or a later one never ask it."""
    backfilled: bool = False
    """Whether all that ClickHouse holds of what it looks at was filled in, for it or for what it inherits that from."""
    fill: Fill = Fill.ONCE

    @property
    def awaits_history(self) -> bool:
        """Whether history is to be filled in for it."""
        return self.fill is Fill.AGAIN or (self.fill is Fill.ONCE and not self.backfilled)


class Cohort(msgspec.Struct, frozen=True, omit_defaults=True):
    """A cohort with the source that its author wrote and the versions that are alive (oldest first)."""

    id: int
    key: str
    source: Any
    """The definition as written, canonical (definitions.to_plain)."""
    versions: tuple[CohortVersion, ...]
    name: str = ""
    listed: bool = True

    @property
    def active(self) -> CohortVersion | None:
        """The version that readers see; None until the first one is ready."""
        return next((v for v in reversed(self.versions) if v.state is VersionState.ACTIVE), None)


class TeamRegistry(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that one team has defined."""

    team: int
    cohorts: tuple[Cohort, ...] = ()
    retired: tuple[Cohort, ...] = ()
    """What is out of force and still kept up, one version in each: of edited cohorts, and of dropped ones."""
    selectors: Mapping[str, int] = {}
    """Canonical text of a selector → its handle; never shrinks, so that a handle is never reused."""
    flags: tuple[Any, ...] = ()
    """Flags in PostHog's JSON shape, validated by the evaluator's model before they are written."""
    flags_changed_ms: Mapping[str, int] = {}
    """Flag's key → the instant from which on it is as it is; without those that are older than this is kept."""
    group_types: Mapping[str, int] = {}
    """The number of each group type, by its name."""

    def cohort(self, key: str) -> Cohort | None:
        """The cohort with that key."""
        return next((cohort for cohort in self.cohorts if cohort.key == key), None)


class Registry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A whole registry at one version. Version 0 is empty."""

    version: int = 0
    cohorts_version: int = 0
    """The last version that changed what is evaluated: a shard that folded it need not look at its records again."""
    next_handle: int = 1
    """Selectors and cohort versions share one sequence."""
    next_cohort_id: int = 1
    teams: Mapping[int, TeamRegistry] = {}
    sources: Mapping[str, tuple[int, ...]] = {}
    """Source topic → the partitions whose progress marks a shard's now waits for."""
    shards: int = 0
    """How many shards the installation has, fixed when it was made; 0 in a registry that does not say it yet."""
    readers_from: int = 0
    """The lowest registry version whose readers find all that it names; of what older ones name, some is dropped."""
    applied: str = ""
    """Id of the last apply that control compiled, or refused, up to this version."""
    refused: str = ""
    """Why that apply was refused; empty where it was compiled. The definitions before it stay in force."""
    keys: tuple[AccessKey, ...] = ()
    """Who may ask the evaluator for what, of all teams; those that count no more for a while too."""

    def team(self, team: int) -> TeamRegistry:
        """The team's registry; empty where it has defined nothing."""
        return self.teams.get(team) or TeamRegistry(team)

    def retired_in(self) -> set[int]:
        """The registry versions with which those versions went out of force that are still kept up."""
        retired = (cohort for team in self.teams.values() for cohort in team.retired)
        return {version.retired_in for cohort in retired for version in cohort.versions}

    def partitions(self) -> Iterable[tuple[str, int]]:
        """Every (source topic, partition)."""
        return ((topic, partition) for topic, numbers in self.sources.items() for partition in numbers)


def check_shards(registry: Registry, configured: int) -> None:
    """Raise WrongShards where the installation has another number of shards than MUSTER_SHARDS says.

    With another number every subject would be looked for, or written, where she is not.
    """
    if registry.shards not in (0, configured):
        raise WrongShards(
            f"MUSTER_SHARDS is {configured}, and this installation was made with {registry.shards} shards, which never "
            f"changes: set MUSTER_SHARDS={registry.shards}, or move to a new installation"
        )


def encode_registry(registry: Registry) -> bytes:
    """The registry as JSON."""
    return msgspec.json.encode(registry)


def decode_registry(raw: bytes) -> Registry:
    """The inverse of `encode_registry`; msgspec.ValidationError for anything else."""
    return msgspec.json.decode(raw, type=Registry)
