"""What a new version of a cohort need not learn anew, since conditions that are in force keep it already.

An edit to a smaller number, to a shorter window, or to other combinations of what is asked anyway misses nothing that
was not missed before. So it is complete from the same instant on, and no history has to be filled in for it. Which
condition's kept entries answer which other one is said, with the reason, where each kind is (`Sufficing`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import NamedTuple

from cohort_store.conditions.condition import AnyCondition, RegisterCondition, Sufficing
from cohort_store.conditions.static_list import StaticList


class Known(NamedTuple):
    """How much is known of what some conditions need."""

    from_ms: int
    """Nothing was missed from this instant on."""
    backfilled: bool
    """Whether what came before was filled in, as far as there is a history of it."""


class Kept:
    """What the conditions in force keep, and how much of it."""

    def __init__(self) -> None:
        self._by_what_is_read: dict[Hashable, list[tuple[AnyCondition, Known]]] = {}

    def add(self, conditions: Iterable[AnyCondition], known: Known) -> None:
        """Conditions in force of which so much is known."""
        for condition in conditions:
            self._by_what_is_read.setdefault(_read_by(condition), []).append((condition, known))

    def known_of(self, conditions: Iterable[AnyCondition], now: int) -> Known:
        """How much is known of what all these conditions need; of a new one nothing before `now`."""
        found = [self._one(condition, now) for condition in conditions]
        return Known(max((each.from_ms for each in found), default=now), all(each.backfilled for each in found))

    def _one(self, condition: AnyCondition, now: int) -> Known:
        found = self._by_what_is_read.get(_read_by(condition), ())
        known = (each for kept, each in found if _suffices(kept, condition))
        unknown = Known(now, backfilled=not needs_history(condition))
        return min(known, default=unknown, key=lambda each: (not each.backfilled, each.from_ms))


def needs_history(condition: AnyCondition) -> bool:
    """Whether events and properties of before matter to it. Whoever is on a static list is so from now on."""
    return not isinstance(condition, StaticList)


def _read_by(condition: AnyCondition) -> Hashable:
    return condition.register if isinstance(condition, RegisterCondition) else condition.selectors


def _suffices(kept: AnyCondition, condition: AnyCondition) -> bool:
    return kept == condition or (isinstance(kept, Sufficing) and kept.suffices_for(condition))
