"""What forgetting needs of the world."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

import msgspec

from cohort_store.deltas import Erasure
from cohort_store.subjects import Subject


class ErasedRows(msgspec.Struct, frozen=True):
    """How many rows were erased of each table; of `drift`, how many named her."""

    events: int = 0
    membership_changes: int = 0
    drift: int = 0

    def __add__(self, other: ErasedRows) -> ErasedRows:
        return ErasedRows(
            self.events + other.events,
            self.membership_changes + other.membership_changes,
            self.drift + other.drift,
        )


class Past(Protocol):
    """The history, as far as somebody is erased from it. Every method raises Retry where it cannot be asked."""

    async def is_there(self) -> bool:
        """Whether it holds events that Muster wrote: from others' tables nothing is erased."""
        ...

    async def distinct_ids(self, person: Subject) -> list[str]:
        """The distinct ids that are a person's by her events; her own id too, unless it is another's."""
        ...

    async def keep_away(self, subjects: Collection[Subject], erasure: Erasure) -> None:
        """Let nobody write again what is of these, persons and distinct ids, and from before."""
        ...

    async def erase(self, person: Subject, distinct_ids: Sequence[str], at_ms: int) -> ErasedRows:
        """Erase what is from an instant or before, and return when it is gone."""
        ...


class Kept(NamedTuple):
    """Somebody who was forgotten, a person or a distinct id."""

    subject: Subject
    erasure: Erasure


class Forgotten(Protocol):
    """Who was forgotten, as long as that has to be kept up."""

    async def rows(self) -> list[Kept]:
        """All of them. Raises Retry where they cannot be asked for."""
        ...
