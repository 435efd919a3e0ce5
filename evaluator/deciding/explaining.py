"""Why a flag answers what it does: each condition set with every test in it, the hashes, and what decided. Pure.

The answer is the flag's own (`CompiledFlag.decide`); the tree is walked beside it, through the definition, with
nothing left out: a test behind one that fails is asked too, and a set behind one that matches. Where the two
disagreed the tree would show it, since it says which set decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal, NamedTuple

import msgspec

from cohort_store.durations import format_instant
from cohort_store.explaining import Why
from cohort_store.flag_conditions import EVALUATES_TO, ConditionSet, FlagFilter
from cohort_store.flag_operators import compile_dated_flag_test
from cohort_store.flags import FlagDefinition
from cohort_store.freshness import CohortView, Status
from evaluator.deciding.before_sets import bucketed_by, identify_of
from evaluator.deciding.bucketing import VARIANT_SALT, bucket, variant_for
from evaluator.deciding.condition_sets import Group, Identify, Who, by_group, evaluates_to
from evaluator.deciding.evaluation import decide_unread
from evaluator.deciding.flags import CompiledFlag, FlagAnswer, is_unavailable
from evaluator.deciding.reasons import ReasonCode
from evaluator.definitions.catalog import cohorts_by_name

FOUND_BYTES_MAX = 1_024
"""Of a property's value as JSON; the rest of it is not told."""


class MembershipSource(StrEnum):
    """Where a membership was taken from."""

    GIVEN = "given"
    """By the question itself: what if."""
    STORE = "store"
    """The membership store, as it is now."""
    RECORD = "record"
    """What is stored of the person, asked for an instant to come."""
    HISTORY = "history"
    """The changes of membership in ClickHouse, for an instant that is past."""


class ExplainedCohort(msgspec.Struct, frozen=True, omit_defaults=True):
    """One cohort's answer about the person, and where it comes from."""

    key: str
    id: int
    version: int
    source: MembershipSource
    member: bool | None = None
    """Absent where nothing can be said."""
    status: Status | None = None
    detail: str | None = None
    """Why nothing can be said; of the past, what was told."""
    why: Why | None = None
    """The cohort's own tree; absent for a given membership and for the past."""


class SetVerdict(StrEnum):
    """What became of a condition set, by itself."""

    MATCHES = "matches"
    FAILS = "fails"
    OUT_OF_ROLLOUT = "out_of_rollout"
    """Its tests hold, and the person is beyond its rollout."""
    SKIPPED = "skipped"
    """The request has no key for the group, or no device, that the set is about."""
    UNKNOWN = "unknown"
    """Its tests hold but for a cohort, or a property, of which nothing can be said."""


class ExplainedTest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One test of a condition set."""

    type: str
    key: str
    """The property's name; a cohort's key; another flag's key or id."""
    operator: str
    holds: bool | None
    """None: nothing can be said."""
    value: Any = None
    """What is compared with; of a cohort nothing."""
    found: Any = None
    """The property's value, or the first of its JSON; of a cohort whether the person is in it; of a flag its value.
    Absent: she has none, or nothing can be said."""
    filled_in: bool = False
    """Whether the property was not brought by the question, and is one that Muster keeps."""


class ExplainedRollout(msgspec.Struct, frozen=True):
    """Whether the person is in a set's share. She is where `hash` is at most `bound`."""

    percentage: float
    bound: float
    hash: float | None
    """None: the request has no id to hash."""
    within: bool
    bucketed_by: str | None
    """The id that is hashed: her distinct id, her device's, that of her anonymous days, or her group's key."""


class ExplainedSet(msgspec.Struct, frozen=True, omit_defaults=True):
    """One condition set."""

    index: int
    verdict: SetVerdict
    decides: bool
    """Whether the flag's reason names this set."""
    tests: list[ExplainedTest]
    rollout: ExplainedRollout
    variant: str | None = None
    """The variant that this set gives, whatever the hash says."""


class Stretch(msgspec.Struct, frozen=True):
    """A variant's part of 0 to 1: from the bound before up to this one, which is not in it."""

    variant: str
    below: float


class ExplainedVariant(msgspec.Struct, frozen=True):
    """Which variant the hash gives, by the id that the flag says."""

    hash: float | None
    variant: str | None
    stretches: list[Stretch]


