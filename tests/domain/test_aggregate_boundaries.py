"""What an aggregate means at its boundaries: just before, at, just after.

Each row is a history, an instant and the answer. The oracle is asked too, so that the tables and it agree.
"""

from __future__ import annotations

from hashlib import md5
from typing import Any

import pytest

from cohort_store.compiling import RECORD_BYTES_MAX, check
from cohort_store.conditions.aggregate import DISTINCT_MAX, ENTRIES_MAX
from cohort_store.conditions.condition import RegisterCondition
from cohort_store.definitions import parse_cohort
from cohort_store.errors import BadDefinition
from cohort_store.event_values import NUMBER_MAX, Form, ValueOf, fixed_point_of, hash_of
from cohort_store.plans import conditions_of
from tests.domain.roll import Roll, plan_of
from tests.domain.strategies import START, iso
from tests.domain.test_boundaries import answer_for
from tests.oracle.membership import Event

OPERATORS = ("gte", "gt", "lte", "lt", "eq", "ne")


def leaf_of(fn: str, op: str, value: float, **changes: Any) -> dict[str, Any]:
    leaf = {"kind": "aggregate", "event": "a", "property": "p", "fn": fn, "op": op, "value": value, "within": "10ms"}
    return {**leaf, **changes}


def answer(leaf: dict[str, Any], values: list[tuple[int, Any]], t: int) -> bool:
    """Whether somebody with these (time, value) is a member at t, by product and oracle alike."""
    events = [Event(f"e{index}", "a", START + time, {"p": value}) for index, (time, value) in enumerate(values)]
    return answer_for(leaf, events, START + t)


