"""Flags prepared for speed, and the rule that decides one.

A flag is compiled once, when definitions load, into tuples of closures; deciding it is then arithmetic over what
was read before: the request's properties, and `ask`, which says of a cohort whether the person is in it, or None
where nobody can say.

**Rule.** Condition sets are tried in order; a set matches when every property and cohort does and the person is
within its rollout. An unknown cohort makes a set unknown only when everything else in it holds. A later set that
matches still answers if it would give the same value; otherwise an unknown set means that the flag's
`on_unavailable` answers, and the reason says why.

The reason of a flag that is off names a set, as PostHog's does: the last one whose rollout left the person out, else
the last one that did not match; none where there is no set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import msgspec

from cohort_store.flags import ConditionSet, FlagDefinition, payload_text
from cohort_store.freshness import CohortView
from cohort_store.properties import DatedTest, Properties, Test, compile_dated_test, compile_test
from evaluator.bucketing import VariantTable, variant_for, variant_table, within_rollout
from evaluator.policies import Policy, compile_policy

Ask = Callable[[CohortView], bool | None]
"""Whether the person is in the cohort; None where nobody can say."""

Explain = Callable[[CohortView], str]
"""Why `ask` is None for that cohort."""


class Who(NamedTuple):
    """Whom a flag is decided for, with the properties that the request brought, and when (ms since 1970)."""

    distinct_id: str
    properties: Properties
    now: int


class ReasonCode(StrEnum):
    """PostHog's codes, and two of ours."""

    CONDITION_MATCH = "condition_match"
    NO_CONDITION_MATCH = "no_condition_match"
    OUT_OF_ROLLOUT_BOUND = "out_of_rollout_bound"
    FLAG_DISABLED = "flag_disabled"
    MISSING_DEPENDENCY = "missing_dependency"
    COHORT_UNAVAILABLE = "cohort_unavailable"
    PROPERTY_UNAVAILABLE = "property_unavailable"
    LAST_KNOWN = "last_known"
    """The conditions decided, with memberships as they were last known."""


_BY_POLICY = frozenset(
    {
        ReasonCode.COHORT_UNAVAILABLE,
        ReasonCode.PROPERTY_UNAVAILABLE,
        ReasonCode.MISSING_DEPENDENCY,
        ReasonCode.LAST_KNOWN,
    }
)
_DESCRIPTIONS = {
    ReasonCode.NO_CONDITION_MATCH: "No matching condition set",
    ReasonCode.OUT_OF_ROLLOUT_BOUND: "Out of rollout bound",
    ReasonCode.FLAG_DISABLED: "Feature flag is disabled",
}


class Reason(msgspec.Struct, frozen=True):
    """Why a flag has its value."""

    code: str
    condition_index: int | None
    description: str


class Metadata(msgspec.Struct, frozen=True):
    """What a flag's author gave beside its conditions; the payload belongs to the value answered."""

    id: int
    version: int
    description: str | None
    payload: str | None


class FlagAnswer(msgspec.Struct, frozen=True):
    """One flag in PostHog's answer, version 2."""

    key: str
    enabled: bool
    variant: str | None
    reason: Reason
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class CompiledSet:
    """One condition set. `missing` names a cohort that the team does not define: the set is unknown then."""

    tests: tuple[Test, ...]
    dated: tuple[DatedTest, ...]
    """The tests whose verdict depends on the instant of the request."""
    cohorts: tuple[tuple[CohortView, bool], ...]
    share: float
    """Of the people, 0 to 1."""
    variant: str | None
    missing: str | None


