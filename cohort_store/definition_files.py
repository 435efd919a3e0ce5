"""Definitions files: `{team?, cohorts: [...], flags: [...], group_types: {...}}` in YAML or JSON, several as a whole.

Cohorts and flags may also come as PostHog's API gives them; such files are told by their shape (`posthog.files`).
Everything is validated before anything is returned, so that a bad definition refuses the whole; errors name file, line,
path, value, limit and remedy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

from cohort_store import compiling
from cohort_store.definition_text import DefinitionText, LocatedValue, read_text
from cohort_store.definitions import COHORTS_MAX, CohortDefinition, parse_cohort
from cohort_store.errors import BadDefinition
from cohort_store.flag_order import order_flags
from cohort_store.flags import FlagDefinition, parse_flag
from cohort_store.group_types import parse_group_types, parse_mapping, twice_numbered
from cohort_store.posthog.cohorts import Team
from cohort_store.posthog.files import is_posthog, surroundings, translate

FILES_MAX = 1_000
FLAGS_MAX = 10_000
TEAM_MAX = 2**31 - 1
TEAM_DEFAULT = 1

_KEYS = ("team", "cohorts", "flags", "group_types", "group_type_mapping")


class Name(NamedTuple):
    """What a definition is known by: the same key may be a cohort's and a flag's, and several teams'."""

    kind: str
    """`cohort`, `flag`, `group_type`; or what only the topic knows: `list`, a part of a static list, and `key`."""
    team: int
    key: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.team}:{self.key}"

    @classmethod
    def parse(cls, text: str) -> Name:
        """The inverse of `str()`; ValueError for anything else."""
        kind, team, key = text.split(":", 2)
        if kind not in (COHORT, FLAG, GROUP_TYPE, LIST, KEY) or not key:
            raise ValueError(f"{text[:80]!r} names no definition")
        return cls(kind, int(team), key)


COHORT, FLAG, GROUP_TYPE, LIST, KEY = "cohort", "flag", "group_type", "list", "key"


