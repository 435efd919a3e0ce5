"""What answers a flag before any of its condition sets: early access, for who chose, and holdouts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cohort_store.flags import FlagDefinition
from cohort_store.freshness import CohortView
from evaluator.deciding.bucketing import holdout_bucket, within_rollout
from evaluator.deciding.condition_sets import (
    Ask,
    CompiledSet,
    Explain,
    Identify,
    Who,
    by_device,
    by_group,
    by_hash_key,
    compile_set,
)


@dataclass(frozen=True, slots=True)
class EarlyAccess:
    """Who chose to have the flag, or not to."""

    flag: str
    properties: tuple[str, ...]
    """Whoever has none of these did not choose."""
    set: CompiledSet | None
    """None: the property itself says it."""

    def choice(self, who: Who, ask: Ask, explain: Explain) -> bool | None:
        """Whether the person chose to have the flag; None where she did not choose."""
        values = [value for name in self.properties if (value := who.properties.get(name)) is not None]
        if not values:
            return None
        if self.set is None:
            return values[0] is True or values[0] == "true"
        matches = bool(self.set.holds(who, ask, explain))
        share, bucketed = self.set.share, bucketed_by(self.set.identify, who) or who.distinct_id
        return matches and (share >= 1 or within_rollout(self.flag, bucketed, share))


@dataclass(frozen=True, slots=True)
class CompiledHoldout:
    """Who is left out, and which value they get."""

    share: float
    variant: str
    identify: Identify | None

    def has(self, who: Who) -> bool:
        """Whether the person (or her group, or her device) is left out; not, where the request has no such id."""
        bucketed = bucketed_by(self.identify, who)
        return bucketed is not None and (self.share >= 1 or holdout_bucket(bucketed) <= self.share)


def bucketed_by(identify: Identify | None, who: Who) -> str | None:
    """The id by which it is decided who is in a share; None where the request has none such."""
    return who.distinct_id if identify is None else identify(who)


def identify_of(flag: FlagDefinition) -> Identify | None:
    """By which id of a person's the flag is cut into shares; None: by the distinct id."""
    if flag.is_bucketed_by_device:
        return by_device
    return by_hash_key(flag.key) if flag.ensure_experience_continuity else None


def compile_early_access(flag: FlagDefinition, cohorts: Mapping[str, CohortView]) -> EarlyAccess | None:
    """None where the flag has none."""
    if flag.filters.feature_enrollment:
        return EarlyAccess(flag.key, (f"$feature_enrollment/{flag.key}",), None)
    for each in flag.filters.early_access:
        if each.properties:
            names = tuple(test.key for test in each.properties)
            return EarlyAccess(flag.key, names, compile_set(each, cohorts, None, identify_of(flag), {}))
    return None


def compile_holdout(flag: FlagDefinition) -> CompiledHoldout | None:
    """None where the flag has none."""
    held_out = flag.filters.holdout
    if held_out is None:
        return None
    index = flag.filters.aggregation_group_type_index
    identify = identify_of(flag) if index is None else by_group(index)
    return CompiledHoldout(held_out.exclusion_percentage / 100, held_out.variant, identify)
