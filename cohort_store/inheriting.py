"""What a new version of a cohort need not learn anew, since conditions that are in force keep it already.

An edit to a smaller number, to a shorter window, or to other combinations of what is asked anyway misses nothing that
was not missed before. So it is complete from the same instant on, and no history has to be filled in for it. Which
condition's kept entries answer which other one is said, with the reason, where each kind is (`Sufficing`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from cohort_store.conditions.condition import AnyCondition, RegisterCondition, Sufficing


class Kept:
    """What the conditions in force keep, each from some instant on."""

    def __init__(self) -> None:
        self._by_what_is_read: dict[Hashable, list[tuple[AnyCondition, int]]] = {}

    def add(self, conditions: Iterable[AnyCondition], from_ms: int) -> None:
        """Conditions of which nothing was missed from that instant on."""
        for condition in conditions:
            self._by_what_is_read.setdefault(_read_by(condition), []).append((condition, from_ms))

    def complete_from(self, conditions: Iterable[AnyCondition], now: int) -> int:
        """The instant from which on nothing that these conditions need was missed; `now` where one of them is new."""
        return max((self._one(condition, now) for condition in conditions), default=now)

    def _one(self, condition: AnyCondition, now: int) -> int:
        found = self._by_what_is_read.get(_read_by(condition), ())
        return min((from_ms for kept, from_ms in found if _suffices(kept, condition)), default=now)


def _read_by(condition: AnyCondition) -> Hashable:
    return condition.register if isinstance(condition, RegisterCondition) else condition.selectors


def _suffices(kept: AnyCondition, condition: AnyCondition) -> bool:
    return kept == condition or (isinstance(kept, Sufficing) and kept.suffices_for(condition))