@dataclass(frozen=True, slots=True)
class Definitions:
    """What some files define, each part valid by itself. `places` says where, for messages about the whole."""

    cohorts: Mapping[Name, CohortDefinition] = field(default_factory=dict)
    flags: Mapping[Name, FlagDefinition] = field(default_factory=dict)
    teams: frozenset[int] = frozenset()
    """Every team that a file names or defines something for."""
    places: Mapping[Name, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """What PostHog's files hold that is not carried over, or means something slightly different, with its place."""
    group_types: Mapping[Name, int] = field(default_factory=dict)
    """The number of each group type."""

    def flags_of(self, team: int) -> list[FlagDefinition]:
        return [flag for name, flag in self.flags.items() if name.team == team]

    def group_types_of(self, team: int) -> dict[str, int]:
        """By name."""
        return {name.key: index for name, index in self.group_types.items() if name.team == team}


def read_definitions(sources: Sequence[DefinitionText]) -> Definitions:
    """All files as one set of definitions; references are not followed (see `check_whole`).

    Raises BadDefinition for the first thing that is wrong in any of them, a name defined twice included.
    """
    if len(sources) > FILES_MAX:
        raise BadDefinition("", f"{len(sources)} files; at most {FILES_MAX} at once: join some")
    gathered = _Gathered()
    files = [read_text(source) for source in sources]
    around = surroundings(file for file in files if is_posthog(file.value))
    for file in files:
        if is_posthog(file.value):
            gathered.add_posthog_file(file, around)
        else:
            gathered.add_file(file)
    return Definitions(
        gathered.cohorts,
        gathered.flags,
        frozenset(gathered.teams),
        gathered.places,
        tuple(gathered.warnings),
        gathered.group_types,
    )


def check_whole(definitions: Definitions, ids: Mapping[Name, int]) -> None:
    """Raise BadDefinition for what only shows in the whole: references to nobody, circles, bounds.

    `definitions` is everything that is to be in force, `ids` the integer ids of the cohorts that have one
    already: a flag may name a cohort by its key or by that id.
    """
    for team in {name.team for name in definitions.flags}:
        _check_flags(team, definitions, ids)
    for team in {name.team for name in definitions.group_types}:
        _check_group_types(team, definitions)
    by_team: dict[int, list[CohortDefinition]] = {}
    for cohort in definitions.cohorts.values():
        by_team.setdefault(cohort.team, []).append(cohort)
    for team, cohorts in by_team.items():
        try:
            compiling.check(cohorts)
        except BadDefinition as error:
            name = Name(COHORT, team, error.path)
            raise BadDefinition(place_of(definitions, name), error.problem) from None


def place_of(definitions: Definitions, name: Name) -> str:
    """Where a definition stands, for a message: file and line, or its name where it comes from no file."""
    place = definitions.places.get(name)
    return f"{place} ({name.key})" if place else f"{name.kind} {name.key!r} of team {name.team}"


def _check_flags(team: int, definitions: Definitions, ids: Mapping[Name, int]) -> None:
    cohorts = {cohort.key for cohort in definitions.cohorts if cohort.team == team}
    cohorts |= {str(ids[cohort]) for cohort in definitions.cohorts if cohort.team == team and cohort in ids}
    types = set(definitions.group_types_of(team).values())
    flags = definitions.flags_of(team)
    broken = order_flags(flags).broken
    for flag in flags:
        problem = broken.get(flag.key)
        for asked in flag.cohorts():
            if asked not in cohorts:
                problem = f"asks cohort {asked!r}, which team {team} does not define; apply it first or together"
        for index in flag.group_types() - types:
            problem = (
                f"is about group type {index}, which team {team} does not name; add group_types: {{name: {index}}}"
            )
        if problem is not None:
            raise BadDefinition(place_of(definitions, Name(FLAG, team, flag.key)), problem)


def _check_group_types(team: int, definitions: Definitions) -> None:
    twice = twice_numbered(definitions.group_types_of(team))
    if twice is not None:
        first, second = (Name(GROUP_TYPE, team, name) for name in twice)
        problem = f"has the number {definitions.group_types[second]} of {first.key!r}; give it another, or drop one"
        raise BadDefinition(place_of(definitions, second), problem)


class _Gathered:
    """The definitions of the files read so far."""

    def __init__(self) -> None:
        self.cohorts: dict[Name, CohortDefinition] = {}
        self.flags: dict[Name, FlagDefinition] = {}
        self.teams: set[int] = set()
        self.group_types: dict[Name, int] = {}
        self.places: dict[Name, str] = {}
        self.warnings: list[str] = []

    def add_posthog_file(self, file: LocatedValue, around: Team) -> None:
        try:
            made = translate(file.value, around)
        except BadDefinition as error:
            _refuse(file, error.path, error.problem)
        self.warnings += [f"{file.where(note.path)}: {note.text}" for note in made.notes]
        for path, raw in made.cohorts:
            self._add_cohort(file, path, raw, None)
        for path, raw in made.flags:
            self._add_flag(file, path, raw, None)
        self._add_group_types(file, made.team)

    def add_file(self, file: LocatedValue) -> None:
        value = file.value
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            _refuse(file, "", f"a {_word(value)} at the top; write a mapping with `cohorts:`, `flags:` or both")
        _check_keys(file, value, _KEYS)
        team = value.get("team")
        if "team" in value:
            self.teams.add(_team(file, "team", team))
        for index, raw in enumerate(_list(file, value, "cohorts", COHORTS_MAX)):
            self._add_cohort(file, f"cohorts[{index}]", raw, team)
        for index, raw in enumerate(_list(file, value, "flags", FLAGS_MAX)):
            self._add_flag(file, f"flags[{index}]", raw, team)
        self._add_group_types(file, team)

    def _add_cohort(self, file: LocatedValue, path: str, raw: Any, team: int | None) -> None:
        if isinstance(raw, Mapping) and team is not None:
            raw = {"team": team, **raw}
        try:
            cohort = parse_cohort(raw, path)
        except BadDefinition as error:
            _refuse(file, error.path, error.problem)
        name = Name(COHORT, cohort.team, cohort.key)
        self._claim(file, path, name)
        self.cohorts[name] = cohort

    def _add_flag(self, file: LocatedValue, path: str, raw: Any, team: int | None) -> None:
        if isinstance(raw, Mapping) and team is not None:
            raw = {"team_id": team, **raw}
        try:
            flag = parse_flag(raw, path)
        except BadDefinition as error:
            _refuse(file, error.path, error.problem)
        name = Name(FLAG, flag.team, flag.key)
        self._claim(file, path, name)
        self.flags[name] = flag

    def _add_group_types(self, file: LocatedValue, team: int | None) -> None:
        value = file.value if isinstance(file.value, Mapping) else {}
        for key, parse in (("group_types", parse_group_types), ("group_type_mapping", parse_mapping)):
            if value.get(key) is None:
                continue
            try:
                types = parse(value[key], key)
            except BadDefinition as error:
                _refuse(file, error.path, error.problem)
            for name, index in types.items():
                of_type = Name(GROUP_TYPE, TEAM_DEFAULT if team is None else team, name)
                self._claim(file, key, of_type)
                self.group_types[of_type] = index

    def _claim(self, file: LocatedValue, path: str, name: Name) -> None:
        before = self.places.get(name)
        if before is not None:
            problem = f"{name.kind} {name.key!r} of team {name.team} stands already at {before}; keep one of the two"
            _refuse(file, path, problem)
        self.places[name] = file.where(path)
        self.teams.add(name.team)


def _check_keys(file: LocatedValue, value: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in value:
        if key not in known:
            _refuse(file, key, f"this key is not known here; a file has {', '.join(known)}")


def _list(file: LocatedValue, value: Mapping[str, Any], key: str, limit: int) -> list[Any]:
    items = value.get(key)
    if items is None:
        return []
    if not isinstance(items, list):
        _refuse(file, key, f"a {_word(items)} where a list is wanted; write `{key}: [...]`")
    if len(items) > limit:
        _refuse(file, key, f"{len(items)} of them; at most {limit} in one file: split it")
    return items


def _team(file: LocatedValue, path: str, team: Any) -> int:
    if isinstance(team, bool) or not isinstance(team, int) or not 1 <= team <= TEAM_MAX:
        _refuse(file, path, f"{str(team)[:40]!r} is no team; write a whole number from 1 to {TEAM_MAX}")
    return team


def _word(value: Any) -> str:
    words = {dict: "mapping", list: "list", str: "text", bool: "boolean", type(None): "null"}
    return words.get(type(value), "number")


def _refuse(file: LocatedValue, path: str, problem: str) -> NoReturn:
    raise BadDefinition(file.where(path), problem)
