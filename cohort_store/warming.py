"""How long a live stream must run until a cohort is complete."""

from __future__ import annotations

from typing import Any

from cohort_store.definitions import InCohort, leaves_of, parse_cohort
from cohort_store.errors import Crash


def warm_up_ms(when: Any, key: str) -> int | None:
    """The longest warm-up of a resolved tree's conditions; None where an event since ever may matter to one of them."""
    longest = 0
    for leaf in leaves_of(parse_cohort({"key": key, "when": when}, key).when):
        if isinstance(leaf, InCohort):
            raise Crash(f"in_cohort {leaf.cohort!r} was not resolved before compiling")
        span = leaf.compile().warm_up_ms
        if span is None:
            return None
        longest = max(longest, span)
    return longest
