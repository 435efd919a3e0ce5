"""What reconciling needs of the world, beside the ports of the backfill."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from cohort_store.definitions import Node
from processors.backfill.ports import Seed
from processors.backfill.wanted import Wanted


class Scope(NamedTuple):
    """Some persons of a team: all of some shards or, of those, only some."""

    team: int
    shards: frozenset[int]
    persons: frozenset[str] | None = None


class PastSide(Protocol):
    """The history, as far as reconciling asks it. Every method raises Retry where it cannot be asked."""

    async def is_there(self) -> bool:
        """Whether there is a history at all; the other methods are for where there is."""
        ...

    async def begins_ms(self, team: int) -> int | None:
        """The time of the team's first event; None where there is none."""
        ...

    async def persons(self, team: int) -> int:
        """How many persons it knows of, roughly."""
        ...

    async def known(self, scope: Scope) -> frozenset[str]:
        """The persons of the scope who have any event."""
        ...

    def members(
        self, cohorts: Mapping[str, Node], lists: Mapping[str, Sequence[str]], scope: Scope, at_ms: int
    ) -> AsyncGenerator[Sequence[tuple[str, str]], None]:
        """Who of the scope is in which cohort at `at_ms` by the history alone, as (key, person), block by block.

        Of static lists, `lists` has the members by digest. Who is not `known` is not told of.
        """
        ...

    def seeds(self, wanted: Wanted, pruned_ms: int, scope: Scope) -> AsyncGenerator[Sequence[Seed], None]:
        """What is to be kept of the scope's persons at `pruned_ms`, block by block."""
        ...

    async def arrivals(self, scope: Scope, after_ms: int) -> frozenset[str]:
        """The persons of the scope of whom an event reached the log after that instant."""
        ...


class Settled(Protocol):
    """Whether the history holds what the sources hold."""

    async def settled(self) -> None:
        """Return once it holds all that is in the sources now. Raises Retry where that takes too long."""
        ...


class Drifted(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person of whom the two sides say different things."""

    person: str
    kind: str
    """`stored`, `now` or `later`; see comparing.Kind."""
    at_ms: int
    live: bool | None
    history: bool | None
    repaired: bool = False


class Agreement(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one cohort stands."""

    team: int
    id: int
    key: str
    version: int
    at_ms: int
    """The last instant at which it was compared."""
    persons: int
    """Persons who were compared."""
    in_flight: int = 0
    """Persons of whom events kept coming, so that nothing can be said."""
    drifted: tuple[Drifted, ...] = ()
    not_judged: str = ""
    """Why it was not compared; empty where it was."""


class Book(Protocol):
    """Where agreements are written down."""

    async def write(self, agreements: Collection[Agreement]) -> None:
        """Add them. Raises Retry where it is not known that all are written; twice is as good as once."""
        ...
