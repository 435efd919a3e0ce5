"""Flags prepared for speed, and the rule that decides one.

A flag is compiled once, when definitions load, into tuples of closures; deciding it is then arithmetic over what
was read before: the request's properties, and `ask`, which says of a cohort whether the person is in it, or None
where nobody can say.

**Rule.** Early access answers first, for persons who chose; then a holdout, for whom it leaves out. Condition sets are
tried in order; a set matches when everything in it does and the person (or her group, or her device) is
within its rollout. An unknown cohort makes a set unknown only when everything else in it holds. A later set that
matches still answers if it would give the same value; otherwise an unknown set means that the flag's
`on_unavailable` answers, and the reason says why. With `early_exit`, who matches a set and is beyond its rollout is
asked no later set; where it is unknown whether she matches, no later set answers for it.

The reason of a flag that is off names a set, as PostHog's does: the last one whose rollout left the person out, else
the last one that did not match, else the last one for whose group the request had no key; none where there is no set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from cohort_store.flags import FlagDefinition, payload_text
from cohort_store.freshness import CohortView
from evaluator.deciding.before_sets import (
    CompiledHoldout,
    EarlyAccess,
    bucketed_by,
    compile_early_access,
    compile_holdout,
    identify_of,
)
from evaluator.deciding.bucketing import VariantTable, variant_for, variant_table, within_rollout
from evaluator.deciding.condition_sets import Ask, CompiledSet, Explain, Who, compile_set
from evaluator.deciding.policies import Policy, compile_policy
from evaluator.deciding.reasons import DESCRIPTIONS, ReasonCode, Verdict, ranks_as_high

_GROUPS_NOT_EVALUATED = (
    "No matching condition set (group conditions were not evaluated because no group type was provided)"
)
_EARLY_ACCESS, _HOLDOUT = -1, -2
"""Where the answers of these two are kept among those of the sets, which have their own places from 0 on."""


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
    early_access: EarlyAccess | None = None
    holdout: CompiledHoldout | None = None
    early_exit: bool = False
    continuous: tuple[str, ...] = ()
    """The flags, of this one and those that it depends on, that must know in whose place the person came."""
    is_about_groups: bool = False
    """Whether one of its sets is."""
    is_broken: bool = False
    """Whether a flag that it depends on is not there, or they depend on each other in a circle."""
    known: dict[tuple[bool, int | None, str | None], FlagAnswer] = field(default_factory=dict, compare=False)
    """What conditions have answered, by on or off, set, and variant or reason code: as many as there are of these."""

    def decide(self, who: Who, ask: Ask, explain: Explain) -> FlagAnswer:
        """The flag's answer for one person at one instant."""
        if not self.active:
            return self._off(ReasonCode.FLAG_DISABLED, None)
        if self.early_access is not None or self.holdout is not None or self.continuous or self.is_broken:
            answer = self._before_sets(who, ask, explain)
            if answer is not None:
                return answer
        code, index = ReasonCode.NO_CONDITION_MATCH, None
        unknown: list[int] = []
        for position, each in enumerate(self.sets):
            bucketed = who.distinct_id if each.identify is None else each.identify(who)
            verdict = each.absent if bucketed is None else self._verdict(each, bucketed, who, ask, explain)
            if verdict is True:
                value = each.variant or variant_for(self.variants, self.key, bucketed or "")
                if not unknown or self._agree(unknown, value, who):
                    return self._on(position, value)
                break
            if verdict is None:
                unknown.append(position)
            elif index is None or ranks_as_high(verdict, code):
                code, index = verdict, position
                if self.early_exit and verdict is ReasonCode.OUT_OF_ROLLOUT_BOUND and bucketed is not None:
                    break
        if unknown:
            return self._unknown(unknown[0], who, ask, explain)
        return self._off(code, index, skipped=self.is_about_groups and self._skipped(who))

    def _verdict(self, each: CompiledSet, bucketed: str, who: Who, ask: Ask, explain: Explain) -> Verdict:
        held = each.holds(who, ask, explain)
        if held is False:
            return ReasonCode.NO_CONDITION_MATCH
        if each.share < 1 and not within_rollout(self.key, bucketed, each.share):
            # With early exit it matters whether the set holds: if it does, no later set is asked.
            return None if held is None and self.early_exit else ReasonCode.OUT_OF_ROLLOUT_BOUND
        return True if held else None

    def value(self, who: Who, ask: Ask, explain: Explain) -> bool | str:
        """What the flag answers, for flags that depend on it."""
        answer: FlagAnswer | None = None if who.beside is None else who.beside.get(self.key)
        if answer is None:
            answer = self.decide(who, ask, explain)
            if who.beside is not None:
                who.beside[self.key] = answer
        return answer.enabled and (answer.variant or True)

    def _agree(self, unknown: Sequence[int], value: str | None, who: Who) -> bool:
        """Whether each unknown set would give this value too, if it held."""
        for each in (self.sets[position] for position in unknown):
            bucketed = bucketed_by(each.identify, who) or ""
            if each.share < 1 and not within_rollout(self.key, bucketed, each.share):
                return False
            if (each.variant or variant_for(self.variants, self.key, bucketed)) != value:
                return False
        return True

    def _skipped(self, who: Who) -> bool:
        """Whether a set about groups was passed over, for want of the group's key."""
        return any(each.group is not None and each.group not in who.groups for each in self.sets)

    def _before_sets(self, who: Who, ask: Ask, explain: Explain) -> FlagAnswer | None:
        """What answers before any condition set; None where nothing does."""
        if self.is_broken:
            return self._off(ReasonCode.MISSING_DEPENDENCY, None)
        if who.hash_keys is None and self.key in self.continuous:
            # With another id than before, the person could get another value than before.
            why = "it cannot be read in whose place the person came"
            return self.by_policy(None, ReasonCode.CONTINUITY_UNAVAILABLE, why, who)
        if self.early_access is not None:
            choice = self.early_access.choice(who, ask, explain)
            if choice is not None:
                return self._beforehand(choice, None, ReasonCode.SUPER_CONDITION_VALUE)
        if self.holdout is not None and self.holdout.has(who):
            return self._beforehand(True, self.holdout.variant, ReasonCode.HOLDOUT_CONDITION_VALUE)
        return None

    def _beforehand(self, enabled: bool, variant: str | None, code: ReasonCode) -> FlagAnswer:
        place = (enabled, _EARLY_ACCESS if code is ReasonCode.SUPER_CONDITION_VALUE else _HOLDOUT, variant)
        known = self.known.get(place)
        if known is None:
            index = 0 if code is ReasonCode.SUPER_CONDITION_VALUE else None
            known = self.known[place] = self._answer(enabled, variant, Reason(code, index, DESCRIPTIONS[code]))
        return known

    def _on(self, position: int, variant: str | None) -> FlagAnswer:
        known = self.known.get((True, position, variant))
        if known is None:
            reason = Reason(ReasonCode.CONDITION_MATCH, position, f"Matched condition set {position + 1}")
            known = self.known[True, position, variant] = self._answer(True, variant, reason)
        return known

    def _off(self, code: ReasonCode, index: int | None, *, skipped: bool = False) -> FlagAnswer:
        """`skipped`: a set about groups was passed over, for want of the group's key."""
        said = DESCRIPTIONS[code]
        if skipped and code is ReasonCode.NO_CONDITION_MATCH:
            said = _GROUPS_NOT_EVALUATED
        known = self.known.get((False, index, said))
        if known is None:
            known = self.known[False, index, said] = self._answer(False, None, Reason(code, index, said))
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
        bucketed = who.distinct_id
        if position is not None:
            bucketed = bucketed_by(self.sets[position].identify, who) or bucketed
        enabled, variant = self.policy.answer(lambda: variant_for(self.variants, self.key, bucketed))
        reason = Reason(code, position, f"Answered by on_unavailable ({self.policy}): {why}")
        return self._answer(enabled, variant, reason)

    def _answer(self, enabled: bool, variant: str | None, reason: Reason) -> FlagAnswer:
        payload = self.payloads.get(variant or "true") if enabled else None
        return FlagAnswer(self.key, enabled, variant, reason, Metadata(self.id, self.version, self.name, payload))