@pytest.mark.parametrize(
    ("op", "below", "at", "above"),
    [
        ("gte", False, True, True),
        ("gt", False, False, True),
        ("lte", True, True, False),
        ("lt", True, False, False),
        ("eq", False, True, False),
        ("ne", True, False, True),
    ],
)
@pytest.mark.parametrize(
    ("fn", "values"),
    [
        ("sum", ([2, 1.5, 1], [2, 2, 1], [2, 2, 1.000001])),
        ("avg", ([5, 5, 4.999999], [4, 5, 6], [5, 5, 5.000001])),
        ("min", ([9, 4.999999, 7], [9, 5, 7], [9, 5.000001, 7])),
        ("max", ([1, 4.999999, 3], [1, 5, 3], [1, 5.000001, 3])),
        ("distinct", (list("abcda"), list("abcdea"), list("abcdefa"))),
    ],
)
def test_an_aggregate_compares_below_at_and_above_its_value(
    fn: str, values: tuple[list[Any], ...], op: str, below: bool, at: bool, above: bool
) -> None:
    for made, expected in zip(values, (below, at, above), strict=True):
        inside = [(25 + index // 2, value) for index, value in enumerate(made)]
        assert answer(leaf_of(fn, op, 5), [(20, 100), *inside, (31, -100)], 30) is expected, made


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("fn", ["sum", "distinct"])
def test_of_no_values_sum_and_number_of_texts_are_zero(fn: str, op: str) -> None:
    for value in (0, 1):
        expected = {"gte": value <= 0, "gt": False, "lte": True, "lt": value > 0, "eq": value == 0, "ne": value != 0}
        assert answer(leaf_of(fn, op, value), [], 30) is expected[op]
        assert answer(leaf_of(fn, op, value), [(25, None)], 30) is expected[op]


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("fn", ["avg", "min", "max"])
def test_of_no_values_nothing_else_holds_for_any_operator(fn: str, op: str) -> None:
    assert answer(leaf_of(fn, op, 0), [], 30) is False
    assert answer(leaf_of(fn, op, 0), [(25, "no number"), (26, True), (27, None)], 30) is False


@pytest.mark.parametrize("fn", ["sum", "avg", "min", "max", "distinct"])
@pytest.mark.parametrize(("t", "expected"), [(19, False), (20, True), (21, True), (29, True), (30, False), (31, False)])
def test_a_value_counts_from_its_events_instant_until_exactly_the_window_later(fn: str, t: int, expected: bool) -> None:
    assert answer(leaf_of(fn, "eq", 1), [(20, 1)], t) is expected


@pytest.mark.parametrize("fn", ["sum", "avg", "min", "max", "distinct"])
@pytest.mark.parametrize(
    ("time", "expected"), [(9, False), (10, True), (11, True), (19, True), (20, True), (21, False)]
)
def test_both_ends_of_an_absolute_interval_are_in_it(fn: str, time: int, expected: bool) -> None:
    leaf = leaf_of(fn, "eq", 1)
    del leaf["within"]
    assert answer({**leaf, "since": iso(START + 10), "until": iso(START + 20)}, [(time, 1)], 1_000) is expected


@pytest.mark.parametrize(("t", "expected"), [(29, True), (30, False), (31, False)])
def test_a_sum_falls_when_its_earliest_value_leaves(t: int, expected: bool) -> None:
    for extra in ({}, {"non_negative": True}):
        assert answer(leaf_of("sum", "gte", 3, **extra), [(20, 1), (25, 2)], t) is expected


@pytest.mark.parametrize(("t", "expected"), [(29, False), (30, True), (31, True)])
def test_a_signed_sum_rises_when_a_negative_value_leaves(t: int, expected: bool) -> None:
    assert answer(leaf_of("sum", "gte", 3), [(20, -1), (25, 3)], t) is expected


def test_a_negative_value_does_not_count_where_a_sum_says_that_there_is_none() -> None:
    assert answer(leaf_of("sum", "eq", 3, non_negative=True), [(25, 3), (26, -1)], 30) is True


def test_two_values_in_one_millisecond_are_two_and_the_same_event_twice_is_one() -> None:
    assert answer(leaf_of("sum", "eq", 2), [(25, 1), (25, 1)], 30) is True
    twice = [Event("e", "a", START + 25, {"p": 1})] * 2
    assert answer_for(leaf_of("sum", "eq", 1), twice, START + 30) is True


def test_a_number_written_as_a_text_is_one_and_a_text_of_it_is_another_than_of_the_number_one() -> None:
    assert answer(leaf_of("sum", "eq", 3.5), [(25, "1.5"), (26, 2), (27, "x")], 30) is True
    assert answer(leaf_of("distinct", "eq", 2), [(25, "1"), (26, 1), (27, "1.0")], 30) is True


def test_a_text_that_comes_again_counts_until_its_latest_event_leaves() -> None:
    leaf = leaf_of("distinct", "gte", 2)
    assert answer(leaf, [(20, "x"), (25, "x"), (26, "y")], 34) is True
    assert answer(leaf, [(20, "x"), (25, "x"), (26, "y")], 35) is False


@pytest.mark.parametrize(("fn", "op"), [(fn, op) for fn in ("min", "max") for op in OPERATORS])
def test_of_a_thousand_values_a_minimum_keeps_three(fn: str, op: str) -> None:
    roll = Roll(plan_of([{"key": "c", "when": leaf_of(fn, op, 0, within="1d")}]))
    roll.receive([Event(f"e{n}", "a", START + n, {"p": n % 7 - 3}) for n in range(1_000)], START + 1_000)
    assert [len(line) for line in roll.record.timelines.values()] == [3]


def test_a_sum_without_negative_values_keeps_no_more_than_reach_its_value() -> None:
    leaf = leaf_of("sum", "gte", 500, within="1d", non_negative=True)
    roll = Roll(plan_of([{"key": "c", "when": leaf}]))
    roll.receive([Event(f"e{n}", "a", START + n, {"p": n % 3 * 50}) for n in range(1_000)], START + 1_000)
    assert [len(line) for line in roll.record.timelines.values()] == [7]


def test_an_average_of_more_than_its_cap_is_unknown_and_of_as_many_known() -> None:
    roll = Roll(plan_of([{"key": "c", "when": leaf_of("avg", "gte", 1, within="1d")}]))
    events = [Event(f"e{n}", "a", START + n, {"p": 1}) for n in range(ENTRIES_MAX + 1)]
    roll.receive(events[1:], START + 1_000)
    assert roll.members() == {"c": True}
    roll.receive(events[:1], START + 1_000)
    assert roll.members() == {"c": None}
    roll.run_timers(START + 86_400_000 - 1)
    assert roll.members() == {"c": None}
    roll.run_timers(START + 86_400_000)
    assert roll.members() == {"c": True}


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("gte", ENTRIES_MAX, True),
        ("gte", ENTRIES_MAX + 1, None),
        ("lt", ENTRIES_MAX, False),
        ("gt", 3, True),
        ("eq", 3, False),
    ],
)
def test_a_sum_beyond_its_cap_tells_what_no_value_more_could_change(op: str, value: int, expected: bool | None) -> None:
    leaf = leaf_of("sum", op, value, within="1d", non_negative=True)
    roll = Roll(plan_of([{"key": "c", "when": leaf}]))
    roll.receive([Event(f"e{n}", "a", START + n, {"p": 1}) for n in range(ENTRIES_MAX + 50)], START + 1_000)
    assert roll.members() == {"c": expected}


