"""What a codec is, and which there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from cohort_store.settings import Settings
from processors.codecs.event import Event, Limits
from processors.codecs.plain import PlainCodec
from processors.codecs.posthog import PostHogCodec


class EventCodec(Protocol):
    """Reads one topic's messages."""

    def peek(self, raw: bytes) -> str | None:
        """The event's name, at the price of a look; None where only `decode` can tell."""
        ...

    def decode(self, raw: bytes, arrival_ms: int) -> Event:
        """The whole event. Raises BadEvent for every message that is not one; never anything else."""
        ...


_CODECS: Mapping[str, Callable[[Limits], EventCodec]] = {"plain": PlainCodec, "posthog": PostHogCodec}


def codecs_of(settings: Settings) -> dict[str, EventCodec]:
    """The codec of each source topic."""
    limits = Limits(settings.future_ms_max, settings.event_bytes_max)
    return {topic: _CODECS[name](limits) for topic, name in settings.sources.items()}