def compile_flag(
    flag: FlagDefinition, cohorts: Mapping[str, CohortView], flags: Mapping[str, CompiledFlag] | None = None
) -> CompiledFlag:
    """The flag, bound to its team's cohorts and to the flags that it depends on (by key, and by id where that is none).

    One that depends on a flag that is not among `flags`, or is broken itself, is broken.
    """
    filters = flag.filters
    others = {name: other for name in flag.flags() if (other := (flags or {}).get(name)) is not None}
    if len(others) < len(set(flag.flags())) or any(other.is_broken for other in others.values()):
        return _broken(flag)
    identify = identify_of(flag)
    sets = tuple(
        compile_set(group, cohorts, group.aggregation(filters.aggregation_group_type_index), identify, others)
        for group in filters.groups
    )
    asked = {cohort.key: cohort for each in sets for cohort, _ in each.cohorts}
    asked |= {cohort.key: cohort for other in others.values() for cohort in other.cohorts}
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
        early_access=compile_early_access(flag, cohorts),
        holdout=compile_holdout(flag),
        early_exit=bool(filters.early_exit),
        is_about_groups=any(each.group is not None for each in sets),
        continuous=_continuous(flag, sets, others.values()) if flag.active else (),
    )


def is_unavailable(answer: FlagAnswer) -> bool:
    """Whether the flag's policy answered: in place of its conditions, or by them with what was last known."""
    return answer.reason.code in _UNAVAILABLE


_UNAVAILABLE = frozenset(
    {
        ReasonCode.COHORT_UNAVAILABLE,
        ReasonCode.PROPERTY_UNAVAILABLE,
        ReasonCode.MISSING_DEPENDENCY,
        ReasonCode.CONTINUITY_UNAVAILABLE,
        ReasonCode.LAST_KNOWN,
    }
)


def _broken(flag: FlagDefinition) -> CompiledFlag:
    return CompiledFlag(
        key=flag.key,
        active=flag.active,
        sets=(),
        variants=(),
        cohorts=(),
        policy=compile_policy(flag.muster),
        id=flag.id,
        version=flag.version,
        name=flag.name or None,
        payloads={},
        is_broken=True,
    )


def _continuous(flag: FlagDefinition, sets: Iterable[CompiledSet], others: Iterable[CompiledFlag]) -> tuple[str, ...]:
    """Where everybody gets the same by any id, nothing need be known of where she came from."""
    cut = bool(flag.filters.variants) or any(each.share not in (0, 1) for each in sets if each.group is None)
    needs = flag.ensure_experience_continuity and not flag.is_bucketed_by_device
    own = (flag.key,) if needs and (cut or flag.filters.holdout is not None) else ()
    return tuple(dict.fromkeys([*own, *(key for other in others for key in other.continuous)]))