def selector_text(leaf: dict[str, Any]) -> str:
    (condition,) = conditions_of(parse_cohort({"key": "c", "when": leaf}).when)
    assert not isinstance(condition, RegisterCondition)
    return condition.selectors[0].canonical()


def test_the_same_property_read_in_another_form_is_another_selector_and_in_the_same_form_the_same() -> None:
    assert selector_text(leaf_of("min", "gt", 1)) == '[[["a",[]]],["p","number"]]'
    assert selector_text(leaf_of("avg", "lt", 7)) == selector_text(leaf_of("min", "gt", 1))
    assert selector_text(leaf_of("sum", "gt", 1)) == selector_text(leaf_of("min", "gt", 1))
    assert selector_text(leaf_of("sum", "gt", 1, non_negative=True)) == '[[["a",[]]],["p","non_negative"]]'
    assert selector_text(leaf_of("distinct", "gt", 1)) == '[[["a",[]]],["p","text"]]'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0000005, 0),
        (0.0000015, 2),
        (-0.0000015, -2),
        (1.0000004, 1_000_000),
        ("12.5", 12_500_000),
        (NUMBER_MAX, 9_223_372_036_853_999_616),
        (NUMBER_MAX + 1, None),
        (1e308, None),
        ("1e400", None),
        ("", None),
        ([1], None),
        (False, None),
    ],
)
def test_a_number_is_a_whole_number_of_millionths(value: Any, expected: int | None) -> None:
    assert fixed_point_of(value) == expected


@pytest.mark.parametrize("text", ["", "sess_003228", "schön", "\U0001f6d2", "x" * 10_000])
def test_a_text_has_the_first_eight_bytes_of_its_md5_for_a_hash(text: str) -> None:
    assert hash_of(text) == int.from_bytes(md5(text.encode()).digest()[:8], "little", signed=True)
    assert ValueOf("p", Form.TEXT).of({"p": text}) == hash_of(text)


