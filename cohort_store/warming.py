"""From when on a live stream knows all that a cohort looks at."""

from __future__ import annotations

from typing import Any, NamedTuple

from cohort_store.conditions.condition import AnyCondition, OverInterval
from cohort_store.definitions import parse_tree
from cohort_store.plans import conditions_of


class WarmUp(NamedTuple):
    """What a cohort needs of a stream before its answers are complete. All of it must be fulfilled."""

    span_ms: int = 0
    """How long the stream must have run: the longest of its rolling windows."""
    since_ms: int | None = None
    """No event may be missing from this instant on: the earliest `since` of its intervals; None: it has none."""
    always: bool = False
    """Whether an event of any time may matter, so that no stream is ever complete."""

    def until_ms(self, complete_from_ms: int, *, is_all: bool = False) -> int | None:
        """The instant from which answers are complete, with no event missed from `complete_from_ms` on; None: never.

        `is_all`: the history has nothing from before that. An event of any time is then known, if it is anywhere; a
        window that reaches back further still waits, since the history may be younger than what it is of.
        """
        is_needed = self.always or (self.since_ms is not None and self.since_ms < complete_from_ms)
        if is_needed and not is_all:
            return None
        return complete_from_ms + self.span_ms


def warm_up_of(when: Any) -> WarmUp:
    """What all conditions of a resolved tree need."""
    needs = [need_of(each) for each in conditions_of(parse_tree(when))]
    return WarmUp(
        max((need.span_ms for need in needs), default=0),
        min((need.since_ms for need in needs if need.since_ms is not None), default=None),
        any(need.always for need in needs),
    )


def need_of(condition: AnyCondition) -> WarmUp:
    """What one condition needs."""
    if condition.warm_up_ms is not None:
        return WarmUp(span_ms=condition.warm_up_ms)
    since_ms = condition.since_ms if isinstance(condition, OverInterval) else None
    return WarmUp(since_ms=since_ms, always=since_ms is None)