class ExplainedBefore(msgspec.Struct, frozen=True, omit_defaults=True):
    """What may answer before any condition set."""

    kind: Literal["early_access", "holdout"]
    answers: bool
    """Whether it does, where nothing before it does."""
    chosen: bool | None = None
    """Of early access: whether she chose to have the flag; absent: she did not choose."""
    variant: str | None = None
    """Of a holdout: the variant of those who are left out."""


class ExplainedPolicy(msgspec.Struct, frozen=True):
    """What the flag answers while a cohort that decides cannot be asked, and whether it did."""

    on_unavailable: Any
    answers: bool


class ExplainedFlag(msgspec.Struct, frozen=True, omit_defaults=True):
    """One flag's answer with all that led to it."""

    answer: FlagAnswer
    active: bool
    policy: ExplainedPolicy
    sets: list[ExplainedSet]
    before: list[ExplainedBefore] = []
    """Early access and a holdout, in the order in which they are asked."""
    variants: ExplainedVariant | None = None
    """Absent for a flag that has none."""
    unchanged_since: str | None = None
    """When it was last edited; absent where that was before instants were kept."""


class Question(NamedTuple):
    """Whom flags are explained for, when, and what is known of her."""

    distinct_id: str
    properties: Mapping[str, Any]
    now: int
    cohorts: Mapping[str, ExplainedCohort]
    """Every cohort that one of the flags asks, by key."""
    filled_in: frozenset[str] = frozenset()
    """Those of the properties that the question did not bring."""
    unread: frozenset[str] = frozenset()
    """Properties that may be kept of her, and could not be read."""
    flags: Mapping[str, CompiledFlag] = {}
    """The team's flags by what others may call them."""
    groups: Mapping[int, Group] = {}
    device_id: str = ""
    hash_keys: Mapping[str, str] | None = {}

    @property
    def who(self) -> Who:
        """Whom flags are decided for."""
        return Who(self.distinct_id, self.properties, self.now, self.groups, self.device_id, self.hash_keys, beside={})

    def ask(self, cohort: CohortView) -> bool | None:
        return self.cohorts[cohort.key].member

    def explain(self, cohort: CohortView) -> str:
        return self.cohorts[cohort.key].detail or f"nothing can be said of cohort {cohort.key}"


def explain_flag(
    compiled: CompiledFlag, flag: FlagDefinition, question: Question, changed_ms: int | None
) -> ExplainedFlag:
    """The flag's answer and its tree. Raises BadEvent where a property is no value that can be tested."""
    answer = decide_unread(compiled, question.who, question.unread, question.ask, question.explain)
    views = cohorts_by_name(tuple(cohorts_of(compiled).values()))
    sets = flag.filters.groups if not compiled.is_broken else ()
    return ExplainedFlag(
        answer=answer,
        active=flag.active,
        policy=_policy(flag, answer),
        sets=[_set(compiled, flag, index, answer, question, views) for index in range(len(sets))],
        before=list(_before(compiled, question)),
        variants=_variants(compiled, _bucketed(flag, question)),
        unchanged_since=None if changed_ms is None else format_instant(changed_ms),
    )


def _before(compiled: CompiledFlag, question: Question) -> Iterator[ExplainedBefore]:
    who = question.who
    if compiled.early_access is not None:
        chosen = compiled.early_access.choice(who, question.ask, question.explain)
        yield ExplainedBefore("early_access", chosen is not None, chosen=chosen)
    if compiled.holdout is not None:
        yield ExplainedBefore("holdout", compiled.holdout.has(who), variant=compiled.holdout.variant)


def cohorts_of(compiled: CompiledFlag) -> dict[str, CohortView]:
    """Every cohort that the flag names, or one that it depends on, by key, whether it is on or not."""
    own = {cohort.key: cohort for each in compiled.sets for cohort, _ in each.cohorts}
    return {cohort.key: cohort for cohort in compiled.cohorts} | own


def _set(
    compiled: CompiledFlag,
    flag: FlagDefinition,
    index: int,
    answer: FlagAnswer,
    question: Question,
    views: Mapping[str, CohortView],
) -> ExplainedSet:
    group = flag.filters.groups[index]
    aggregation = group.aggregation(flag.filters.aggregation_group_type_index)
    tests = [_test(each, question, views, aggregation) for each in group.properties]
    rollout = _rollout(compiled, group, compiled.sets[index].identify, question)
    return ExplainedSet(
        index=index,
        verdict=_verdict(tests, rollout),
        decides=answer.reason.condition_index == index and answer.reason.code != ReasonCode.SUPER_CONDITION_VALUE,
        tests=tests,
        rollout=rollout,
        variant=group.variant,
    )


