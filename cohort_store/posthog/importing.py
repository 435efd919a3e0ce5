"""PostHog's files as one definitions file of Muster's, with warnings on what changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cohort_store.definition_files import (
    COHORT,
    FLAG,
    TEAM_DEFAULT,
    Definitions,
    Name,
    check_whole,
    place_of,
    read_definitions,
)
from cohort_store.definition_text import DefinitionText
from cohort_store.definition_yaml import write_yaml
from cohort_store.definitions import CohortDefinition, InCohort, leaves_of, to_plain
from cohort_store.errors import BadDefinition
from cohort_store.flag_order import order_flags
from cohort_store.flags import plain_flag


@dataclass(frozen=True, slots=True)
class Imported:
    """What PostHog's files define, in Muster's plain form."""

    cohorts: tuple[dict[str, Any], ...]
    flags: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]
    group_types: Mapping[str, int] = field(default_factory=dict)
    team: int = TEAM_DEFAULT
    """The team of the group types."""

    def yaml(self) -> str:
        """As a definitions file."""
        parts: dict[str, Any] = {
            "team": self.team if self.team != TEAM_DEFAULT else None,
            "group_types": dict(self.group_types),
            "cohorts": list(self.cohorts),
            "flags": list(self.flags),
        }
        return write_yaml({key: value for key, value in parts.items() if value})


def import_posthog(sources: Sequence[DefinitionText]) -> Imported:
    """All files as one whole. Raises BadDefinition for the first thing that cannot be taken along.

    A reference to a cohort, flag or group type that did not come along is a warning: it may be in force already.
    """
    made = read_definitions(sources)
    missing = tuple(_missing(made))
    teams = sorted({name.team for name in made.group_types})
    if len(teams) > 1:
        raise BadDefinition("", f"group types of teams {', '.join(map(str, teams))}; import one team at a time")
    team = teams[0] if teams else TEAM_DEFAULT
    if not missing:
        check_whole(made, {})
    return Imported(
        tuple(map(_written, made.cohorts.values())),
        tuple(plain_flag(flag) for flag in made.flags.values()),
        (*made.warnings, *missing),
        made.group_types_of(team),
        team,
    )


def _written(cohort: CohortDefinition) -> dict[str, Any]:
    """The cohort as people write it: a list by its members."""
    plain = to_plain(cohort)
    if cohort.members is None:
        return plain
    return {**{key: value for key, value in plain.items() if key != "when"}, "members": list(cohort.members)}


def _missing(made: Definitions) -> Iterator[str]:
    for name, asked in _references(made):
        if Name(COHORT, name.team, asked) not in made.cohorts:
            yield f"{place_of(made, name)}: cohort {asked!r} did not come along; import it too, or apply it first"
    for team in sorted({name.team for name in made.flags}):
        types, names = set(made.group_types_of(team).values()), order_flags(made.flags_of(team)).names
        for flag in made.flags_of(team):
            place = place_of(made, Name(FLAG, team, flag.key))
            for other in sorted(set(flag.flags()) - set(names)):
                yield f"{place}: flag {other!r} did not come along; import it too, or apply it first"
            for index in sorted(flag.group_types() - types):
                yield f"{place}: group type {index} has no name; add group_types: {{name: {index}}}"


def _references(made: Definitions) -> Iterator[tuple[Name, str]]:
    for name, cohort in made.cohorts.items():
        asked = {leaf.cohort for leaf in leaves_of(cohort.when) if isinstance(leaf, InCohort)}
        yield from ((name, key) for key in sorted(asked))
    for name, flag in made.flags.items():
        yield from ((name, key) for key in sorted(set(flag.cohorts())))
