"""What listeners are sent: the events, their text, and the last ones of a channel for those who come back. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from evaluator.deciding.evaluation import CohortAnswer
from evaluator.deciding.flags import FlagAnswer

REPLAY_MAX = 32
"""Events of a channel that are kept for who comes back; who missed more is sent the whole state."""

RECONNECT_MS = 2_000
"""After so long a client comes back where its stream was ended."""

HEARTBEAT = b":\n\n"


class Name(StrEnum):
    """What an event is. Clients ignore names that they do not know."""

    STATE = "state"
    """Everything: at the start, and where what was missed is not kept any more."""
    CHANGE = "change"
    """What differs from the event before."""
    CONTEXT = "context"
    """What one person's flags are decided with in-process: her memberships changed."""
    UNWATCHED = "unwatched"
    """A provider's stream tells of that person no more."""
    STATUS = "status"
    """Whether changes of membership come through."""
    CLOSING = "closing"
    """Why the stream ends here."""


class Event(NamedTuple):
    """One event. `id` is empty for what is not kept for replay."""

    name: Name
    data: bytes
    id: str = ""


class FlagValues(msgspec.Struct, frozen=True, omit_defaults=True):
    """One person's flags: all of them in a `state`, those that have another value now in a `change`."""

    distinct_id: str
    registry_version: int
    evaluated_at: int
    """Milliseconds since 1970."""
    flags: dict[str, FlagAnswer]
    removed: list[str] = []
    """Flags that are not defined any more."""


class DefinitionsChange(msgspec.Struct, frozen=True):
    """Another registry version is in force. In a `state` nothing is listed."""

    registry_version: int
    changed: list[str]
    """Flags that are new or decided otherwise, cohorts that they ask included."""
    removed: list[str]


class PersonContext(msgspec.Struct, frozen=True, omit_defaults=True):
    """One person, as in-process evaluation needs her."""

    distinct_id: str
    person: str
    evaluated_at: int
    cohorts: dict[str, CohortAnswer]
    """Every cohort that one of the team's flags may ask, by key."""
    properties: dict[str, Any] = {}
    """Those that flags test, as they are kept of her."""
    unread: list[str] = []
    """Those that could not be read."""


class Unwatched(msgspec.Struct, frozen=True):
    """A person who was watched for longest, and had to make room for another."""

    distinct_id: str


class ChangesStatus(msgspec.Struct, frozen=True):
    """Whether changes of membership come through; while they do not, values are looked at from time to time only."""

    live: bool
    detail: str


class Closing(msgspec.Struct, frozen=True):
    """The last event of a stream that the server ends. Coming back with Last-Event-ID loses nothing."""

    reason: str
    """slow, full, or stopping."""
    detail: str


def event(name: Name, data: Any, event_id: str = "") -> Event:
    """An event with a struct for its data."""
    return Event(name, msgspec.json.encode(data), event_id)


Form = Callable[[Event], bytes]
"""How a stream writes events; empty for what it does not tell."""


def plain(each: Event) -> bytes:
    """The event by its name, with its data."""
    head = b"id: %s\n" % each.id.encode() if each.id else b""
    tail = b"retry: %d\n" % RECONNECT_MS if each.name is Name.CLOSING else b""
    return b"%sevent: %s\ndata: %s\n%s\n" % (head, each.name.encode(), each.data, tail)


_REFETCH = msgspec.json.encode({"type": "refetchEvaluation"})


def ofrep(each: Event) -> bytes:
    """OFREP's event stream (protocol 0.3.0): only that flags are to be asked for again.

    A `state` is not told, since OFREP's clients ask for everything when they connect.
    """
    if each.name is not Name.CHANGE:
        return HEARTBEAT
    return b"id: %s\nevent: message\ndata: %s\n\n" % (each.id.encode(), _REFETCH)


class EventLog:
    """The last events of one channel. Ids are the channel's own word and a number, counted up."""

    def __init__(self, word: str) -> None:
        self._word = word
        self._number = 0
        self._kept: deque[Event] = deque(maxlen=REPLAY_MAX)

    @property
    def newest_id(self) -> str:
        """The id of the last event; that of a state which holds all events so far."""
        return f"{self._word}-{self._number}"

    def add(self, name: Name, data: Any) -> Event:
        """Keep an event under the next id."""
        self._number += 1
        told = event(name, data, self.newest_id)
        self._kept.append(told)
        return told

    def since(self, last_id: str) -> list[Event] | None:
        """The events behind that id; None where they are not all kept, or it is none of this channel's."""
        word, _, number = last_id.rpartition("-")
        if word != self._word or not number.isascii() or not number.isdigit():
            return None
        missed = self._number - int(number[:20])
        if not 0 <= missed <= len(self._kept):
            return None
        return list(self._kept)[len(self._kept) - missed :]
