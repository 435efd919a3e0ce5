"""What the SQL of every kind of condition offers: the same three answers as its module in `cohort_store.conditions`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from cohort_store.conditions.condition import Condition, RegisterCondition

C = TypeVar("C", bound=Condition)
R = TypeVar("R", bound=RegisterCondition)

Lines = Sequence[str]
"""For each selector of the condition, in its order, the column with a person's timeline: a sorted Array of distinct
tuples `(time_ms, tag)`, or `(time_ms, tag, value)`."""


@dataclass(frozen=True)
class Translation(Generic[C]):
    """The SQL of one kind. Expressions are of one person, read the alias `now`, and are never NULL."""

    kind: str
    condition: type[C]
    holds: Callable[[C, Lines], str]
    """A Bool: what `Condition.holds` answers."""
    keep: Callable[[C, Lines], Sequence[str]]
    """For each timeline an Array of its entries, in any order: at least what `Condition.keep` keeps, or as good."""
    floor: Callable[[C], str | None]
    """An instant at or before which no entry matters to either; None where there is none."""


@dataclass(frozen=True)
class RegisterTranslation(Generic[R]):
    """The SQL of one kind that reads a register: of one person, over the alias `now`, and never NULL."""

    kind: str
    condition: type[R]
    holds: Callable[[R, str], str]
    """A Bool: what `RegisterCondition.holds` answers. The column is what `registers.present` makes."""
