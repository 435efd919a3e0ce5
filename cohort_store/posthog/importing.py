"""PostHog's files as one definitions file of Muster's, with warnings on what changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cohort_store.definition_files import COHORT, Definitions, Name, check_whole, place_of, read_definitions
from cohort_store.definition_text import DefinitionText
from cohort_store.definition_yaml import write_yaml
from cohort_store.definitions import CohortDefinition, InCohort, leaves_of, to_plain
from cohort_store.flags import plain_flag


@dataclass(frozen=True, slots=True)
class Imported:
    """What PostHog's files define, in Muster's plain form."""

    cohorts: tuple[dict[str, Any], ...]
    flags: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]

    def yaml(self) -> str:
        """As a definitions file."""
        parts = {"cohorts": list(self.cohorts), "flags": list(self.flags)}
        return write_yaml({key: value for key, value in parts.items() if value})


def import_posthog(sources: Sequence[DefinitionText]) -> Imported:
    """All files as one whole. Raises BadDefinition for the first thing that cannot be taken along.

    A reference to a cohort that did not come along is a warning: it may be in force already.
    """
    made = read_definitions(sources)
    missing = tuple(_missing(made))
    if not missing:
        check_whole(made, {})
    return Imported(
        tuple(map(_written, made.cohorts.values())),
        tuple(plain_flag(flag) for flag in made.flags.values()),
        (*made.warnings, *missing),
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


def _references(made: Definitions) -> Iterator[tuple[Name, str]]:
    for name, cohort in made.cohorts.items():
        asked = {leaf.cohort for leaf in leaves_of(cohort.when) if isinstance(leaf, InCohort)}
        yield from ((name, key) for key in sorted(asked))
    for name, flag in made.flags.items():
        yield from ((name, key) for key in sorted(set(flag.cohorts())))
