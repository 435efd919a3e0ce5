"""What is still known of a record whose timelines were cut at a cap (`conditions.condition.Capped`).

Of each cut timeline the record remembers one instant: entries up to it may have been lost, every later one is there.
So a condition is exact again once that instant is out of its interval, and an absolute interval never is. Until
then it is asked for what it holds despite the loss. Uniting two records keeps the later instant of the two.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from cohort_store.plans import BoundCondition, TeamPlan
from cohort_store.timelines import Timeline


def lost_until(bound: BoundCondition, inexact: Mapping[int, int], now: int) -> int | None:
    """The instant up to which entries of the condition's interval may have been lost; None where it is exact."""
    if bound.capped is None:
        return None
    lost_ms = max((inexact[selector] for selector in bound.selectors if selector in inexact), default=None)
    return None if lost_ms is None or lost_ms <= bound.capped.interval.floor(now) else lost_ms


def verdict_of(
    bound: BoundCondition, timelines: Mapping[int, Timeline], inexact: Mapping[int, int], now: int
) -> bool | None:
    """The condition's verdict at `now`; None where it depends on what may have been lost."""
    lines = bound.read(timelines)
    if not inexact or bound.capped is None or lost_until(bound, inexact, now) is None:
        return bound.condition.holds(lines, now)
    return bound.capped.holds_despite_loss(lines, now)


def next_change_of(
    bound: BoundCondition, timelines: Mapping[int, Timeline], inexact: Mapping[int, int], now: int
) -> int | None:
    """The earliest later instant at which `verdict_of` can differ with no new event. May be early, never late."""
    due = bound.condition.next_change(bound.read(timelines), now)
    lost_ms = lost_until(bound, inexact, now) if inexact else None
    exact_ms = None if lost_ms is None or bound.capped is None else bound.capped.interval.expiry(lost_ms)
    return exact_ms if due is None or (exact_ms is not None and exact_ms < due) else due


def after_cutting(
    inexact: Mapping[int, int],
    timelines: Mapping[int, Timeline],
    selectors: Collection[int],
    plan: TeamPlan,
    now: int,
) -> Mapping[int, int]:
    """What is inexact once these selectors' timelines, given whole, are pruned at `now`.

    Why an entry counts as lost although another condition may keep it: nobody could tell any more which ones it keeps.
    """
    readers = plan.capped_readers
    if not readers:
        return {}
    marks = dict(inexact)
    for selector in selectors:
        for bound in readers.get(selector, ()):
            lost_ms = _cut_of(bound, selector, timelines, now)
            if lost_ms is not None and lost_ms > marks.get(selector, lost_ms - 1):
                marks[selector] = lost_ms
    return {
        selector: lost_ms
        for selector, lost_ms in marks.items()
        if any(bound.capped and lost_ms > bound.capped.interval.floor(now) for bound in readers.get(selector, ()))
    }


def _cut_of(bound: BoundCondition, selector: int, timelines: Mapping[int, Timeline], now: int) -> int | None:
    if bound.capped is None:
        return None
    cuts = bound.capped.cut(bound.read(timelines), now)
    return next(cut for handle, cut in zip(bound.selectors, cuts, strict=True) if handle == selector)
