"""Property tests: one operator applied to one property of an event, a person or a flag request.

A positive operator on a missing (or null) property is false, a negative one true. Values are JSON
values: None, bool, int, float, str, list, dict. `compile_test` turns a test into a closure once, so
that an evaluation costs one call.

A date operator with a relative value (`is_date_after: -7d`) depends on the instant of the question too. `compile_test`
refuses it; `compile_dated_test` compiles any test, and says when its verdict changes by time alone.

What a value is as text, number, date or version is what ClickHouse can make of it as well, so that live events
and history are judged alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import Field, field_validator, model_validator

from cohort_store.errors import Crash
from cohort_store.operators import (
    IS_SET,
    NEGATIVES,
    OPERATORS,
    VALUELESS,
    Meaning,
    RelativeMeaning,
    meaning_of,
)
from cohort_store.property_dates import instant_of
from cohort_store.property_values import number_of
from cohort_store.schema import Model

Properties = Mapping[str, Any]
Test = Callable[[Properties], bool]

VALUES_MAX = 1_000
TEXT_MAX = 1_024
INTEGER_MAX = 2**63 - 1

OPERATORS_SHOWN = (
    "exact, icontains, starts_with, ends_with, regex, between, gt, gte, lt, lte, is_set, "
    "is_not or a not_ form, is_date_before (after, exact), or semver_eq (neq, gt, gte, lt, lte, tilde, caret, wildcard)"
)
_OPERATOR_HELP = f"One of {', '.join(OPERATORS)}."


class PropertyTest(Model):
    """`{property: plan, op: exact, value: pro}`; `value` may be a list for the text operators: any of them."""

    property: str = Field(min_length=1, max_length=200, description="Name of the property.")
    op: str = Field(default="exact", description=_OPERATOR_HELP, json_schema_extra={"enum": list(OPERATORS)})
    value: bool | int | float | str | tuple[bool | int | float | str, ...] | None = Field(
        default=None,
        description="What to compare with; a list means any of (between: its two ends). Not for is_set and is_not_set.",
    )

    @field_validator("op")
    @classmethod
    def _op_is_known(cls, op: str) -> str:
        if op not in OPERATORS:
            raise ValueError(f"operator {op[:40]!r} is not known; use {OPERATORS_SHOWN}")
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
        if self.op in VALUELESS:
            if self.value is not None:
                raise ValueError(f"operator {self.op} takes no value; remove {str(self.value)[:40]!r}")
        elif self.value is None:
            raise ValueError(f"operator {self.op} needs a value; to ask whether the property is there, use is_set")
        else:
            self._meaning()
        return self

    def canonical(self) -> list[Any]:
        """Property, operator and what is compared with, equal exactly for tests that mean the same."""
        named: list[Any] = [self.property, self.op]
        return named if self.op in VALUELESS else [*named, self._meaning().canonical]

    def is_relative(self) -> bool:
        """Whether the verdict depends on the instant of the question: a date operator with a value like `-7d`."""
        return self.op not in VALUELESS and isinstance(self._meaning(), RelativeMeaning)

    def _meaning(self) -> Meaning | RelativeMeaning:
        return meaning_of(NEGATIVES.get(self.op, self.op), self.value)


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


def compile_test(test: PropertyTest) -> Test:
    """The test as a closure over properties, as cohorts have it (`flag_operators` has the flags' own reading).

    Crash for a test that `is_relative()`: those are refused where there is no instant to ask at.
    """
    name, op = test.property, NEGATIVES.get(test.op, test.op)
    if op == IS_SET:
        return _set_or_not(name, test.op == IS_SET)
    meaning = meaning_of(op, test.value)
    if isinstance(meaning, RelativeMeaning):
        raise Crash(f"{test.property!r} {test.op} {test.value!r} needs an instant, and there is none here")
    holds = meaning.holds
    if op != test.op:
        return lambda properties: (value := properties.get(name)) is None or not holds(value)
    return lambda properties: (value := properties.get(name)) is not None and holds(value)


def _set_or_not(name: str, wanted: bool) -> Test:
    return lambda properties: (properties.get(name) is not None) is wanted


class DatedTest(Protocol):
    """A test that is asked at an instant, `now` in milliseconds since 1970. Pure."""

    def holds(self, properties: Properties, now: int) -> bool:
        """Whether the test passes at `now`."""
        ...

    def next_change(self, properties: Properties, now: int) -> int | None:
        """The earliest instant after `now` from which `holds` differs while the properties stay; None where none does.

        Exact, neither early nor late, for dates in the future too.
        """
        ...


def compile_dated_test(test: PropertyTest) -> DatedTest:
    """Any test, for callers that have an instant to ask at: a person's properties, and flags.

    `compile_dated_test(t).holds(p, now)` is `compile_test(t)(p)` where `t` is not relative.
    """
    meaning = None if test.op in VALUELESS else meaning_of(NEGATIVES.get(test.op, test.op), test.value)
    if isinstance(meaning, RelativeMeaning):
        return _Relative(test.property, meaning)
    return _Fixed(compile_test(test))


@dataclass(frozen=True, slots=True)
class _Fixed:
    test: Test

    def holds(self, properties: Properties, now: int) -> bool:  # noqa: ARG002 - the same at every instant
        return self.test(properties)

    def next_change(self, properties: Properties, now: int) -> int | None:  # noqa: ARG002 - as above
        return None


@dataclass(frozen=True, slots=True)
class _Relative:
    name: str
    meaning: RelativeMeaning

    def holds(self, properties: Properties, now: int) -> bool:
        instant = instant_of(properties.get(self.name))
        return instant is not None and self.meaning.compare(instant, now - self.meaning.back_ms)

    def next_change(self, properties: Properties, now: int) -> int | None:
        instant = instant_of(properties.get(self.name))
        if instant is None:
            return None
        crossing = instant + self.meaning.back_ms
        return next((crossing + turn for turn in self.meaning.turns if crossing + turn > now), None)
