"""The table of property operators, row by row, on every shape that a JSON value can have."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_store.errors import BadEvent
from cohort_store.flag_operators import compile_flag_test
from cohort_store.operators import OPERATORS
from cohort_store.properties import PropertyTest, compile_dated_test, compile_test
from cohort_store.property_values import number_of, text_of
from tests.examples import aside
from tests.oracle import operators as oracle

ABSENT = object()


def passes(op: str, value: Any, present: Any) -> bool:
    """By product and oracle alike: whether a property with this value passes the test."""
    properties = {} if present is ABSENT else {"p": present}
    plain = {"property": "p", "op": op} | ({} if value is None else {"value": value})
    test = PropertyTest.model_validate(plain)
    found = compile_test(test)(properties)
    assert oracle.passes(plain, properties) is found, (plain, properties)
    assert compile_dated_test(test).holds(properties, 0) is found
    assert compile_dated_test(test).next_change(properties, 0) is None
    return found


POSITIVE = [
    ("exact", "x"),
    ("icontains", "x"),
    ("starts_with", ""),
    ("ends_with", ""),
    ("regex", ".*"),
    ("gt", 0),
    ("gte", 0),
    ("lt", 9),
    ("lte", 9),
    ("between", [-9, 9]),
    ("is_set", None),
    ("is_date_before", "2026-01-12"),
    ("is_date_after", 0),
    ("is_date_exact", 0),
    *((f"semver_{each}", "1.2.3") for each in ("eq", "neq", "gt", "gte", "lt", "lte", "tilde", "caret")),
    ("semver_wildcard", "*"),
]
NEGATIVE = [
    ("is_not", "x"),
    ("not_icontains", "x"),
    ("not_starts_with", ""),
    ("not_ends_with", ""),
    ("not_regex", ".*"),
    ("not_between", [-9, 9]),
    ("is_not_set", None),
]


def test_every_operator_is_either_positive_or_negative() -> None:
    assert sorted(OPERATORS) == sorted({op for op, _ in POSITIVE} | {op for op, _ in NEGATIVE})


@pytest.mark.parametrize(("op", "value"), POSITIVE)
@pytest.mark.parametrize("present", [ABSENT, None])
def test_a_positive_operator_is_false_on_a_property_that_is_missing_or_null(op: str, value: Any, present: Any) -> None:
    assert passes(op, value, present) is False


@pytest.mark.parametrize(("op", "value"), NEGATIVE)
@pytest.mark.parametrize("present", [ABSENT, None])
def test_a_negative_operator_is_true_on_a_property_that_is_missing_or_null(op: str, value: Any, present: Any) -> None:
    assert passes(op, value, present) is True


@pytest.mark.parametrize("present", ["", 0, False, [], {}, "null", "x"])
def test_a_property_is_set_when_it_is_there_and_not_null(present: Any) -> None:
    assert passes("is_set", None, present) is True
    assert passes("is_not_set", None, present) is False


@pytest.mark.parametrize(
    ("wanted", "present", "expected"),
    [
        ("pro", "pro", True),
        ("pro", "Pro", False),
        ("pro", " pro", False),
        ("", "", True),
        ("é", "é", True),
        ("é", "e\u0301", False),
        ("日本", "日本", True),
        ("👍🏽", "👍", False),
        (True, True, True),
        (True, "true", True),
        (True, 1, False),
        (True, "True", False),
        (False, 0, False),
        (False, "false", True),
        (1, 1, True),
        (1, 1.0, True),
        (1, "1", True),
        (1, "1.0", False),
        (1, True, False),
        ("1.5", 1.5, True),
        (1.5, 1.50, True),
        (0, -0.0, True),
        ("0", -0.0, True),
        ("10000000000000000", 1e16, True),
        ("1e21", 1e21, True),
        ("1e-7", 0.0000001, True),
        ("0.000001", 0.000001, True),
        (2**53 + 1, 2**53 + 1, True),
        ("12345678901234567890123", 12345678901234567890123, True),
        ("nan", "nan", True),
        ("[]", [], True),
        ('["x"]', ["x"], True),
        ("x", ["x"], False),
        ('[1,"a",null,true,{"k":0.5}]', [1, "a", None, True, {"k": 0.5}], True),
        ('{"k":1}', {"k": 1}, True),
        (["a", "b"], "b", True),
        (["a", "b"], "c", False),
        (["a", 1, True], 1, True),
        (["a", 1, True], True, True),
        (["a", 1], True, False),
    ],
)
def test_exact_is_equality_as_text_and_a_list_means_any_of(wanted: Any, present: Any, expected: bool) -> None:
    assert passes("exact", wanted, present) is expected
    assert passes("is_not", wanted, present) is not expected


@pytest.mark.parametrize(
    ("wanted", "present", "expected"),
    [
        ("RO", "pro", True),
        ("pro", "PROFESSIONAL", True),
        ("x", "pro", False),
        ("", "anything", True),
        ("École", "l'école", True),
        ("STRASSE", "straße", True),
        ("οδος", "ΟΔΟΣ", True),
        ("k", "\u212a", True),
        ("ı", "I", False),
        ("12", 3125, True),
        ("RU", True, True),
        ("E21", 1e21, True),
        ("b", ["a", "b"], True),
        (["x", "ro"], "Pro", True),
        (["x", "y"], "Pro", False),
    ],
)
def test_icontains_looks_for_a_part_with_case_folded(wanted: Any, present: Any, expected: bool) -> None:
    assert passes("icontains", wanted, present) is expected
    assert passes("not_icontains", wanted, present) is not expected


@pytest.mark.parametrize(
    ("wanted", "present", "starts", "ends"),
    [
        ("ab", "ab", True, True),
        ("ab", "abc", True, False),
        ("ab", "cab", False, True),
        ("ab", "cabc", False, False),
        ("ab", "Ab", False, False),
        ("ab", "a", False, False),
        ("", "x", True, True),
        ("", "", True, True),
        ("é", "é", True, True),
        ("e", "e\u0301", True, False),
        ("1", 15, True, False),
        (5, 15, False, True),
        (1.5, "1.55", True, False),
        ("tr", True, True, False),
        ("[", ["x"], True, False),
        (["x", "ab"], "abx", True, True),
        (["y", "z"], "abx", False, False),
        ("a.c", "abc", False, False),
        ("%", "abc", False, False),
    ],
)
def test_starts_with_and_ends_with_compare_text_by_its_characters_and_its_case(
    wanted: Any, present: Any, starts: bool, ends: bool
) -> None:
    assert passes("starts_with", wanted, present) is starts
    assert passes("not_starts_with", wanted, present) is not starts
    assert passes("ends_with", wanted, present) is ends
    assert passes("not_ends_with", wanted, present) is not ends


@pytest.mark.parametrize(
    ("pattern", "present", "expected"),
    [
        ("b", "abc", True),
        ("^b", "abc", False),
        ("^abc$", "abc", True),
        ("B", "abc", False),
        ("(?i)B", "abc", True),
        ("a.c", "abc", True),
        ("a.c", "a\nc", False),
        ("(?s)a.c", "a\nc", True),
        ("^c", "a\nc", False),
        ("(?m)^c", "a\nc", True),
        ("", "", True),
        ("x*", "", True),
        (".", "日", True),
        ("^..$", "日本", True),
        ("@(gmail|web)\\.de$", "eve@web.de", True),
        ("@(gmail|web)\\.de$", "eve@web.den", False),
        ("^4[0-9]{2}$", 404, True),
        ("^true$", True, True),
        ("\\[", ["x"], True),
        (["^x", "c$"], "abc", True),
        (["^x", "^y"], "abc", False),
    ],
)
def test_regex_is_looked_for_anywhere_in_the_text(pattern: Any, present: Any, expected: bool) -> None:
    assert passes("regex", pattern, present) is expected
    assert passes("not_regex", pattern, present) is not expected


@pytest.mark.timeout(20)
def test_no_pattern_takes_more_than_linear_time() -> None:
    assert not compile_test(PropertyTest(property="p", op="regex", value="(a*)*(a|aa)*b$"))({"p": "a" * 50_000})


@pytest.mark.parametrize(
    ("present", "below", "at", "above"),
    [
        (4, True, False, False),
        (5, False, True, False),
        (6, False, False, True),
        ("4.999", True, False, False),
        ("5", False, True, False),
        ("5.0", False, True, False),
        ("005", False, True, False),
        ("+5", False, True, False),
        ("5e0", False, True, False),
        (".5e1", False, True, False),
        ("5.", False, True, False),
        (5.000000000000001, False, False, True),
        (2**63, False, False, True),
        (10**30, False, False, True),
        (-(10**30), True, False, False),
        (1e308, False, False, True),
    ],
)
def test_comparisons_take_both_sides_as_numbers(present: Any, below: bool, at: bool, above: bool) -> None:
    for limit in (5, 5.0, "5"):
        assert passes("lt", limit, present) is below
        assert passes("lte", limit, present) is (below or at)
        assert passes("gte", limit, present) is (at or above)
        assert passes("gt", limit, present) is above


@pytest.mark.parametrize(
    "present",
    [
        *[
            "",
            "five",
            "5 ",
            " 5",
            "5\n",
            "5,0",
            "1_000",
            "0x10",
            "\u0665",
            "\uff15",
            "--5",
            "e5",
            ".",
            "1e",
            "nan",
            "NaN",
            "inf",
        ],
        *["-Infinity", "1e400", 10**400, True, False, [], [5], {}, {"k": 5}],
    ],
)
@pytest.mark.parametrize("op", ["gt", "gte", "lt", "lte"])
def test_what_is_no_number_passes_no_comparison(op: str, present: Any) -> None:
    assert passes(op, 5, present) is False


@pytest.mark.parametrize(
    ("present", "expected"),
    [(4.999, False), (5, True), (5.001, True), ("7.5", True), (9.999, True), (10, True), (10.001, False)],
)
def test_between_has_both_of_its_ends_in(present: Any, expected: bool) -> None:
    for bounds in ([5, 10], ["5", 10.0]):
        assert passes("between", bounds, present) is expected
        assert passes("not_between", bounds, present) is not expected


@pytest.mark.parametrize(("present", "expected"), [(4, False), (5, True), (6, False)])
def test_between_may_have_equal_ends(present: Any, expected: bool) -> None:
    assert passes("between", [5, 5], present) is expected


@pytest.mark.parametrize("present", ["five", "", True, [7], {}, "7 ", 10**400])
def test_what_is_no_number_is_not_between_any_two(present: Any) -> None:
    assert passes("between", [5, 10], present) is False
    assert passes("not_between", [5, 10], present) is True


def test_numbers_beyond_what_a_float_tells_apart_compare_as_equal() -> None:
    """History is compared as 64-bit floats too; so both agree, and neither tells 2⁵³ from 2⁵³ + 1."""
    assert passes("gte", 2**53 + 1, 2**53) is True
    assert passes("gt", 2**53, 2**53 + 1) is False


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, "1"),
        (-1, "-1"),
        (1.0, "1"),
        (1.10, "1.1"),
        (0.1 + 0.2, "0.30000000000000004"),
        (100.0, "100"),
        (-0.0, "0"),
        (1e15, "1000000000000000"),
        (1e16, "10000000000000000"),
        (1.5e16, "15000000000000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e20, "100000000000000000000"),
        (1e21, "1e21"),
        (-1.5e300, "-1.5e300"),
        (1e-5, "0.00001"),
        (1.5e-5, "0.000015"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (-1.25e-7, "-1.25e-7"),
        (5e-324, "5e-324"),
        (2**64, "18446744073709551616"),
    ],
)
def test_a_number_as_text_is_its_shortest_decimal_form(value: float, expected: str) -> None:
    assert text_of(value) == expected
    assert oracle.text(value) == expected


@aside()
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_as_text_reads_back_as_the_same_number(value: float) -> None:
    assert float(text_of(value)) == value
    assert text_of(value) == oracle.text(value)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False))
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(json_values.filter(lambda value: value is not None))
def test_any_json_value_has_the_text_and_the_number_that_the_oracle_finds(value: Any) -> None:
    assert text_of(value) == oracle.text(value)
    assert number_of(value) == oracle.number(value)


@given(st.text(alphabet="0123456789+-.eE _", max_size=8))
def test_a_text_is_a_number_exactly_when_the_oracle_says_so(text: str) -> None:
    assert number_of(text) == oracle.number(text)


@pytest.mark.timeout(20)
def test_a_long_text_of_digits_that_is_no_number_is_seen_to_be_none_at_once() -> None:
    assert number_of("1" * 1_000_000 + "x") is None


def test_a_value_nested_too_deep_is_a_bad_event_and_not_a_crash() -> None:
    nested: Any = "x"
    for _ in range(5_000):
        nested = [nested]
    with pytest.raises(BadEvent, match="nested_too_deep"):
        text_of(nested)


def test_a_list_decoded_from_json_is_compared_as_compact_json() -> None:
    decoded = msgspec.json.decode(b'{"p": [1, 2.50, "a\\u00e9", {"b": null}]}')
    assert compile_test(PropertyTest(property="p", value='[1,2.5,"aé",{"b":null}]'))(decoded)


@pytest.mark.parametrize(("wanted", "present"), [("Pro", "pRO"), (["a", "PRO"], "pro"), (True, "TRUE")])
def test_a_flag_folds_case_where_a_cohort_does_not(wanted: Any, present: Any) -> None:
    test = PropertyTest.model_validate({"property": "p", "value": wanted})
    assert compile_flag_test(test)({"p": present})
    assert not compile_test(test)({"p": present})
