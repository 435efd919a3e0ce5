"""Which tests of a flag's condition sets hold for a person, and which do not: for the opt-in block of an answer. Pure.

Tests are named by type, key and operator, never by what they compare with: an answer goes to whoever has the
project's token, which is public. Whether a set's share of the people has the person is told by the flag's reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from cohort_store.flag_conditions import FlagFilter
from cohort_store.flag_operators import compile_dated_flag_test
from cohort_store.flags import FlagDefinition
from cohort_store.properties import DatedTest
from evaluator.deciding.condition_sets import Who


class SetOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """One condition set's tests for one person."""

    index: int
    holds: bool | None
    """Null: it depends on what is unknown."""
    failed: list[str] = []
    """The tests that do not hold, each as `person plan exact` or `cohort buyers in`."""
    unknown: list[str] = []
    """Those of which nothing can be said."""


class NamedTest(NamedTuple):
    """One test, with its name. `test` is None for tests of cohorts, and of what this tree does not look into."""

    name: str
    property: str | None
    test: DatedTest | None
    cohort: str | None = None
    wanted: bool = True


Tree = tuple[tuple[NamedTest, ...], ...]
"""The named tests of each condition set, in order."""


def tree_of(flag: FlagDefinition) -> Tree:
    """The flag's tree, to be made once a registry version."""
    return tuple(tuple(_named(each) for each in group.properties) for group in flag.filters.groups)


def outcomes(tree: Tree, who: Who, members: Mapping[str, bool | None]) -> list[SetOutcome]:
    """What became of each set. `members` says of cohorts, by key and by id, whether the person is in them."""
    return [_outcome(index, tests, who, members) for index, tests in enumerate(tree)]


def properties_tested(trees: Iterable[Tree]) -> set[str]:
    """The person's properties that some test looks at."""
    named = (each.property for tree in trees for tests in tree for each in tests)
    return {name for name in named if name is not None}


def _named(each: FlagFilter) -> NamedTest:
    if each.type == "person":
        test = each.property_test()
        return NamedTest(f"person {each.key} {test.op}", each.key, compile_dated_flag_test(test))
    if each.type == "cohort":
        wanted = each.wants_member()
        return NamedTest(f"cohort {each.cohort()} {'in' if wanted else 'not_in'}", None, None, each.cohort(), wanted)
    return NamedTest(f"{each.type} {each.key} {each.operator or 'exact'}", None, None)


def _outcome(index: int, tests: Sequence[NamedTest], who: Who, members: Mapping[str, bool | None]) -> SetOutcome:
    verdicts = [(each.name, _holds(each, who, members)) for each in tests]
    failed = [name for name, verdict in verdicts if verdict is False]
    unknown = [name for name, verdict in verdicts if verdict is None]
    return SetOutcome(index, False if failed else None if unknown else True, failed, unknown)


def _holds(each: NamedTest, who: Who, members: Mapping[str, bool | None]) -> bool | None:
    if each.test is not None:
        return each.test.holds(who.properties, who.now)
    member = members.get(each.cohort or "")
    return None if member is None else member is each.wanted
