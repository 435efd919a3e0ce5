"""Which flags have had their day, by what is known of them. Pure: facts in, findings with their evidence out.

What is not known is never held against a flag: where calls are not counted, no flag is one that nobody calls. A flag
without an instant of its last edit is older than instants are kept, and so older than the first call that was counted:
both came with the same version of control.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from cohort_store.durations import format_instant
from cohort_store.flag_conditions import ConditionSet
from cohort_store.flag_evaluations import OFF, ON, Calls
from cohort_store.flags import FlagDefinition
from evaluator.deciding.reasons import ReasonCode

DAY_MS = 86_400_000
QUIET_MS = 30 * DAY_MS
"""So long nobody calls a flag, or changes it, until it is called stale."""
UNSEEN_MS = 7 * DAY_MS
"""So long a flag must have been there, and calls counted, until it is one that was never called."""
CALLS_MIN = 100
"""So many calls make it a finding that all had the same answer."""

_BY_POLICY = (
    ReasonCode.COHORT_UNAVAILABLE,
    ReasonCode.PROPERTY_UNAVAILABLE,
    ReasonCode.MISSING_DEPENDENCY,
    ReasonCode.CONTINUITY_UNAVAILABLE,
    ReasonCode.LAST_KNOWN,
)


class StaleKind(StrEnum):
    """What is found, the most decisive first."""

    NEVER_CALLED = "never_called"
    NOT_CALLED = "not_called"
    SWITCHED_OFF = "switched_off"
    FULLY_ROLLED_OUT = "fully_rolled_out"
    SAME_ANSWER = "same_answer"
    """It is targeted, and everybody got the same answer all the same."""
    COHORT_DROPPED = "cohort_dropped"
    COHORT_EMPTY = "cohort_empty"
    COHORT_COMPLETE = "cohort_complete"
    """Everybody is in it."""


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """Figures and instants that a finding rests on."""

    since: str | None = None
    """So long it has been so, at least."""
    last_called: str | None = None
    calls: int | None = None
    """Within the last 30 days."""
    value: bool | str | None = None
    """The one that everybody gets."""
    cohort: str | None = None
    condition_indexes: list[int] = []
    """The condition sets that ask that cohort."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that is stale about a flag."""

    kind: StaleKind
    detail: str
    """A sentence for people."""
    evidence: Evidence


class Audience(NamedTuple):
    """How many are in a cohort, where that is known for sure."""

    is_empty: bool = False
    is_complete: bool = False


class FlagFacts(NamedTuple):
    """What is known of one flag."""

    flag: FlagDefinition
    changed_ms: int | None
    """None: before instants were kept."""
    counted_from_ms: int | None
    """Since when calls are counted; None: it is not known whether anybody calls."""
    last_called_ms: int | None = None
    calls: Sequence[Calls] = ()
    """Of the last QUIET_MS."""
    audiences: Mapping[str, Audience] = {}
    """By what the flag calls the cohort; cohorts whose size is not known are left out."""
    dropped: frozenset[str] = frozenset()
    """The cohorts that the flag asks, and nobody defines."""

    @property
    def unchanged_since_ms(self) -> int | None:
        """So long the flag has been as it is, at least; None: nothing is known."""
        return self.counted_from_ms if self.changed_ms is None else self.changed_ms


def findings(facts: FlagFacts, now: int) -> list[Finding]:
    """Everything that is stale about the flag at `now`, the most decisive first."""
    found = [*_calls(facts, now), *_values(facts, now), *_cohorts(facts, now)]
    return sorted(found, key=lambda each: list(StaleKind).index(each.kind))


def value_for_everybody(flag: FlagDefinition) -> bool | str | None:
    """The one value that a flag gives to everybody by its definition; None where it depends on the person."""
    if not flag.active:
        return False
    filters = flag.filters
    if any((filters.super_groups, filters.feature_enrollment, filters.holdout)):
        return None
    if flag.group_types() or flag.is_bucketed_by_device or filters.early_exit:
        return None
    values: set[bool | str | None] = set()
    for group in filters.groups:
        values.add(_value_of(flag, group))
        if not group.properties and group.rollout_percentage in (None, 100):
            return values.pop() if len(values) == 1 else None
    return None if filters.groups else False


def _value_of(flag: FlagDefinition, group: ConditionSet) -> bool | str | None:
    """What a set gives to all who match it; None where the hash decides."""
    if group.variant is not None:
        return group.variant
    variants = flag.filters.variants
    if not variants:
        return True
    return next((variant.key for variant in variants if variant.rollout_percentage >= 100), None)