@pytest.mark.parametrize(
    ("leaf", "problem"),
    [
        (leaf_of("sum", "gte", float("nan")), "out of bounds"),
        (leaf_of("sum", "gte", float("inf")), "out of bounds"),
        (leaf_of("sum", "gte", NUMBER_MAX + 1), f"at most {NUMBER_MAX}"),
        (leaf_of("sum", "gte", 10**400), f"at most {NUMBER_MAX}"),
        (leaf_of("sum", "gte", 0.1234567), "more than 6 digits"),
        (leaf_of("sum", "gte", True), "is no number"),
        (leaf_of("sum", "gte", 1) | {"value": "500"}, "without quotes"),
        (leaf_of("sum", "gte", 1) | {"value": None}, "is no number"),
        (leaf_of("median", "gte", 1), "is not known; use 'sum'"),
        (leaf_of("sum", "exact", 1), "is not known; use 'gte'"),
        (leaf_of("avg", "gte", 1, non_negative=True), "of a sum only, not of avg"),
        (leaf_of("sum", "gte", 1, non_negative="yes"), "neither true nor false"),
        (leaf_of("distinct", "gte", 1.5), "whole number, 0 to 1000"),
        (leaf_of("distinct", "gte", -1), "whole number, 0 to 1000"),
        (leaf_of("distinct", "gte", DISTINCT_MAX + 1), "whole number, 0 to 1000"),
        (leaf_of("sum", "gte", 1, property=""), "at least 1"),
        (leaf_of("sum", "gte", 1, within="0d"), "longer than 0"),
        (leaf_of("sum", "gte", 1, since=iso(START)), "give one of the two"),
        ({name: value for name, value in leaf_of("sum", "gte", 1).items() if name != "property"}, "required"),
    ],
)
def test_an_aggregate_beyond_its_limits_is_refused_with_the_limit(leaf: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadDefinition, match=problem):
        check([parse_cohort({"key": "c", "when": leaf})])


@pytest.mark.parametrize("value", [0, 0.1, 0.000001, -2.5, NUMBER_MAX, -NUMBER_MAX, 123_456.789012])
def test_a_value_at_the_limits_is_accepted(value: float) -> None:
    check([parse_cohort({"key": "c", "when": leaf_of("sum", "gte", value)})])


def test_more_averages_than_a_record_holds_are_refused() -> None:
    cohorts = [parse_cohort({"key": f"c{n}", "when": leaf_of("avg", "gte", 1, property=f"p{n}")}) for n in range(12)]
    check(cohorts[:11])
    with pytest.raises(BadDefinition, match=f"at most {RECORD_BYTES_MAX}"):
        check(cohorts)


SHARERS: list[dict[str, Any]] = [
    {**leaf_of(fn, op, 1, within=None), **when}
    for fn in ("sum", "avg")
    for op in OPERATORS
    for when in ({"within": "1d"}, {"within": "300ms"}, {"since": iso(START + 100)})
]


def test_further_sums_and_averages_of_one_property_count_an_eighth_for_the_bound() -> None:
    check([parse_cohort({"key": f"c{n}", "when": leaf}) for n, leaf in enumerate(SHARERS)])
    many = [leaf_of("avg", "gte", 1, within=f"{n + 1}d") for n in range(100)]
    with pytest.raises(BadDefinition, match=f"at most {RECORD_BYTES_MAX}"):
        check([parse_cohort({"key": f"c{n}", "when": leaf}) for n, leaf in enumerate(many)])
    ending = [
        {**leaf_of("avg", "gte", n, within=None), "since": iso(START), "until": iso(START + n)} for n in range(12)
    ]
    with pytest.raises(BadDefinition, match=f"at most {RECORD_BYTES_MAX}"):
        check([parse_cohort({"key": f"c{n}", "when": leaf}) for n, leaf in enumerate(ending)])


@pytest.mark.parametrize("fn", ["sum", "avg"])
@pytest.mark.parametrize("now", [150, 255, 256, 257, 400, 700, 1_100])
def test_together_they_keep_no_more_than_the_one_that_keeps_most(fn: str, now: int) -> None:
    line = tuple((START + time, time, time % 3 - 1) for time in range(600))
    kept: set[tuple[int, ...]] = set()
    most = 0
    for leaf in SHARERS:
        if leaf["fn"] == fn:
            (condition,) = conditions_of(parse_cohort({"key": "c", "when": leaf}).when)
            assert not isinstance(condition, RegisterCondition)
            entries = [entry for entry in condition.keep((line,), START + now)[0] if entry[0] <= START + now]
            kept, most = kept.union(entries), max(most, len(entries))
    assert len(kept) == most <= ENTRIES_MAX
