"""aggregate(E, property, fn, W, op, value): fn over the property's values of the e in the interval, op value.

Reads one timeline, whose entries carry the value; an event without one has none. What is kept, and why it is enough,
stands with each measure (measures.py). Entries leave an interval one after the other, the earliest first, so between
those instants and the next entry's own nothing changes.

**Cap.** A sum and an average keep at most ENTRIES_MAX entries. Beyond, only what no further entry could change is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from cohort_store.conditions.comparing import Operator
from cohort_store.conditions.condition import AnyCondition, Condition, EventSelection, OverInterval, Windowed
from cohort_store.conditions.measures import Average, Distinct, Extreme, Measure, Total, first_turn, measured
from cohort_store.event_values import FIXED_POINT, NUMBER_MAX, Form, ValueOf, fixed_point_of
from cohort_store.interval import Interval
from cohort_store.selectors import Selector
from cohort_store.timelines import Timeline, Timelines

ENTRIES_MAX = 256
DISTINCT_MAX = 1_000
DIGITS_MAX = 6
"""Behind the point: a millionth is the smallest difference between two values."""


def _threshold(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        # A ValueError, since pydantic makes a finding of no other error.
        raise ValueError(f"{str(value)[:40]!r} is no number; write one, without quotes")  # noqa: TRY004
    if not abs(value) <= NUMBER_MAX:
        raise ValueError(f"{str(value)[:40]} is out of bounds; at most {NUMBER_MAX}, and as much below 0")
    if Decimal(repr(value)) * FIXED_POINT % 1:
        raise ValueError(f"{value} has more than {DIGITS_MAX} digits behind the point; round it")
    return value


class AggregateDefinition(EventSelection, Windowed):
    """E.g. a sum: `{kind: aggregate, event: buy, property: price, fn: sum, op: gte, value: 500, within: 30d}`."""

    kind: Literal["aggregate"] = "aggregate"
    property: str = Field(min_length=1, max_length=200, description="Of the events. One without it does not count.")
    fn: Literal["sum", "avg", "min", "max", "distinct"] = Field(
        description="What is made of the property's numbers; distinct: how many different texts it has."
    )
    op: Operator = Field(default="gte", description="How that compares with the value.")
    value: Annotated[int | float, BeforeValidator(_threshold)] = Field(
        description=f"A number of at most {DIGITS_MAX} digits behind the point; for distinct 0 to {DISTINCT_MAX}."
    )
    non_negative: bool = Field(
        default=False,
        strict=True,
        description="Only for sum: no value is below 0 (one that is counts as bad input), so fewer have to be kept.",
    )

    @model_validator(mode="after")
    def _value_fits_function(self) -> AggregateDefinition:
        if self.non_negative and self.fn != "sum":
            raise ValueError(f"`non_negative` says something of a sum only, not of {self.fn}; remove it")
        if self.fn == "distinct" and not (isinstance(self.value, int) and 0 <= self.value <= DISTINCT_MAX):
            raise ValueError(
                f"{self.value} different texts cannot be asked for; write a whole number, 0 to {DISTINCT_MAX}"
            )
        return self

    def compile(self) -> Condition:
        read = ValueOf(self.property, self._form())
        selector = Selector(self.selector().alternatives, read)
        # By way of a float as an event's number goes, so that equal numbers are equal.
        threshold = fixed_point_of(self.value) or 0
        if self.fn == "distinct":
            return Aggregate(selector, self.interval(), Distinct(self.op, int(self.value)))
        if self.fn == "sum":
            return CappedAggregate(selector, self.interval(), Total(self.op, threshold, self.non_negative), ENTRIES_MAX)
        if self.fn == "avg":
            return CappedAggregate(selector, self.interval(), Average(self.op, threshold), ENTRIES_MAX)
        return Aggregate(selector, self.interval(), Extreme(self.fn, self.op, threshold))

    def _form(self) -> Form:
        if self.fn == "distinct":
            return Form.TEXT
        return Form.NON_NEGATIVE if self.non_negative else Form.NUMBER


@dataclass(frozen=True, slots=True)
class Aggregate(OverInterval):
    """See the module's docstring."""

    selector: Selector
    interval: Interval
    measure: Measure[Any]

    @property
    def selectors(self) -> tuple[Selector, ...]:
        return (self.selector,)

    @property
    def entries_max(self) -> int:
        return self.measure.entries_max or 0

    def holds(self, timelines: Timelines, now: int) -> bool:
        return self.measure.holds(measured(self.measure, self.inside(timelines, now)))

    def next_change(self, timelines: Timelines, now: int) -> int | None:
        soonest = self.interval.next_entry(timelines[0], now)
        turn_ms = None if self.interval.window_ms is None else first_turn(self.measure, self.inside(timelines, now))
        expiry = None if turn_ms is None else self.interval.expiry(turn_ms)
        if expiry is None or soonest is None:
            return soonest if expiry is None else expiry
        return min(expiry, soonest)

    def forget_at(self, timelines: Timelines, now: int) -> int | None:
        return self.interval.all_gone_at(timelines[0], now)

    def keep(self, timelines: Timelines, now: int) -> Timelines:
        wanted = self.measure.wanted(self.inside(timelines, now))
        return ((*wanted, *self.interval.to_come(timelines[0], now)),)

    def suffices_for(self, other: AnyCondition) -> bool:
        """See Sufficing: it depends on the measures, which both read the same values."""
        return (
            isinstance(other, Aggregate)
            and self.selector == other.selector
            and self.interval.covers(other.interval)
            and self.measure.suffices_for(other.measure)
        )

    def inside(self, timelines: Timelines, now: int) -> Timeline:
        """The entries in the interval by now."""
        first, last = self.interval.slice(timelines[0], now)
        return timelines[0][first:last]


@dataclass(frozen=True, slots=True)
class CappedAggregate(Aggregate):
    """A sum or an average."""

    measure: Total | Average
    cap: int

    @property
    def entries_max(self) -> int:
        return self.cap

    @property
    def shares(self) -> str | None:
        """Of an interval that runs until now the latest are kept, at most `cap`: of several ones those of the longest.

        A sum passes over zeros and an average does not, so each shares with its like.
        """
        return type(self.measure).__name__ if self.interval.until_ms is None else None

    def keep(self, timelines: Timelines, now: int) -> Timelines:
        wanted = self.measure.wanted(self.inside(timelines, now))
        return ((*wanted[max(0, len(wanted) - self.cap) :], *self.interval.to_come(timelines[0], now)),)

    def cut(self, timelines: Timelines, now: int) -> tuple[int | None, ...]:
        if len(timelines[0]) <= self.cap:
            return (None,)
        wanted = self.measure.wanted(self.inside(timelines, now))
        return (wanted[-self.cap - 1][0] if len(wanted) > self.cap else None,)

    def holds_despite_loss(self, timelines: Timelines, now: int) -> bool | None:
        # Any entry more may tip an average, either way.
        if isinstance(self.measure, Average):
            return None
        return self.measure.holds_despite_loss(measured(self.measure, self.inside(timelines, now)))