def _verdict(tests: Sequence[ExplainedTest], rollout: ExplainedRollout) -> SetVerdict:
    if rollout.bucketed_by is None:
        return SetVerdict.SKIPPED
    if any(test.holds is False for test in tests):
        return SetVerdict.FAILS
    if not rollout.within:
        return SetVerdict.OUT_OF_ROLLOUT
    return SetVerdict.UNKNOWN if any(test.holds is None for test in tests) else SetVerdict.MATCHES


def _test(
    each: FlagFilter, question: Question, views: Mapping[str, CohortView], aggregation: int | None
) -> ExplainedTest:
    if each.type == "cohort":
        return _cohort_test(each, question, views)
    if each.type == "flag":
        return _flag_test(each, question)
    properties = question.properties
    if each.type == "group":
        index = aggregation if each.group_type_index is None else each.group_type_index
        group = None if index is None else question.groups.get(index)
        properties = {} if group is None else group.properties
    test = each.property_test()
    holds = compile_dated_flag_test(test).holds(properties, question.now)
    is_hers = each.type == "person"
    return ExplainedTest(
        type=each.type,
        key=each.key,
        operator=test.op,
        value=test.value,
        found=_shown(properties.get(each.key)),
        holds=None if is_hers and each.key in question.unread else holds,
        filled_in=is_hers and each.key in question.filled_in,
    )


def _flag_test(each: FlagFilter, question: Question) -> ExplainedTest:
    value = question.flags[each.key].value(question.who, question.ask, question.explain)
    expected = each.flag_value()
    return ExplainedTest(
        type=each.type,
        key=each.key,
        operator=EVALUATES_TO,
        value=expected,
        found=value,
        holds=evaluates_to(value, expected),
    )


def _cohort_test(each: FlagFilter, question: Question, views: Mapping[str, CohortView]) -> ExplainedTest:
    view = views.get(each.cohort())
    found = question.cohorts.get(view.key) if view else None
    member = found.member if found else None
    return ExplainedTest(
        type=each.type,
        key=view.key if view else each.cohort(),
        operator="in" if each.wants_member() else "not_in",
        found=member,
        holds=None if member is None else member is each.wants_member(),
    )


def _rollout(
    compiled: CompiledFlag, group: ConditionSet, identify: Identify | None, question: Question
) -> ExplainedRollout:
    percentage = 100.0 if group.rollout_percentage is None else group.rollout_percentage
    bucketed, bound = bucketed_by(identify, question.who), percentage / 100
    if bucketed is None:
        return ExplainedRollout(percentage, bound, None, within=False, bucketed_by=None)
    value = bucket(compiled.key, bucketed)
    return ExplainedRollout(percentage, bound, value, within=bound >= 1 or value <= bound, bucketed_by=bucketed)


def _bucketed(flag: FlagDefinition, question: Question) -> str | None:
    """The id by which the flag itself is cut; a set about another group has its own."""
    index = flag.filters.aggregation_group_type_index
    return bucketed_by(identify_of(flag) if index is None else by_group(index), question.who)


def _variants(compiled: CompiledFlag, bucketed: str | None) -> ExplainedVariant | None:
    if not compiled.variants:
        return None
    return ExplainedVariant(
        hash=None if bucketed is None else bucket(compiled.key, bucketed, VARIANT_SALT),
        variant=None if bucketed is None else variant_for(compiled.variants, compiled.key, bucketed),
        stretches=[Stretch(variant, below) for below, variant in compiled.variants],
    )


def _policy(flag: FlagDefinition, answer: FlagAnswer) -> ExplainedPolicy:
    return ExplainedPolicy(flag.muster.model_dump(mode="json")["on_unavailable"], is_unavailable(answer))


def _shown(value: Any) -> Any:
    """A property's value, cut where it is long: many tests may tell the same one."""
    text = msgspec.json.encode(value)
    return value if len(text) <= FOUND_BYTES_MAX else text[:FOUND_BYTES_MAX].decode(errors="ignore") + "…"
