"""The shapes in which flags are answered: what `v` asks for, on `/flags` and on the older `/decide`.

| path | `v` | shape |
| --- | --- | --- |
| `/flags` | 2 and above | `flags`: each with its reason and metadata |
| `/flags` | 1 | `featureFlags` (values by key) and `featureFlagPayloads` |
| `/flags` | absent | both of these |
| `/decide` | absent, 1 | `featureFlags`: the keys of those that are on |
| `/decide` | 2 | `featureFlags`: the values of those that are on |
| `/decide` | 3 | as `/flags` with 1 |
| `/decide` | 4 and above | as `/flags` with 2 |
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from evaluator.deciding.evaluation import CohortAnswer
from evaluator.deciding.flag_quality import FlagQuality
from evaluator.deciding.flags import FlagAnswer
from evaluator.http.messages import Request
from evaluator.reading.person_properties import KeptProperty

Value = bool | str


class Shape(Enum):
    """How flags are answered."""

    DETAILS = auto()
    VALUES = auto()
    BOTH = auto()
    KEYS_THAT_ARE_ON = auto()
    VALUES_THAT_ARE_ON = auto()


class FilledIn(KeptProperty, frozen=True, omit_defaults=True):
    """A property that the request did not bring, and the flags that test it."""

    flags: tuple[str, ...] = ()


class FlagsMuster(msgspec.Struct, frozen=True, omit_defaults=True):
    """How good the answer is; sent on `X-Muster: 1` or `?muster=1`."""

    registry_version: int
    definitions_from: str
    """mirror (Redis), topic (Kafka), or snapshot: no other source has answered since the start. Empty: none has any."""
    person: str | None = None
    """The person that the distinct id stands for; absent where nothing that is stored had to be asked."""
    data_age_ms: int | None = None
    """How far the person's roll is behind; absent where nothing could be read."""
    cohorts: dict[str, CohortAnswer] = {}
    """Every cohort that one of the flags may ask, by key."""
    filled_in: dict[str, FilledIn] = {}
    """The properties that the request did not bring and that flags were decided with, as Muster keeps them."""
    unread: list[str] = []
    """Those that it did not bring, that flags test, and that could not be read."""
    flags: dict[str, FlagQuality] = {}
    """How good each flag's answer is, and which of its tests held."""
    properties: list[str] = []
    """The person's properties that the request brought and that one of the flags tests."""
    from_cache: bool = False
    """Whether what was last known of the person stood by, since the store did not answer for every cohort."""
    refused: dict[str, str] = {}
    """Flags that this evaluator cannot read, with the reason."""


class FlagsAnswer(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """PostHog's answer, version 2."""

    flags: dict[str, FlagAnswer]
    errors_while_computing_flags: bool
    """True where a flag's `on_unavailable` answered, a flag is unreadable, or no definitions are loaded yet."""
    request_id: str
    evaluated_at: int
    """Milliseconds since 1970."""
    muster: FlagsMuster | None = None


class VersionedAnswer(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """The answer in any version: which of the three fields of flags are there is a matter of the one asked for."""

    flags: dict[str, FlagAnswer] | UnsetType = UNSET
    feature_flags: dict[str, Value] | list[str] | UnsetType = UNSET
    """Values by key; of the oldest version, the keys of those that are on."""
    feature_flag_payloads: dict[str, str] | UnsetType = UNSET
    """Of the flags that have one for their value: a text that holds JSON."""
    errors_while_computing_flags: bool
    """True where a flag's `on_unavailable` answered, a flag is unreadable, or no definitions are loaded yet."""
    request_id: str
    evaluated_at: int
    """Milliseconds since 1970."""
    muster: FlagsMuster | None = None


class DecideAnswer(VersionedAnswer, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """The answer of `/decide`, which tells older SDKs besides that nothing else is switched on."""

    config: dict[str, bool]
    supported_compression: list[str]
    session_recording: bool
    toolbar_params: dict[str, str]
    is_authenticated: bool
    site_apps: list[str]


_DECIDE: dict[str, Any] = {
    "config": {"enable_collect_everything": True},
    "supported_compression": ["gzip", "gzip-js"],
    "session_recording": False,
    "toolbar_params": {},
    "is_authenticated": False,
    "site_apps": [],
}


def shape_of(request: Request, *, decide: bool = False) -> Shape:
    """What the request asks for; a `v` that is no number counts as absent."""
    text = request.query.get("v", "") if request.query_string else ""
    version = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
    if not decide:
        if version is None:
            return Shape.BOTH
        return Shape.DETAILS if version >= 2 else Shape.VALUES
    return _DECIDE_SHAPES.get(version or 1, Shape.DETAILS)


_COMMON = ("errors_while_computing_flags", "request_id", "evaluated_at", "muster")
_DECIDE_SHAPES = {1: Shape.KEYS_THAT_ARE_ON, 2: Shape.VALUES_THAT_ARE_ON, 3: Shape.VALUES}


def shaped(found: FlagsAnswer, shape: Shape, *, decide: bool = False) -> FlagsAnswer | VersionedAnswer:
    """The answer in that shape."""
    if shape is Shape.DETAILS and not decide:
        return found
    fields = {name: getattr(found, name) for name in _COMMON} | _flags(shape, found.flags)
    return DecideAnswer(**fields, **_DECIDE) if decide else VersionedAnswer(**fields)


def _flags(shape: Shape, answers: Mapping[str, FlagAnswer]) -> dict[str, Any]:
    match shape:
        case Shape.DETAILS:
            return {"flags": answers}
        case Shape.KEYS_THAT_ARE_ON:
            return {"feature_flags": [key for key, answer in answers.items() if answer.enabled]}
        case Shape.VALUES_THAT_ARE_ON:
            return {"feature_flags": {key: _value(answer) for key, answer in answers.items() if answer.enabled}}
        case Shape.VALUES:
            return _values(answers)
        case Shape.BOTH:
            return {"flags": answers, **_values(answers)}


def _values(answers: Mapping[str, FlagAnswer]) -> dict[str, Any]:
    payloads = ((key, answer.metadata.payload) for key, answer in answers.items())
    return {
        "feature_flags": {key: _value(answer) for key, answer in answers.items()},
        "feature_flag_payloads": {key: payload for key, payload in payloads if payload is not None},
    }


def _value(answer: FlagAnswer) -> Value:
    return answer.enabled and (answer.variant or True)
