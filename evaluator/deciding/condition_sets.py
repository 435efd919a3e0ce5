"""One condition set of a flag, prepared: its tests as closures, and by which id it is cut into shares. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from cohort_store.flag_conditions import ConditionSet, FlagFilter
from cohort_store.flag_operators import compile_dated_flag_test, compile_flag_test
from cohort_store.freshness import CohortView
from cohort_store.properties import DatedTest, Properties, Test
from evaluator.deciding.reasons import ReasonCode

Ask = Callable[[CohortView], bool | None]
"""Whether the person is in the cohort; None where nobody can say."""

Explain = Callable[[CohortView], str]
"""Why `ask` is None for that cohort."""


class Group(NamedTuple):
    """A group that the request says the person acts for: its key, and the properties that the request brought."""

    key: str
    properties: Properties


class Who(NamedTuple):
    """Whom a flag is decided for, with what the request brought of her, and when (ms since 1970)."""

    distinct_id: str
    properties: Properties
    now: int
    groups: Mapping[int, Group] = {}
    """By the number of the group type."""
    device_id: str = ""
    """Empty: the request brought none."""
    hash_keys: Mapping[str, str] | None = {}
    """By flag, the id in whose place this person came, for flags that go on with it; None: it could not be read."""
    beside: dict[str, Any] | None = None
    """Answers of flags that others depend on, so that each is decided once for one `Who`; None: they are not kept."""


class Dependency(Protocol):
    """A flag that another one asks."""

    def value(self, who: Who, ask: Ask, explain: Explain) -> bool | str:
        """What it answers for this person: false, true, or its variant."""
        ...


Further = Callable[[Who, Ask, Explain], bool]
"""A test of something else than the person's own properties."""

Holds = Callable[[Who, Ask, Explain], bool | None]
"""Whether everything in a set holds: false as soon as one thing does not, else None if one is unknown."""

Identify = Callable[[Who], str | None]
"""The id by which it is decided who is in a share; None where the request has none such."""


@dataclass(frozen=True, slots=True)
class CompiledSet:
    """One condition set. `missing` names a cohort that nobody defined: the set's answer is unknown then."""

    holds: Holds
    cohorts: tuple[tuple[CohortView, bool], ...]
    share: float
    """Of the people, 0 to 1."""
    variant: str | None
    missing: str | None
    identify: Identify | None = None
    """None: by the distinct id."""
    group: int | None = None
    """The group type that it is about; None: persons."""

    @property
    def absent(self) -> ReasonCode:
        """Why the set does not match where the request has no such id."""
        return ReasonCode.OUT_OF_ROLLOUT_BOUND if self.group is None else ReasonCode.NO_GROUP_TYPE


def compile_set(
    group: ConditionSet,
    cohorts: Mapping[str, CohortView],
    aggregation: int | None,
    identify: Identify | None,
    flags: Mapping[str, Dependency],
) -> CompiledSet:
    """The set, bound to its team's cohorts and to the flags that it asks. `identify` is the flag's, for persons."""
    asking = [each for each in group.properties if each.type == "cohort"]
    tests = [each.property_test() for each in group.properties if each.type == "person"]
    found = [(cohorts[each.cohort()], each.wants_member()) for each in asking if each.cohort() in cohorts]
    return CompiledSet(
        holds=_compile_holds(
            _Parts(
                tests=tuple(compile_flag_test(test) for test in tests if not test.is_relative()),
                dated=tuple(compile_dated_flag_test(test) for test in tests if test.is_relative()),
                further=(
                    *(_group_test(each, aggregation) for each in group.properties if each.type == "group"),
                    *(_flag_test(each, flags) for each in group.properties if each.type == "flag"),
                ),
                cohorts=tuple(found),
                is_known=len(found) == len(asking),
            )
        ),
        cohorts=tuple(found),
        share=1.0 if group.rollout_percentage is None else group.rollout_percentage / 100,
        variant=group.variant,
        missing=next((each.cohort() for each in asking if each.cohort() not in cohorts), None),
        identify=identify if aggregation is None else by_group(aggregation),
        group=aggregation,
    )


class _Parts(NamedTuple):
    """What must hold in a set."""

    tests: tuple[Test, ...]
    dated: tuple[DatedTest, ...]
    """The tests whose verdict depends on the instant of the request."""
    further: tuple[Further, ...]
    """Tests of groups, and of other flags."""
    cohorts: tuple[tuple[CohortView, bool], ...]
    is_known: bool
    """Whether every cohort that the set asks is defined."""


def _compile_holds(parts: _Parts) -> Holds:
    """A closure without loops where the set has nothing to test, one property, or one cohort, as most have."""
    tests, dated, further, cohorts, is_known = parts
    match tests, cohorts:
        case _ if dated or further or not is_known:
            return _all_hold(parts)
        case (), ():
            return lambda _who, _ask, _explain: True
        case (test,), ():
            return lambda who, _ask, _explain: test(who.properties)
        case (), ((cohort, wanted),):
            return lambda _who, ask, _explain: None if (member := ask(cohort)) is None else member is wanted
    return _all_hold(parts)


def _all_hold(parts: _Parts) -> Holds:
    tests, dated, further, cohorts, is_known = parts

    def holds(who: Who, ask: Ask, explain: Explain) -> bool | None:
        for test in tests:
            if not test(who.properties):
                return False
        for each in dated:
            if not each.holds(who.properties, who.now):
                return False
        for passes in further:
            if not passes(who, ask, explain):
                return False
        known = is_known
        for cohort, wanted in cohorts:
            member = ask(cohort)
            if member is None:
                known = False
            elif member is not wanted:
                return False
        return True if known else None

    return holds


def by_group(index: int) -> Identify:
    """By the key of the person's group of that type."""

    def identify(who: Who) -> str | None:
        group = who.groups.get(index)
        return None if group is None else group.key

    return identify


def by_device(who: Who) -> str | None:
    """By the device's id."""
    return who.device_id or None


def by_hash_key(flag: str) -> Identify:
    """By the id in whose place the person came for that flag, else by her distinct id."""

    def identify(who: Who) -> str:
        return (who.hash_keys or {}).get(flag, who.distinct_id)

    return identify


def _group_test(each: FlagFilter, aggregation: int | None) -> Further:
    index = aggregation if each.group_type_index is None else each.group_type_index
    test = compile_dated_flag_test(each.property_test())

    def passes(who: Who, _ask: Ask, _explain: Explain) -> bool:
        group = None if index is None else who.groups.get(index)
        return test.holds({} if group is None else group.properties, who.now)

    return passes


def _flag_test(each: FlagFilter, flags: Mapping[str, Dependency]) -> Further:
    other, expected = flags[each.key], each.flag_value()

    def passes(who: Who, ask: Ask, explain: Explain) -> bool:
        return evaluates_to(other.value(who, ask, explain), expected)

    return passes


def evaluates_to(value: bool | str, expected: bool | str) -> bool:
    """Whether a flag's value is the one expected: true is any that is on, a text that variant."""
    return (value is not False) is expected if isinstance(expected, bool) else value == expected
