"""What a codec is, and which there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from cohort_store.settings import Settings
from processors.codecs.event import Event, Limits
from processors.codecs.plain import PlainCodec
from processors.codecs.posthog import PostHogCodec
from processors.codecs.posthog_distinct_id import PairState, PostHogDistinctIdCodec
from processors.codecs.posthog_person import PersonState, PostHogPersonCodec


class EventCodec(Protocol):
    """Reads one topic's messages."""

    def peek(self, raw: bytes) -> str | None:
        """The event's name, at the price of a look; None where only `decode` can tell."""
        ...

    def decode(self, raw: bytes, arrival_ms: int) -> Event:
        """The whole event. Raises BadEvent for every message that is not one; never anything else."""
        ...


class PersonCodec(Protocol):
    """Reads one topic's messages, each of them the state of a person."""

    def decode(self, raw: bytes) -> PersonState:
        """The state. Raises BadEvent for every message that is none; never anything else."""
        ...


class PairCodec(Protocol):
    """Reads one topic's messages, each of them whose a distinct id is."""

    def decode(self, raw: bytes) -> PairState:
        """The pair. Raises BadEvent for every message that is none; never anything else."""
        ...


_CODECS: Mapping[str, Callable[[Limits], EventCodec]] = {"plain": PlainCodec, "posthog": PostHogCodec}
_PERSON_CODECS: Mapping[str, Callable[[Limits], PersonCodec]] = {"posthog_person": PostHogPersonCodec}
_PAIR_CODECS: Mapping[str, Callable[[Limits], PairCodec]] = {"posthog_distinct_id": PostHogDistinctIdCodec}


def codecs_of(settings: Settings) -> dict[str, EventCodec]:
    """The codec of each source of events."""
    limits = Limits(settings.future_ms_max, settings.event_bytes_max)
    return {topic: _CODECS[name](limits) for topic, name in settings.event_sources.items()}


def person_codecs_of(settings: Settings) -> dict[str, PersonCodec]:
    """The codec of each source of persons."""
    limits = Limits(settings.future_ms_max, settings.event_bytes_max)
    return {topic: _PERSON_CODECS[name](limits) for topic, name in settings.person_sources.items()}


def pair_codecs_of(settings: Settings) -> dict[str, PairCodec]:
    """The codec of each source of distinct ids."""
    limits = Limits(settings.future_ms_max, settings.event_bytes_max)
    return {topic: _PAIR_CODECS[name](limits) for topic, name in settings.pair_sources.items()}
