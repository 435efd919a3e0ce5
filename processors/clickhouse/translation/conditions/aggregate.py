"""SQL of `cohort_store.conditions.aggregate`: one function a measure for what it makes of the values, one for what it
keeps of the entries.

Sums are of 128 bits, since Python's have no end. What a capped sum or average keeps is not capped here: `keep` caps,
and says so.
"""

from __future__ import annotations

from typing import Any

from cohort_store.conditions.aggregate import Aggregate
from cohort_store.conditions.measures import Average, Distinct, Extreme, Total
from cohort_store.errors import Crash
from processors.clickhouse.translation import literals
from processors.clickhouse.translation.conditions.translation import Lines, Translation
from processors.clickhouse.translation.intervals import coming, floor, inside

SIGNS = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<", "eq": "=", "ne": "!="}


def _holds(condition: Aggregate, lines: Lines) -> str:
    window = inside(condition.interval, lines[0])
    values, measure = f"arrayMap(e -> e.3, {window})", condition.measure
    total = f"arraySum(arrayMap(e -> toInt128(e.3), {window}))"
    match measure:
        case Extreme():
            made = f"{'arrayMin' if measure.fn == 'min' else 'arrayMax'}({values})"
            return f"notEmpty({window}) AND {_compared(made, measure)}"
        case Distinct():
            return _compared(f"length(arrayDistinct({values}))", measure)
        case Total():
            return _compared(total, measure)
        case Average():
            threshold = f"toInt128({literals.integer(measure.value)}) * length({window})"
            return f"notEmpty({window}) AND {total} {SIGNS[measure.op]} {threshold}"
    raise Crash(f"no SQL for the measure {type(measure).__name__}; add it here")


def _compared(made: str, measure: Extreme | Distinct | Total) -> str:
    return f"{made} {SIGNS[measure.op]} {literals.integer(measure.value)}"


def _keep(condition: Aggregate, lines: Lines) -> list[str]:
    window = inside(condition.interval, lines[0])
    return [f"arrayConcat({_wanted(condition.measure, window)}, {coming(condition.interval, lines[0])})"]


def _wanted(measure: Any, window: str) -> str:
    match measure:
        case Extreme():
            value = literals.integer(measure.value)
            latest = [f"arraySlice(arrayFilter(e -> e.3 {sign} {value}, {window}), -1)" for sign in ("<", "=", ">")]
            return f"arrayConcat({', '.join(latest)})"
        case Distinct():
            backwards = f"arrayReverse({window})"
            nth = f"arrayEnumerateUniq(arrayMap(e -> e.3, {backwards}))"
            newest = f"arrayFilter((e, nth) -> nth = 1, {backwards}, {nth})"
            return f"arraySlice({newest}, 1, {measure.entries_max})"
        case Total(non_negative=True):
            return _enough(measure, f"arrayFilter(e -> e.3 != 0, arrayReverse({window}))")
        case Total():
            return f"arrayFilter(e -> e.3 != 0, {window})"
        case Average():
            return window
    raise Crash(f"no SQL for the measure {type(measure).__name__}; add it here")


def _enough(measure: Total, backwards: str) -> str:
    """The latest, until the sum of those behind each is enough. A sum beyond 64 bits keeps more, which does no harm."""
    sign = "<" if measure.op in ("gte", "lt") else "<="
    behind = f"arrayCumSum(arrayMap(e -> e.3, {backwards}))"
    needed = f"total - e.3 {sign} {literals.integer(measure.value)}"
    return f"arrayFilter((e, total) -> {needed}, {backwards}, {behind})"


def _floor(condition: Aggregate) -> str:
    return floor(condition.interval)


TRANSLATION = Translation("aggregate", Aggregate, _holds, _keep, _floor)
