"""What an aggregate measures of the entries in its interval, and which of them it keeps.

Each measure adds up the entries from the latest to the earliest, so that one walk tells what holds now and what will
hold as the earliest leave. Values are fixed point (event_values.py), so sums are exact and know no order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from cohort_store.conditions.comparing import COMPARE, Operator
from cohort_store.timelines import Timeline

State = TypeVar("State")


class Measure(Protocol[State]):
    """Pure. Entries are those of the interval by now, sorted by time."""

    @property
    def entries_max(self) -> int | None:
        """The most entries that `wanted` gives; None where no bound is known, so that a cap is needed."""
        ...

    def start(self) -> State:
        """Of no entries."""
        ...

    def add(self, state: State, value: int) -> State:
        """With one more, earlier or at the same time."""
        ...

    def mark(self, state: State) -> int:
        """Of two states with the same mark every question has the same answer."""
        ...

    def holds(self, state: State) -> bool:
        """The verdict."""
        ...

    def wanted(self, entries: Timeline) -> Timeline:
        """A subset that answers as the whole does, as the earliest leave, and united with others that arrive late."""
        ...

    def suffices_for(self, other: object) -> bool:
        """Whether what this one wants answers another measure too."""
        ...


def measured(measure: Measure[State], entries: Timeline) -> State:
    """What the entries come to."""
    state = measure.start()
    for entry in reversed(entries):
        state = measure.add(state, entry[2])
    return state


def first_turn(measure: Measure[State], entries: Timeline) -> int | None:
    """The time of the first entries whose leaving, with all that are earlier, tells; None where none does."""
    marks: list[tuple[int, int]] = []
    state, later_ms = measure.start(), None
    for entry in reversed(entries):
        if entry[0] != later_ms:
            later_ms = entry[0]
            marks.append((later_ms, measure.mark(state)))
        state = measure.add(state, entry[2])
    present = measure.mark(state)
    return next((time_ms for time_ms, mark in reversed(marks) if mark != present), None)


@dataclass(frozen=True, slots=True)
class Extreme:
    """The lowest or highest value. Of no values nothing holds.

    Kept: the latest entry with a value below, equal to and above the threshold. Which of the three kinds are in the
    interval decides every operator, and of each kind the latest is in it for longest.
    """

    fn: Literal["min", "max"]
    op: Operator
    value: int

    @property
    def entries_max(self) -> int:
        return 3

    def start(self) -> int | None:
        return None

    def add(self, state: int | None, value: int) -> int | None:
        if state is None:
            return value
        return min(state, value) if self.fn == "min" else max(state, value)

    def mark(self, state: int | None) -> int:
        return self.holds(state)

    def holds(self, state: int | None) -> bool:
        return state is not None and COMPARE[self.op](state, self.value)

    def wanted(self, entries: Timeline) -> Timeline:
        latest = {_sign(entry[2] - self.value): entry for entry in entries}
        return tuple(sorted(latest.values()))

    def suffices_for(self, other: object) -> bool:
        return isinstance(other, Extreme) and other.value == self.value


@dataclass(frozen=True, slots=True)
class Distinct:
    """The number of different texts. Of no values it is 0.

    Kept: each text's latest entry, and of these the latest n (`gte`) or n + 1. While the k-th latest of them is in the
    interval there are k texts at least; a text that arrives late with an earlier entry changes neither.
    """

    op: Operator
    value: int

    @property
    def entries_max(self) -> int:
        return self.value + (self.op != "gte")

    def start(self) -> set[int]:
        return set()

    def add(self, state: set[int], value: int) -> set[int]:
        state.add(value)
        return state

    def mark(self, state: set[int]) -> int:
        return self.holds(state)

    def holds(self, state: set[int]) -> bool:
        return COMPARE[self.op](len(state), self.value)

    def wanted(self, entries: Timeline) -> Timeline:
        latest = {entry[2]: entry for entry in entries}
        kept = sorted(latest.values())
        return tuple(kept[max(0, len(kept) - self.entries_max) :])

    def suffices_for(self, other: object) -> bool:
        return isinstance(other, Distinct) and other.entries_max <= self.entries_max


@dataclass(frozen=True, slots=True)
class Total:
    """The sum. Of no values it is 0.

    Kept where no value is negative: the latest entries, but for zeros, until their sum reaches the threshold (`gte`,
    `lt`) or exceeds it. While all of those are in the interval the sum does so too; once one of them has left it, all
    that were not kept have. Where values may be negative every entry of the interval is kept, but for zeros.
    """

    op: Operator
    value: int
    non_negative: bool

    @property
    def entries_max(self) -> None:
        return None

    def start(self) -> int:
        return 0

    def add(self, state: int, value: int) -> int:
        return state + value

    def mark(self, state: int) -> int:
        return _sign(state - self.value)

    def holds(self, state: int) -> bool:
        return COMPARE[self.op](state, self.value)

    def holds_despite_loss(self, state: int) -> bool | None:
        """An entry more can only raise the sum where no value is negative."""
        return self.holds(state) if self.non_negative and self._is_enough(state) else None

    def wanted(self, entries: Timeline) -> Timeline:
        kept = []
        state = 0
        for entry in reversed(entries):
            if self.non_negative and self._is_enough(state):
                break
            if entry[2]:
                kept.append(entry)
                state += entry[2]
        return tuple(reversed(kept))

    def suffices_for(self, other: object) -> bool:
        if not isinstance(other, Total) or other.non_negative is not self.non_negative:
            return False
        return not self.non_negative or self.asks >= other.asks

    @property
    def asks(self) -> tuple[int, bool]:
        """What the kept sum must reach, and whether it must exceed that: of two, the higher needs more kept."""
        return self.value, self.op not in ("gte", "lt")

    def _is_enough(self, state: int) -> bool:
        value, must_exceed = self.asks
        return state > value if must_exceed else state >= value


@dataclass(frozen=True, slots=True)
class Average:
    """The mean, compared exactly: sum against threshold times number. Of no values nothing holds.

    Kept: every entry of the interval, since any of them may tip it.
    """

    op: Operator
    value: int

    @property
    def entries_max(self) -> None:
        return None

    def start(self) -> tuple[int, int]:
        return 0, 0

    def add(self, state: tuple[int, int], value: int) -> tuple[int, int]:
        return state[0] + value, state[1] + 1

    def mark(self, state: tuple[int, int]) -> int:
        return self.holds(state)

    def holds(self, state: tuple[int, int]) -> bool:
        total, number = state
        return number > 0 and COMPARE[self.op](total, self.value * number)

    def wanted(self, entries: Timeline) -> Timeline:
        return entries

    def suffices_for(self, other: object) -> bool:
        return isinstance(other, Average) or (isinstance(other, Total) and not other.non_negative)


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)