def _calls(facts: FlagFacts, now: int) -> Iterator[Finding]:
    """Whether anybody calls it."""
    if facts.counted_from_ms is None:
        return
    last_ms = facts.last_called_ms
    if last_ms is None:
        since_ms = max(facts.counted_from_ms, facts.changed_ms or 0)
        if now - since_ms >= UNSEEN_MS:
            since = format_instant(since_ms)
            yield Finding(StaleKind.NEVER_CALLED, f"nobody has asked for it since {since}", Evidence(since, calls=0))
    elif now - last_ms >= QUIET_MS:
        last = format_instant(last_ms)
        yield Finding(StaleKind.NOT_CALLED, f"it was last asked for at {last}", Evidence(last, last, calls=0))


def _values(facts: FlagFacts, now: int) -> Iterator[Finding]:
    """Whether it still tells persons apart."""
    since_ms = facts.unchanged_since_ms
    if since_ms is None or now - since_ms < QUIET_MS:
        return
    since = format_instant(since_ms)
    value = value_for_everybody(facts.flag)
    last = None if facts.last_called_ms is None else format_instant(facts.last_called_ms)
    total = sum(each.total for each in facts.calls) if facts.counted_from_ms is not None else None
    evidence = Evidence(since, last, total, value)
    if not facts.flag.active:
        yield Finding(StaleKind.SWITCHED_OFF, f"it has been switched off since {since}, at least", evidence)
    elif value is not None:
        detail = f"everybody gets {_shown(value)}, and nobody has changed that since {since}, at least"
        yield Finding(StaleKind.FULLY_ROLLED_OUT, detail, evidence)
    elif (same := _same_answer(facts, now)) is not None:
        value, total = same
        detail = f"it is targeted, and all of {total:,} calls within 30 days were answered {_shown(value)}"
        yield Finding(StaleKind.SAME_ANSWER, detail, Evidence(since, last, total, value))


def _same_answer(facts: FlagFacts, now: int) -> tuple[bool | str, int] | None:
    """The only value that conditions answered in 30 days, and how often; None where there is no such.

    What a policy answered in place of conditions says nothing of them.
    """
    if facts.counted_from_ms is None or now - facts.counted_from_ms < QUIET_MS:
        return None
    decided = [each for each in facts.calls if each.reason not in _BY_POLICY]
    values, total = {each.value for each in decided}, sum(each.total for each in decided)
    return (_parsed(facts.flag, values.pop()), total) if len(values) == 1 and total >= CALLS_MIN else None


def _parsed(flag: FlagDefinition, value: str) -> bool | str:
    """A counted value as the flag gives it; a variant may be called `true`."""
    if value in {variant.key for variant in flag.filters.variants}:
        return value
    return value == ON if value in (ON, OFF) else value


def _cohorts(facts: FlagFacts, now: int) -> Iterator[Finding]:
    """Whether the cohorts that it asks still tell persons apart. A flag that was just edited may wait for its first."""
    since_ms = facts.unchanged_since_ms
    if not facts.flag.active:
        return
    for name, indexes in _asked(facts.flag).items():
        audience = facts.audiences.get(name, Audience())
        evidence = Evidence(cohort=name, condition_indexes=indexes)
        if name in facts.dropped:
            yield Finding(StaleKind.COHORT_DROPPED, f"it asks cohort {name!r}, which nobody defines any more", evidence)
        elif since_ms is not None and now - since_ms < UNSEEN_MS:
            continue
        elif audience.is_empty:
            yield Finding(StaleKind.COHORT_EMPTY, f"it asks cohort {name!r}, which nobody is in", evidence)
        elif audience.is_complete:
            yield Finding(StaleKind.COHORT_COMPLETE, f"it asks cohort {name!r}, which everybody is in", evidence)


def _asked(flag: FlagDefinition) -> dict[str, list[int]]:
    """The cohorts that the flag asks, each with the condition sets that do."""
    asked: dict[str, list[int]] = {}
    for index, group in enumerate(flag.filters.groups):
        for each in group.properties:
            if each.type == "cohort" and index not in asked.setdefault(each.cohort(), []):
                asked[each.cohort()].append(index)
    return asked


def _shown(value: bool | str) -> str:
    return repr(value) if isinstance(value, str) else str(value).lower()
