"""SQL of `cohort_store.conditions.first_time`: the earliest entry by name is in the interval, and one of its
millisecond passes.

Kept is that millisecond: of the filtered timeline one entry of it is enough, and of the unfiltered one too.
"""

from __future__ import annotations

from cohort_store.conditions.first_time import FirstTime
from processors.clickhouse.translation import literals
from processors.clickhouse.translation.conditions.translation import Lines, Translation
from processors.clickhouse.translation.intervals import ceiling, floor


def _holds(condition: FirstTime, lines: Lines) -> str:
    first = f"{lines[0]}[1].1"
    is_inside = f"{first} > {floor(condition.interval)} AND {first} <= {ceiling(condition.interval)}"
    passes = "" if len(lines) == 1 else f" AND arrayExists(e -> e.1 = {first}, {lines[1]})"
    return f"notEmpty({lines[0]}) AND {is_inside}{passes}"


def _keep(condition: FirstTime, lines: Lines) -> list[str]:
    until_ms = condition.interval.until_ms
    end = "" if until_ms is None else f" AND e.1 <= {literals.integer(until_ms)}"
    return [f"arraySlice(arrayFilter(e -> e.1 = {lines[0]}[1].1{end}, {line}), 1, 1)" for line in lines]


def _floor(condition: FirstTime) -> None:  # noqa: ARG001 - the first time of all decides
    return None


TRANSLATION = Translation("first_time", FirstTime, _holds, _keep, _floor)
