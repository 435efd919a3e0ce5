"""Every operator of a flag's properties against every kind of value: missing, null, wrong-typed, unicode and huge."""

from typing import Any

import pytest

from tests.evaluator.building import decided, flag, person_is

MISSING = object()
PRESENT: tuple[Any, ...] = (
    MISSING, None, True, False, 0, 7, 7.0, -7.5, "7", " 7", "", "pro", "PRO", "é", "É", [], ["pro"], {},
    "2026-01-12", 1.2, 10**30, 10**400, "pro" * 50_000, "\ud800",
)  # fmt: skip
"""What a person may have, in the order of the columns below."""

VERDICTS: list[tuple[str, Any, str]] = [
    ("exact", "pro", "...........xx..........."),
    ("exact", ["PRO", "x"], "...........xx..........."),
    ("exact", 7, ".....xx.x..............."),
    ("exact", True, "..x....................."),
    ("exact", "é", ".............xx........."),
    ("is_not", "pro", "xxxxxxxxxxx..xxxxxxxxxxx"),
    ("icontains", "RO", "...........xx...x.....x."),
    ("icontains", ["x", "é"], ".............x.........."),
    ("not_icontains", "RO", "xxxxxxxxxxx..xxx.xxxxx.x"),
    ("starts_with", "PR", "...........xx.........x."),
    ("not_starts_with", "PR", "xxxxxxxxxxx..xxxxxxxxx.x"),
    ("ends_with", "RO", "...........xx.........x."),
    ("not_ends_with", "RO", "xxxxxxxxxxx..xxxxxxxxx.x"),
    ("regex", "^p.o", "...........x..........x."),
    ("not_regex", "^p.o", "xxxxxxxxxxx.xxxxxxxxxx.x"),
    ("gt", 6, ".....xx.x...........x..."),
    ("gte", "7", ".....xx.x...........x..."),
    ("lt", 7, "....x..x...........x...."),
    ("lte", 7, "....xxxxx..........x...."),
    ("between", [7, 8], ".....xx.x..............."),
    ("not_between", [7, 8], "xxxxx..x.xxxxxxxxxxxxxxx"),
    ("is_set", None, "..xxxxxxxxxxxxxxxxxxxxxx"),
    ("is_not_set", None, "xx......................"),
    ("is_date_before", "2026-01-13", "....xxxxx.........xx...."),
    ("is_date_after", "2026-01-11", "..................x....."),
    ("is_date_exact", "2026-01-12", "..................x....."),
    ("is_date_after", "-7d", "..................x....."),
    ("semver_eq", "1.2.0", "...................x...."),
    ("semver_neq", "1.2.0", "....xxx.xx........x....."),
    ("semver_gt", "1.0.0", ".....xx.xx........xx...."),
    ("semver_gte", "7.0.0", ".....xx.xx........x....."),
    ("semver_lt", "8.0.0", "....xxx.xx.........x...."),
    ("semver_lte", "1.2.0", "....x..............x...."),
    ("semver_tilde", "1.2.0", "...................x...."),
    ("semver_caret", "1.0.0", "...................x...."),
    ("semver_wildcard", "1.*", "...................x...."),
]
"""Operator, value, and for each value that a person may have x where the test passes."""


@pytest.mark.parametrize(("operator", "value", "verdicts"), VERDICTS)
def test_each_operator_says_this_of_each_kind_of_value(operator: str, value: Any, verdicts: str) -> None:
    raw = flag("f", {"properties": [person_is("p", operator, value)]})
    told = ({} if present is MISSING else {"p": present} for present in PRESENT)
    assert "".join("x" if decided(raw, properties=each).enabled else "." for each in told) == verdicts


def test_the_table_has_every_operator() -> None:
    from cohort_store.operators import OPERATORS

    assert {operator for operator, _, _ in VERDICTS} == set(OPERATORS)


@pytest.mark.parametrize(
    ("operator", "other"),
    [("is_not", "exact"), ("is_not_set", "is_set"), ("not_regex", "regex"), ("not_between", "between")],
)
def test_a_negative_operator_says_the_opposite_of_its_positive_one(operator: str, other: str) -> None:
    by_operator: dict[str, str] = {}
    for name, _, verdicts in VERDICTS:
        by_operator.setdefault(name, verdicts)
    opposite = by_operator[other].translate(str.maketrans("x.", ".x"))
    assert by_operator[operator] == opposite


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)*x", "(?:a{1,100}){1,10}b"])
def test_no_pattern_takes_more_than_linear_time(pattern: str) -> None:
    raw = flag("f", {"properties": [person_is("p", "regex", pattern)]})
    assert decided(raw, properties={"p": "a" * 500_000 + "!"}).enabled is False
