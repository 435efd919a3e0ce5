"""What an edit need not learn anew: which condition's kept entries answer which other one, and from when on."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_store.compiling import activate, assign
from cohort_store.conditions.condition import AnyCondition, Condition, Sufficing
from cohort_store.definitions import parse_cohort
from cohort_store.inheriting import Kept, Known
from cohort_store.plans import conditions_of
from cohort_store.registry import Registry
from cohort_store.timelines import Timeline, union
from tests.domain.strategies import AGGREGATES, HORIZON, INTERVALS, LAPSING, REGULAR, SEQUENCES, WINDOWED, times
from tests.domain.test_condition_properties import compiled, lines, timelines, united

BUY = {"event": "a"}
FAMILIES: tuple[tuple[dict[str, Any], ...], ...] = (
    (
        *({**kind, **interval} for kind in WINDOWED if kind["kind"] != "first_time" for interval in INTERVALS),
        *(each for each in LAPSING if each["kind"] == "stopped"),
    ),
    tuple({"kind": "first_time", **interval, "event": "any"} for interval in INTERVALS),
    tuple(each for each in LAPSING if each["kind"] == "restarted"),
    REGULAR,
    tuple({**each, "first": BUY, "then": {"event": "b"}} for each in SEQUENCES),
    tuple({**each, "first": BUY, "then": BUY} for each in SEQUENCES),
    *(
        tuple({**kind, **interval} for kind in AGGREGATES if kind["fn"] in functions for interval in INTERVALS)
        for functions in (("sum", "avg"), ("min", "max"), ("distinct",))
    ),
)
RESTARTED = 2


def condition_of(leaf: dict[str, Any]) -> AnyCondition:
    (condition,) = conditions_of(parse_cohort({"key": "c", "when": leaf}).when)
    return condition


def whole(leaf: dict[str, Any]) -> dict[str, Any]:
    return leaf if leaf["kind"] == "sequence" or "event" in leaf else {**leaf, **BUY}


def needs_no_history(old: AnyCondition, new: AnyCondition) -> bool:
    """Whether the new one is complete since the old one is."""
    kept = Kept()
    kept.add([old], Known(5, backfilled=False))
    return kept.known_of([new], 9).from_ms == 5


@cache
def member(family: int, number: int) -> Condition:
    return compiled(whole(FAMILIES[family][number]))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Condition, Condition]:
    """A condition, and one that it suffices for: another one where one of a few draws is such."""
    family = draw(st.integers(0, len(FAMILIES) - 1))
    numbers = draw(st.lists(st.integers(0, len(FAMILIES[family]) - 1), min_size=9, max_size=9))
    old, *others = (member(family, number) for number in numbers)
    assert isinstance(old, Sufficing) or family == RESTARTED
    return old, next((new for new in others if new != old and needs_no_history(old, new)), old)


@given(pairs(), st.lists(st.tuples(times, timelines), max_size=4), st.integers(0, 3))
def test_what_a_condition_keeps_answers_every_one_that_it_suffices_for(
    pair: tuple[Condition, Condition], arrivals: list[tuple[int, Timeline]], edited: int
) -> None:
    old, new = pair
    everything: Timeline = ()
    kept = lines(old, everything)
    for number, (now, fresh) in enumerate(sorted(arrivals)):
        everything = union(everything, fresh)
        kept = (new if number > edited else old).keep(united(kept, lines(old, fresh)), now)
        for t in range(now, HORIZON):
            assert new.holds(kept, t) == new.holds(lines(new, everything), t), (now, t)


ROLLING = {"kind": "performed", "within": "30d"}
COUNT = {"kind": "count", "n": 3, "within": "30d"}
FIXED = {"kind": "performed", "since": "2026-01-12", "until": "2026-02-12"}
WEEKLY = {"kind": "regularly", "period": "7d", "periods": 4, "min_periods": 3, "times": 2}
THEN = {"kind": "sequence", "first": BUY, "then": {"event": "b"}, "then_within": "2d", "within": "30d"}
TOTAL = {"kind": "aggregate", "property": "p", "fn": "sum", "value": 5, "non_negative": True, "within": "30d"}
MEAN = {"kind": "aggregate", "property": "p", "fn": "avg", "value": 5, "within": "30d"}
LOWEST = {"kind": "aggregate", "property": "p", "fn": "min", "value": 5, "within": "30d"}
TEXTS = {"kind": "aggregate", "property": "p", "fn": "distinct", "value": 3, "within": "30d"}


@pytest.mark.parametrize(
    ("old", "less", "more"),
    [
        (ROLLING, {"within": "30d"}, {"within": "31d"}),
        (ROLLING, {"kind": "stopped", "recent": "7d"}, {"kind": "count", "n": 2}),
        (ROLLING, {"kind": "count", "n": 1}, {"kind": "count", "n": 1, "op": "eq"}),
        (ROLLING, {"within": "1d"}, {"event": "b"}),
        (COUNT, {"n": 2, "op": "lte"}, {"op": "lte"}),
        (COUNT, {"kind": "performed", "n": ...}, {"n": 4}),
        (FIXED, {"since": "2026-01-13"}, {"since": "2026-01-11"}),
        (FIXED, {}, {"until": "2026-02-11"}),
        (FIXED, {}, {"since": ..., "until": ..., "within": "1d"}),
        ({"kind": "first_time", "within": "1d"}, {"within": "9d"}, {"where": [{"property": "p", "value": 1}]}),
        ({**FIXED, "kind": "first_time"}, {"until": "2026-02-11"}, {"until": "2026-02-13"}),
        (WEEKLY, {"periods": 3, "min_periods": 1}, {"periods": 5}),
        (WEEKLY, {"times": 1}, {"times": 3}),
        (WEEKLY, {"min_periods": 4}, {"period": "6d"}),
        ({"kind": "restarted", "within": "9d", "recent": "3d"}, {}, {"recent": "2d"}),
        (THEN, {"within": "29d"}, {"then_within": "1d"}),
        (TOTAL, {"value": 4, "op": "gt"}, {"op": "gt"}),
        (TOTAL, {"op": "lt"}, {"value": 6}),
        (TOTAL, {}, {"non_negative": False}),
        (MEAN, {"fn": "sum", "value": 99}, {"fn": "sum", "non_negative": True}),
        ({**MEAN, "fn": "sum"}, {"value": 99}, {"fn": "avg"}),
        (LOWEST, {"fn": "max", "op": "lt"}, {"value": 6}),
        (TEXTS, {"value": 2, "op": "eq"}, {"op": "eq"}),
        ({"kind": "person_property", "property": "p", "value": "x"}, {"op": "is_set", "value": ...}, {"property": "q"}),
    ],
)
def test_one_that_asks_for_no_more_needs_no_history_and_one_that_asks_for_more_does(
    old: dict[str, Any], less: dict[str, Any], more: dict[str, Any]
) -> None:
    for changes, expected in ((less, True), (more, False)):
        new = {name: value for name, value in {**old, **changes}.items() if value is not ...}
        both = [condition_of(leaf if leaf["kind"] == "person_property" else whole(leaf)) for leaf in (old, new)]
        assert needs_no_history(*both) is expected, new


def test_an_edit_is_complete_from_when_the_last_of_its_conditions_is() -> None:
    buyers: dict[str, Any] = {"kind": "count", "n": 3, "within": "9d", **BUY}
    viewers: dict[str, Any] = {"kind": "performed", "within": "9d", "event": "b"}
    registry = Registry()
    steps: list[tuple[int, dict[str, Any]]] = [
        (10, {"buyers": buyers}),
        (20, {"buyers": buyers, "viewers": viewers}),
        (30, {"buyers": {**buyers, "n": 2}, "viewers": viewers}),
        (40, {"buyers": {"any": [buyers, viewers]}, "viewers": viewers, "both": {"all": [buyers, viewers]}}),
        (50, {"buyers": {**buyers, "n": 1}, "viewers": {"not": viewers}, "both": viewers}),
    ]
    for now, trees in steps:
        cohorts = [parse_cohort({"key": key, "when": when}) for key, when in trees.items()]
        registry = activate(assign(registry, cohorts, {}, applied="", now=now), registry.version + 1)
        found = {cohort.key: cohort.active.activated_ms for cohort in registry.team(1).cohorts if cohort.active}
        assert (
            found
            == {
                10: {"buyers": 10},
                20: {"buyers": 10, "viewers": 20},
                30: {"buyers": 10, "viewers": 20},
                40: {"buyers": 40, "viewers": 20, "both": 40},
                50: {"buyers": 40, "viewers": 20, "both": 20},
            }[now]
        )


def test_a_register_is_no_timeline() -> None:
    performed = condition_of({"kind": "performed", "within": "1d", **BUY})
    plan = condition_of({"kind": "person_property", "property": "a", "value": 1})
    assert not needs_no_history(performed, plan)
    assert not needs_no_history(plan, performed)
