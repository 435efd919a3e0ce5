"""Operator by operator: SQL and Python pass the same property values, however awkward."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_store.errors import BadEvent
from cohort_store.event_values import Form, ValueOf
from cohort_store.operators import NEGATIVES, OPERATORS
from cohort_store.properties import PropertyTest, compile_dated_test
from cohort_store.property_dates import instant_of
from cohort_store.property_values import number_of, text_of
from cohort_store.selectors import Alternative, Selector
from processors.clickhouse.translation import literals, properties
from processors.clickhouse.translation.event_values import value_of
from processors.clickhouse.translation.property_values import definitions
from processors.clickhouse.translation.selectors import matches
from processors.codecs.event import read_properties
from processors.embedded.chdb_memory import Memory
from tests.examples import aside, lots_of
from tests.translation.awkward import PRESENT, WANTED, values

NOW = 1_768_212_000_000


def a_test(op: str, wanted: Any, name: str = "p") -> PropertyTest:
    return PropertyTest.model_validate({"property": name, "op": op} | ({} if wanted is None else {"value": wanted}))


def load_objects(memory: Memory, objects: Sequence[str]) -> None:
    memory.command("CREATE OR REPLACE TABLE objects (number UInt32, properties String) ENGINE = Memory")
    memory.insert("objects", ({"number": number, "properties": text} for number, text in enumerate(objects)))


def by_sql(memory: Memory, tests: Sequence[PropertyTest], objects: Sequence[str]) -> list[list[bool]]:
    """For each JSON object, whether it passes each test."""
    load_objects(memory, objects)
    verdicts = ", ".join(matches(Selector((Alternative(None, (test,)),))) for test in tests)
    head = ", ".join(["{now:Int64} AS now", *definitions(verdicts)])
    found = memory.query(f"WITH {head} SELECT [{verdicts}] FROM objects ORDER BY number", {"now": NOW})
    return [[bool(verdict) for verdict in row[0]] for row in found]


def by_python(tests: Iterable[PropertyTest], objects: Iterable[str]) -> list[list[bool]]:
    """The same; properties that cannot be read pass nothing."""
    compiled = [compile_dated_test(test) for test in tests]
    found: list[list[bool]] = []
    for text in objects:
        try:
            read = read_properties(text)
        except BadEvent:
            found.append([False for _ in compiled])
        else:
            found.append([test.holds(read, NOW) for test in compiled])
    return found


def assert_agree(memory: Memory, tests: Sequence[PropertyTest], objects: Sequence[str]) -> None:
    for text, sql, python in zip(objects, by_sql(memory, tests, objects), by_python(tests, objects), strict=True):
        wrong = [f"{test.op} {test.value!r}" for test, a, b in zip(tests, sql, python, strict=True) if a is not b]
        assert wrong == [], text


def test_every_operator_has_its_sql_and_its_awkward_cases() -> None:
    positive = {op for op in OPERATORS if op not in NEGATIVES}
    assert set(properties.OPERATORS) == positive
    assert set(WANTED) == set(OPERATORS)


@pytest.mark.parametrize("op", OPERATORS)
def test_sql_passes_what_python_passes(memory: Memory, op: str) -> None:
    objects = ["{}", '{"q": "x"}', *(f'{{"q": 1, "p": {text}}}' for text in PRESENT)]
    assert_agree(memory, [a_test(op, wanted) for wanted in WANTED[op]], objects)


FRACTIONS = (0.0, 0.000001, 0.0005, 0.000999, 0.4999995, 0.998999, 0.9999, 0.999999)
"""Of a second, about where milliseconds part."""

VALUES = 10
several = st.lists(values, min_size=VALUES, max_size=25)
tests = st.sampled_from([a_test(op, wanted) for op in OPERATORS for wanted in WANTED[op]])


@lots_of(VALUES)
@given(st.lists(tests, min_size=1, max_size=6), several)
def test_sql_passes_what_python_passes_of_any_value(
    memory: Memory, drawn: list[PropertyTest], present: list[Any]
) -> None:
    assert_agree(memory, drawn, [msgspec.json.encode({"p": value}).decode() for value in present])


@lots_of(VALUES)
@given(several)
def test_a_value_has_the_same_text_number_and_date_to_the_last_bit(memory: Memory, present: list[Any]) -> None:
    there = [value for value in present if value is not None]
    load_objects(memory, [msgspec.json.encode({"p": value}).decode() for value in there])
    asked = "text_of(properties, 'p'), number_of(properties, 'p'), instant_of(properties, 'p')"
    sql = f"WITH {', '.join(definitions(asked))} SELECT {asked} FROM objects ORDER BY number"
    found = [[text, None if number is None else float(number), date] for text, number, date in memory.query(sql, {})]
    assert found == [[text_of(value), number_of(value), instant_of(value)] for value in there]


def test_seconds_are_floored_to_the_same_millisecond_in_every_year(memory: Memory) -> None:
    seconds = [year * 31_556_952 - 62_167_219_200 + fraction for year in range(2, 9999, 7) for fraction in FRACTIONS]
    load_objects(memory, [msgspec.json.encode({"p": each}).decode() for each in seconds])
    asked = "instant_of(properties, 'p')"
    found = memory.query(f"WITH {', '.join(definitions(asked))} SELECT {asked} FROM objects ORDER BY number", {})
    assert found == [[instant_of(each)] for each in seconds]


@lots_of(VALUES)
@given(several)
def test_an_entrys_value_is_the_same_number_or_hash(memory: Memory, present: list[Any]) -> None:
    objects = [{"p": value} for value in present]
    load_objects(memory, [msgspec.json.encode(each).decode() for each in objects])
    read = [ValueOf("p", form) for form in Form]
    asked = ", ".join(map(value_of, read))
    sql = f"WITH {', '.join(definitions(asked))} SELECT {asked} FROM objects ORDER BY number"
    assert memory.query(sql, {}) == [[each.of(properties) for each in read] for properties in objects]


@pytest.mark.parametrize(
    "name", ["it's", "\\", "a\\'", "{now:Int64}", "}", "'; DROP TABLE objects; --", "\n", "é", "a.b", "0"]
)
def test_a_property_is_found_by_its_very_name(memory: Memory, name: str) -> None:
    objects = [msgspec.json.encode({other: "x"}).decode() for other in (name, f"{name}x", "p")]
    assert by_sql(memory, [a_test("exact", "x", name)], objects) == [[True], [False], [False]]


@aside()
@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_any_text_comes_back_from_a_literal_as_it_was(memory: Memory, text: str) -> None:
    assert memory.query(f"SELECT {literals.text(text)}", {}) == [[text]]
    assert memory.query(f"SELECT {literals.text(text)} WHERE {{now:Int64}} = 1", {"now": 1}) == [[text]]


@aside()
@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63 - 1))
def test_any_number_comes_back_from_a_literal_as_it_was(memory: Memory, number: float, integer: int) -> None:
    sql = f"SELECT toString(reinterpretAsUInt64({literals.number(number)})), 0 - {literals.integer(integer)}"
    bits = int.from_bytes(msgspec.msgpack.encode(number)[1:], "big")
    assert memory.query(sql, {})[0][0] == str(bits)