@dataclass(frozen=True, slots=True)
class CompiledFlag:
    """One flag, ready to be decided. Immutable, shared by all requests."""

    key: str
    active: bool
    sets: tuple[CompiledSet, ...]
    variants: VariantTable
    cohorts: tuple[CohortView, ...]
    """Those that it may ask, each once."""
    policy: Policy
    """What to answer while a cohort that decides cannot be asked."""
    id: int
    version: int
    name: str | None
    payloads: Mapping[str, str]
    known: dict[tuple[bool, int | None, str | None], FlagAnswer] = field(default_factory=dict, compare=False)
    """What conditions have answered, by on or off, set, and variant or reason code: as many as there are of these."""

    def decide(self, who: Who, ask: Ask, explain: Explain) -> FlagAnswer:
        """The flag's answer for one person at one instant."""
        if not self.active:
            return self._off(ReasonCode.FLAG_DISABLED, None)
        code, index = ReasonCode.NO_CONDITION_MATCH, None
        unknown: list[int] = []
        for position, each in enumerate(self.sets):
            verdict = _holds(each, who, ask)
            if verdict is False:
                if code is ReasonCode.NO_CONDITION_MATCH:
                    index = position
                continue
            if each.share < 1 and not within_rollout(self.key, who.distinct_id, each.share):
                code, index = ReasonCode.OUT_OF_ROLLOUT_BOUND, position
            elif verdict is None:
                unknown.append(position)
            else:
                hashed = variant_for(self.variants, self.key, who.distinct_id)
                value = each.variant or hashed
                if all((self.sets[other].variant or hashed) == value for other in unknown):
                    return self._on(position, value)
                break
        if unknown:
            return self._unknown(unknown[0], who, ask, explain)
        return self._off(code, index)

    def _on(self, position: int, variant: str | None) -> FlagAnswer:
        known = self.known.get((True, position, variant))
        if known is None:
            reason = Reason(ReasonCode.CONDITION_MATCH, position, f"Matched condition set {position + 1}")
            known = self.known[True, position, variant] = self._answer(True, variant, reason)
        return known

    def _off(self, code: ReasonCode, index: int | None) -> FlagAnswer:
        known = self.known.get((False, index, code))
        if known is None:
            known = self.known[False, index, code] = self._answer(False, None, Reason(code, index, _DESCRIPTIONS[code]))
        return known

    def _unknown(self, position: int, who: Who, ask: Ask, explain: Explain) -> FlagAnswer:
        each = self.sets[position]
        if each.missing is not None:
            code, why = ReasonCode.MISSING_DEPENDENCY, f"cohort {each.missing} is not defined"
        else:
            code = ReasonCode.COHORT_UNAVAILABLE
            why = next(explain(cohort) for cohort, _ in each.cohorts if ask(cohort) is None)
        return self.by_policy(position, code, why, who)

    def by_policy(self, position: int | None, code: ReasonCode, why: str, who: Who) -> FlagAnswer:
        """What the flag answers where its conditions cannot be decided."""
        enabled, variant = self.policy.answer(lambda: variant_for(self.variants, self.key, who.distinct_id))
        reason = Reason(code, position, f"Answered by on_unavailable ({self.policy}): {why}")
        return self._answer(enabled, variant, reason)

    def _answer(self, enabled: bool, variant: str | None, reason: Reason) -> FlagAnswer:
        payload = self.payloads.get(variant or "true") if enabled else None
        return FlagAnswer(self.key, enabled, variant, reason, Metadata(self.id, self.version, self.name, payload))


def compile_flag(flag: FlagDefinition, cohorts: Mapping[str, CohortView]) -> CompiledFlag:
    """The flag, bound to its team's cohorts (by key, and by id where that is no key)."""
    filters = flag.filters
    sets = tuple(_compile_set(group, cohorts) for group in filters.groups)
    asked = {cohort.key: cohort for each in sets for cohort, _ in each.cohorts}
    return CompiledFlag(
        key=flag.key,
        active=flag.active,
        sets=sets,
        variants=variant_table((variant.key, variant.rollout_percentage) for variant in filters.variants),
        cohorts=tuple(asked.values()) if flag.active else (),
        policy=compile_policy(flag.muster),
        id=flag.id,
        version=flag.version,
        name=flag.name or None,
        payloads={key: payload_text(payload) for key, payload in filters.payloads.items()},
    )


def is_unavailable(answer: FlagAnswer) -> bool:
    """Whether the flag's policy answered: in place of its conditions, or by them with what was last known."""
    return answer.reason.code in _BY_POLICY


def _compile_set(group: ConditionSet, cohorts: Mapping[str, CohortView]) -> CompiledSet:
    asking = [each for each in group.properties if each.type == "cohort"]
    tests = [each.property_test() for each in group.properties if each.type == "person"]
    found = [(cohorts[each.cohort()], each.wants_member()) for each in asking if each.cohort() in cohorts]
    return CompiledSet(
        tests=tuple(compile_test(test, fold_case=True) for test in tests if not test.is_relative()),
        dated=tuple(compile_dated_test(test) for test in tests if test.is_relative()),
        cohorts=tuple(found),
        share=1.0 if group.rollout_percentage is None else group.rollout_percentage / 100,
        variant=group.variant,
        missing=next((each.cohort() for each in asking if each.cohort() not in cohorts), None),
    )


def _holds(each: CompiledSet, who: Who, ask: Ask) -> bool | None:
    """Whether properties and cohorts of a set hold: false as soon as one does not, else None if one is unknown."""
    for test in each.tests:
        if not test(who.properties):
            return False
    for dated in each.dated:
        if not dated.holds(who.properties, who.now):
            return False
    known = each.missing is None
    for cohort, wanted in each.cohorts:
        member = ask(cohort)
        if member is None:
            known = False
        elif member is not wanted:
            return False
    return True if known else None
