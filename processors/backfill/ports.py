"""What filling in needs of the world."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from cohort_store.deltas import DeltaEntry, RegisterWrite
from cohort_store.errors import Retry
from processors.backfill.wanted import Wanted
from processors.router.packing import Packed
from processors.router.progress import Source


class Seed(NamedTuple):
    """What is to be kept of one person."""

    person: str
    entries: tuple[DeltaEntry, ...]
    registers: tuple[RegisterWrite, ...]
    place: int = 0
    """Where she stands among all persons, 0 to 2⁶⁴ − 1: her hash."""


class Pair(NamedTuple):
    """A distinct id, and the newest event that names its person."""

    distinct_id: str
    person: str
    time_ms: int


class Part(NamedTuple):
    """A share of all persons: those whose hash falls on `number` of `of`."""

    number: int
    of: int
    begins: int = 0
    """Of those whoever stands before this place is left out."""


class Reading(NamedTuple):
    """How the history is read in one run."""

    since_ms: int | None = None
    """Only events at or after that instant; None: all."""
    max_threads: int | None = None
    """Threads that a question may take; None: as configured."""
    hurries: bool = False
    """At no bounded rate, whatever is configured."""


class TooLarge(Retry):
    """To read that much of the history at once takes more memory than it may: half of it may be less than too much."""


class History(Protocol):
    """All events of the past. Every method raises Retry where it cannot be asked."""

    def read_as(self, reading: Reading) -> History:
        """The same history, for whom `persons` and `seeds` know of what is to be read alone."""
        ...

    async def is_there(self) -> bool:
        """Whether there is a history at all; the other methods are for where there is."""
        ...

    async def begins_ms(self, team: int) -> int | None:
        """The time of the team's first event; None where there is none."""
        ...

    async def persons(self, team: int) -> int:
        """How many persons it knows of, roughly."""
        ...

    def seeds(self, wanted: Wanted, pruned_ms: int, part: Part) -> AsyncGenerator[Sequence[Seed], None]:
        """What is to be kept at `pruned_ms` of a part's persons, in order of their places, block by block.

        Who has nothing is left out. Raises TooLarge, before the first block or behind any.
        """
        ...

    def pairs(self, team: int) -> AsyncGenerator[Sequence[Pair], None]:
        """The person of every distinct id, block by block."""
        ...


class Activations(Protocol):
    """From where on live events are read with a version of the registry."""

    async def of(self, registry_version: int, sources: Iterable[Source]) -> dict[Source, int]:
        """The offset of each source partition, once routers have told all of them. Waits; raises Retry.

        None is below what the partition held when this was called.
        """
        ...


class Archived(Protocol):
    """How much of the sources the history holds."""

    async def awaited(self, activations: Mapping[Source, int], since_ms: int) -> str:
        """What of everything before these offsets may still be on its way into it; empty: nothing is.

        Half a sentence for people. `since_ms` is an instant at which all of it had been produced. Raises Retry.
        """
        ...


def farthest_behind(missing: Mapping[Source, int], what: str) -> str:
    """The partition that lacks the most messages, as half a sentence about what lacks them; empty where none does."""
    if not missing:
        return ""
    source, count = max(missing.items(), key=lambda each: each[1])
    return f"{what} of {source.topic}/{source.partition}, {count} messages behind"


class DeltaLog(Protocol):
    """The deltas' topic, for one who wants to know where they stand in it."""

    async def send(self, messages: Sequence[Packed]) -> dict[int, int]:
        """By partition, the offset behind the messages, once all are acknowledged. Raises Retry where not all are."""
        ...


class SeedLog(DeltaLog, Protocol):
    """The same, for one who comes back to it later."""

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """By partition, the offset of its next message. Raises Retry."""
        ...


class Notes(Protocol):
    """A few lines that outlive the process, but not necessarily the store."""

    async def note(self, name: str) -> bytes | None:
        """What was kept under that name."""
        ...

    async def keep_note(self, name: str, note: bytes | None) -> None:
        """Keep it from here on; None: nothing."""
        ...


class FillingStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far the filling in has come."""

    registry_version: int
    handles: tuple[int, ...]
    """The versions that it is for."""
    restores: tuple[tuple[int, int], ...] = ()
    """(shard, instant): shards that began anew then, and are to have everything again."""
    waits_for: str = ""
    """What it waits for, as half a sentence; empty while it reads."""
    team: int = 0
    part: int = 0
    """Parts of this team that are done."""
    parts: int = 0
    halvings: int = 0
    """How often this team's parts were halved, since one of them was too large for the memory that there is."""
    persons: int = 0
    """Persons who were seeded so far, of all teams, in parts that are done."""
    of_part: int = 0
    """Those of the part that is under way."""
    begins: int = 0
    """In the part under way whoever stands before this place was sent."""
    before: int = 0
    """How many those are."""
    known: int = 0
    """Persons of this team whom the history knows of, roughly."""
    run: str = ""
    """The run that was asked for (asking.py); empty where it is done by itself."""
    since_ms: int = 0
    """When live events counted in every source partition, at the latest; 0: not known."""
    activations: tuple[tuple[str, int, int], ...] = ()
    """(topic, partition, offset): live events are read for these versions from there on."""
    behind: tuple[tuple[int, int], ...] = ()
    """(partition, offset) of the deltas: what was sent lies before."""
