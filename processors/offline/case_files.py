"""Files of cases for `muster test`: `{definitions, team?, cases: [{name, now, persons?, events?, expect}]}`.

An instant is ISO 8601 (UTC where it names no zone), milliseconds since 1970, `now`, or relative to the case's `now`:
`-3d`, `+1h30m`. A file is validated whole; errors name file, line, path, value and remedy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from cohort_store.definition_text import LocatedValue, read_text
from cohort_store.durations import parse_duration_ms, parse_instant_ms
from cohort_store.errors import BadDefinition
from cohort_store.findings import first_finding
from cohort_store.schema import Model
from processors.definition_reading import text_of

CASES_MAX = 1_000
EVENTS_MAX = 10_000
PERSONS_MAX = 10_000
TEAM_MAX = 2**31 - 1
NOW = "now"

_RELATIVE = re.compile(r"([+-])([0-9a-z]+)")
_INSTANT = "ISO 8601, milliseconds since 1970, now, or relative to it: -3d."

Instant = str | int


def instant_ms_of(written: Instant, now_ms: int) -> int:
    """An instant of a case. ValueError, with the remedy, for anything else."""
    if isinstance(written, int):
        return written
    if written == NOW:
        return now_ms
    relative = _RELATIVE.fullmatch(written)
    if relative is None:
        return parse_instant_ms(written)
    duration_ms = parse_duration_ms(relative[2])
    return now_ms + (duration_ms if relative[1] == "+" else -duration_ms)


class CaseEvent(Model):
    """What somebody did: `{person_id: ann, event: purchase, at: -3d}`."""

    event: str = Field(description="The event's name.")
    at: Instant | tuple[Instant, ...] = Field(description=f"When, or several times: {_INSTANT}")
    person_id: str | None = Field(default=None, description="Who did it.")
    distinct_id: str | None = Field(default=None, description="The distinct id by which it was done.")
    uuid: str | None = Field(default=None, description="Derived from the rest where it is absent.")
    properties: dict[str, Any] = Field(default={}, description="The event's properties.")

    @field_validator("at")
    @classmethod
    def _are_instants(cls, at: Instant | tuple[Instant, ...]) -> Instant | tuple[Instant, ...]:
        for each in at if isinstance(at, tuple) else (at,):
            instant_ms_of(each, 0)
        return at

    def times_ms(self, now_ms: int) -> list[int]:
        """When it happened."""
        return [instant_ms_of(each, now_ms) for each in (self.at if isinstance(self.at, tuple) else (self.at,))]


class CasePerson(Model):
    """Somebody: `{id: ann, distinct_ids: [device-1], properties: {plan: pro}}`."""

    id: str = Field(min_length=1, description="The person's id.")
    distinct_ids: tuple[str, ...] = Field(default=(), description="Distinct ids that are hers.")
    created_at: Instant | None = Field(default=None, description=f"Her property `created_at`: {_INSTANT}")
    properties: dict[str, Any] = Field(default={}, description="Her present properties.")

    @field_validator("created_at")
    @classmethod
    def _is_an_instant(cls, created_at: Instant | None) -> Instant | None:
        if created_at is not None:
            instant_ms_of(created_at, 0)
        return created_at


class Case(Model):
    """One question with its answer."""

    name: str = Field(min_length=1, max_length=400, description="A sentence: what must be so.")
    now: Instant = Field(description="The present instant: ISO 8601, or milliseconds since 1970.")
    persons: tuple[CasePerson | str, ...] = Field(
        default=(), max_length=PERSONS_MAX, description="Who there is beside those of the events; an id alone will do."
    )
    events: tuple[CaseEvent, ...] = Field(default=(), max_length=EVENTS_MAX, description="What happened.")
    expect: dict[str, tuple[str, ...]] = Field(
        min_length=1,
        description="Cohort's key → ids of exactly its members; other cohorts may be anything.",
    )

    @field_validator("now")
    @classmethod
    def _is_absolute(cls, now: Instant) -> Instant:
        if isinstance(now, str):
            parse_instant_ms(now)
        return now

    @property
    def now_ms(self) -> int:
        return instant_ms_of(self.now, 0)


class CaseFile(Model):
    """Cases for `muster test`, and the definitions that they are about."""

    definitions: str | tuple[str, ...] = Field(description="Files of definitions, seen from this file's folder.")
    team: int | None = Field(
        default=None, strict=True, ge=1, le=TEAM_MAX, description="The team that is meant; else the only one."
    )
    cases: tuple[Case, ...] = Field(min_length=1, max_length=CASES_MAX)


@dataclass(frozen=True, slots=True)
class ReadCases:
    """A file of cases with the places of its parts."""

    path: Path
    file: CaseFile
    located: LocatedValue

    @property
    def definitions(self) -> Sequence[Path]:
        """Where the definitions are."""
        named = self.file.definitions
        return [self.path.parent / each for each in ([named] if isinstance(named, str) else named)]

    def refusal(self, path: str, problem: str) -> BadDefinition:
        """What is wrong with a part, for its author."""
        return BadDefinition(self.located.where(path), problem)


def read_cases(path: Path) -> ReadCases:
    """The file's cases. Raises BadDefinition."""
    located = read_text(text_of(path))
    try:
        file = CaseFile.model_validate(located.value)
    except ValidationError as error:
        where, problem = first_finding(error, "", frozenset())
        raise BadDefinition(located.where(where), problem) from None
    return ReadCases(path, file, located)
