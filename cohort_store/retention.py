"""Which conditions keep something of everybody whom they ever concerned, so that her record never ends."""

from __future__ import annotations

from typing import Any

from cohort_store.conditions.condition import AnyCondition, ConditionDefinition, OverInterval, RegisterCondition
from cohort_store.definitions import leaves_of, parse_tree
from cohort_store.durations import WINDOW_MS_MAX
from cohort_store.plans import conditions_of
from cohort_store.timelines import Entry

_FAR_MS = 2 * WINDOW_MS_MAX
"""Behind this no rolling window sees an event any more, nor one that had to follow it."""


def kept_for_ever(when: Any) -> tuple[str, ...]:
    """The kinds of a resolved tree's conditions that keep an event, or a property, for ever; each once, sorted.

    Beside first_time and restarted that is whatever asks about an interval that stands still, since its answer does
    too. A static list is none: it keeps its members, whom somebody has named.
    """
    node = parse_tree(when)
    pairs = zip(leaves_of(node), conditions_of(node), strict=True)
    return tuple(
        sorted(
            {
                leaf.kind
                for leaf, each in pairs
                if isinstance(leaf, ConditionDefinition) and leaf.is_written and _keeps(each)
            }
        )
    )


def _keeps(condition: AnyCondition) -> bool:
    """Whether one event is still kept when no window can see it any more: asked of `keep` itself."""
    if isinstance(condition, RegisterCondition):
        return True
    at_ms = (condition.since_ms if isinstance(condition, OverInterval) else None) or 0
    plain: Entry = (at_ms, 0)
    entries = tuple((plain if selector.value is None else (*plain, 1),) for selector in condition.selectors)
    return any(condition.keep(entries, at_ms + _FAR_MS))
