"""Property tests: one operator applied to one property of an event, a person or a flag request.

A positive operator on a missing (or null) property is false, a negative one true. Values are JSON
values: None, bool, int, float, str, list, dict. `compile_test` turns a test into a closure once, so
that an evaluation costs one call.

What a value is as text or as a number is what ClickHouse makes of it (JSONExtractString, toFloat64OrNull),
so that live events and history are judged alike.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field, field_validator, model_validator

from cohort_store.errors import Crash
from cohort_store.property_values import number_of, text_of
from cohort_store.schema import Model

Properties = Mapping[str, Any]
Test = Callable[[Properties], bool]

VALUES_MAX = 1_000
TEXT_MAX = 1_024
INTEGER_MAX = 2**63 - 1

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_NEGATIVES = {"is_not": "exact", "not_icontains": "icontains", "is_not_set": "is_set"}
_VALUELESS = ("is_set", "is_not_set")
OPERATORS = ("exact", *_COMPARISONS, "icontains", "is_set", *_NEGATIVES)

_OPERATOR_HELP = f"One of {', '.join(OPERATORS)}."


class PropertyTest(Model):
    """`{property: plan, op: exact, value: pro}`; `value` may be a list for the text operators: any of them."""

    property: str = Field(min_length=1, max_length=200, description="Name of the property.")
    op: str = Field(default="exact", description=_OPERATOR_HELP, json_schema_extra={"enum": list(OPERATORS)})
    value: bool | int | float | str | tuple[bool | int | float | str, ...] | None = Field(
        default=None, description="What to compare with; a list means any of. Not for is_set and is_not_set."
    )

    @field_validator("op")
    @classmethod
    def _op_is_known(cls, op: str) -> str:
        if op not in OPERATORS:
            raise ValueError(f"operator {op[:40]!r} is not known; use one of {', '.join(OPERATORS)}")
        return op

    @field_validator("value", mode="before")
    @classmethod
    def _value_is_plain(cls, value: Any) -> Any:
        values = value if isinstance(value, (list, tuple)) else [value]
        if len(values) > VALUES_MAX or (not values and value is not None):
            raise ValueError(f"{len(values)} values; give 1 to {VALUES_MAX}, or use a property that groups them")
        trouble = None if value is None else next(filter(None, map(_trouble_with, values)), None)
        if trouble:
            raise ValueError(trouble)
        return value

    @model_validator(mode="after")
    def _value_fits_operator(self) -> PropertyTest:
        if self.op in _VALUELESS:
            if self.value is not None:
                raise ValueError(f"operator {self.op} takes no value; remove {str(self.value)[:40]!r}")
        elif self.value is None:
            raise ValueError(f"operator {self.op} needs a value; to ask whether the property is there, use is_set")
        elif self.op in _COMPARISONS and number_of(self.value) is None:
            raise ValueError(f"operator {self.op} compares numbers, {str(self.value)[:40]!r} is none; write one number")
        return self

    def canonical(self) -> list[Any]:
        """Property, operator and what is compared with, equal exactly for tests that mean the same."""
        if self.op in _VALUELESS:
            return [self.property, self.op]
        if self.op in _COMPARISONS:
            return [self.property, self.op, number_of(self.value)]
        return [self.property, self.op, sorted(set(self.texts()))]

    def texts(self) -> list[str]:
        """What a text operator compares with: any of these."""
        return [text_of(value) for value in (self.value if isinstance(self.value, tuple) else (self.value,))]


def _trouble_with(value: Any) -> str | None:
    """Why a value cannot be compared with; None where it can."""
    if not isinstance(value, (bool, int, float, str)):
        return "a value is a text, a number, true or false, or a list of such; nothing nested, no null"
    if isinstance(value, str) and len(value) > TEXT_MAX:
        return f"a value of {len(value)} characters; at most {TEXT_MAX}: compare with less"
    if isinstance(value, int) and abs(value) > INTEGER_MAX:
        return f"a number beyond 64 bits (at most {INTEGER_MAX}); write it as a text, in quotes"
    if isinstance(value, float) and number_of(value) is None:
        return f"{value} is no number to compare with; write a finite one"
    return None


def compile_test(test: PropertyTest, *, fold_case: bool = False) -> Test:
    """The test as a closure over properties. `fold_case` makes exact and is_not ignore case, as flags do."""
    positive = _NEGATIVES.get(test.op)
    if positive is not None:
        holds = _compile_positive(positive, test, fold_case)
        return lambda properties: not holds(properties)
    return _compile_positive(test.op, test, fold_case)


def _compile_positive(op: str, test: PropertyTest, fold_case: bool) -> Test:
    name = test.property
    if op == "is_set":
        return lambda properties: properties.get(name) is not None
    if op in _COMPARISONS:
        return _compile_comparison(name, _COMPARISONS[op], test.value)
    if op == "icontains":
        needles = [text.casefold() for text in test.texts()]
        return _on_text(name, lambda text: any(needle in text.casefold() for needle in needles))
    if fold_case:
        folded = frozenset(text.casefold() for text in test.texts())
        return _on_text(name, lambda text: text.casefold() in folded)
    exact = frozenset(test.texts())
    return _on_text(name, lambda text: text in exact)


def _on_text(name: str, holds: Callable[[str], bool]) -> Test:
    def test(properties: Properties) -> bool:
        value = properties.get(name)
        return value is not None and holds(text_of(value))

    return test


def _compile_comparison(name: str, compare: Callable[[float, float], bool], value: Any) -> Test:
    limit = number_of(value)
    if limit is None:
        raise Crash(f"comparison of {name!r} with {value!r}, which no definition can hold")

    def test(properties: Properties) -> bool:
        number = number_of(properties.get(name))
        return number is not None and compare(number, limit)

    return test
