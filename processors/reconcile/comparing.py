"""What the two sides say of one person, and where they differ. Pure.

A record answers for every instant from its last fold on. So the sides are compared at one instant, which lies a little
behind the reading of all that is compared, and at those to come at which either would change with no new event: an
entry that was lost may matter only then.

Three routes to an answer are held against each other: what readers find stored, what the record says, and what the
history says, as SQL now and by what it keeps for later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from cohort_store.folding import advance, ask_at, next_change
from cohort_store.plans import BoundRegister, CohortPlan, TeamPlan
from cohort_store.records import Record

TURNS_MAX = 16
"""Instants to come that are looked at."""


class Kind(StrEnum):
    """Where the sides differ."""

    STORED = "stored"
    """What readers find is not what her record says."""
    NOW = "now"
    """What her record says is not what the history says."""
    LATER = "later"
    """It will not be, at an instant to come, if nothing more is done."""


class Sides(NamedTuple):
    """What is known of a person."""

    stored: frozenset[int]
    """The handles that readers find, as of the instant `stored_ms`."""
    stored_ms: int
    live: Record
    history: Record
    """What the history keeps of her for the versions in question."""
    inside: Collection[int]
    """The handles of those whose member she is by the history's own evaluation."""


class Difference(NamedTuple):
    """Of one cohort's version. None: nothing can be said."""

    handle: int
    kind: Kind
    at_ms: int
    live: bool | None
    history: bool | None


def differences(sides: Sides, cohorts: Sequence[CohortPlan], plan: TeamPlan, at_ms: int) -> list[Difference]:
    """The first difference of each of these versions, at `at_ms` and later; empty where the sides agree.

    What the record says of a version may be unknown (a timeline was cut at a cap): that is no difference.
    """
    found: dict[int, Difference] = {}
    for difference in (*_stored(sides, cohorts, plan), *_now(sides, cohorts, plan, at_ms)):
        found.setdefault(difference.handle, difference)
    left = [cohort for cohort in cohorts if cohort.handle not in found]
    if _keep_the_same(sides, left, plan, at_ms):
        return list(found.values())
    for difference in _later(sides, left, plan, at_ms):
        found.setdefault(difference.handle, difference)
    return list(found.values())


def _keep_the_same(sides: Sides, cohorts: Sequence[CohortPlan], plan: TeamPlan, at_ms: int) -> bool:
    """Whether both sides keep the very same of what these versions read: then they never differ.

    They need not: what is kept may depend on the order of arrival.
    """
    if sides.live.inexact:
        return False
    live, history = advance(sides.live, plan, at_ms).record, sides.history
    bounds = [plan.conditions[index] for index in {index for cohort in cohorts for index in cohort.conditions}]
    selectors = {handle for bound in bounds for handle in bound.selectors}
    names = {bound.register for bound in bounds if isinstance(bound, BoundRegister)}
    return all(live.timelines.get(handle, ()) == history.timelines.get(handle, ()) for handle in selectors) and all(
        live.registers.get(name) == history.registers.get(name) for name in names
    )


def _stored(sides: Sides, cohorts: Sequence[CohortPlan], plan: TeamPlan) -> Iterator[Difference]:
    ask = ask_at(sides.live, plan, sides.stored_ms)
    for cohort in cohorts:
        told = None if -cohort.handle in sides.stored else (cohort.handle in sides.stored) is not cohort.complemented
        said = cohort.verdict(ask)
        if told is not said:
            yield Difference(cohort.handle, Kind.STORED, sides.stored_ms, told, said)


def _now(sides: Sides, cohorts: Sequence[CohortPlan], plan: TeamPlan, at_ms: int) -> Iterator[Difference]:
    ask = ask_at(sides.live, plan, at_ms)
    for cohort in cohorts:
        said, right = cohort.verdict(ask), cohort.handle in sides.inside
        if said is not None and said is not right:
            yield Difference(cohort.handle, Kind.NOW, at_ms, said, right)


def _later(sides: Sides, cohorts: Sequence[CohortPlan], plan: TeamPlan, at_ms: int) -> Iterator[Difference]:
    conditions = sorted({index for cohort in cohorts for index in cohort.conditions})
    now = at_ms
    for _ in range(TURNS_MAX):
        turns = [next_change(record, plan, conditions, now) for record in (sides.live, sides.history)]
        now = min((turn for turn in turns if turn is not None), default=now)
        if turns == [None, None]:
            return
        live, history = ask_at(sides.live, plan, now), ask_at(sides.history, plan, now)
        for cohort in cohorts:
            said, right = cohort.verdict(live), cohort.verdict(history)
            if said is not None and right is not None and said is not right:
                yield Difference(cohort.handle, Kind.LATER, now, said, right)
