"""What in-process evaluation is told, as it stands in JSON: the request and the answer of POST /flags/context."""

from __future__ import annotations

from typing import Any

import msgspec

from evaluator.push.events import PersonContext


class ContextRequest(msgspec.Struct):
    """Whom to tell of. Fields that are not named here are ignored."""

    distinct_id: str | int | None = None
    """Absent: definitions only."""
    registry_version: int | None = None
    """The one whose definitions the caller has: they are left out of the answer where it is in force."""
    stream: str = ""
    """The caller's stream of definitions (the header X-Muster-Stream of its answer): it tells of this person too."""


class CohortName(msgspec.Struct, frozen=True):
    """What a flag may call a cohort."""

    id: int
    key: str
    version: int


class FlagDefinitions(msgspec.Struct, frozen=True):
    """One team's flags as they are defined, with the cohorts that there are."""

    flags: list[Any]
    """PostHog's JSON shape."""
    cohorts: list[CohortName]


class ContextAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person's memberships, each with its status, and the definitions that they are for."""

    registry_version: int
    evaluated_at: int
    """Milliseconds since 1970."""
    watched: bool = False
    """Whether the stream tells of this person from now on; where not, ask again from time to time."""
    context: PersonContext | None = None
    definitions: FlagDefinitions | None = None
    """Absent where the caller has them."""
