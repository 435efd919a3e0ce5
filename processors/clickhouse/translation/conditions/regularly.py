"""SQL of `cohort_store.conditions.regularly`: entries are counted by the period in which they lie, seen from now."""

from __future__ import annotations

from cohort_store.conditions.regularly import Regularly
from processors.clickhouse.translation.conditions.translation import Lines, Translation
from processors.clickhouse.translation.intervals import floor, inside
from processors.clickhouse.translation.thinning import thin


def _holds(condition: Regularly, lines: Lines) -> str:
    """The v-th entry of a period makes it active, and there is one such entry in each that is."""
    periods = f"arrayMap(e -> intDiv(now - e.1, {condition.period_ms}), {inside(condition.interval, lines[0])})"
    active = f"arrayCount(number -> number = {condition.times}, arrayEnumerateUniq({periods}))"
    return f"{active} >= {condition.min_periods}"


def _keep(condition: Regularly, lines: Lines) -> list[str]:
    return [thin(lines[0], condition.period_ms, condition.times, after=floor(condition.interval))]


def _floor(condition: Regularly) -> str:
    return floor(condition.interval)


TRANSLATION = Translation("regularly", Regularly, _holds, _keep, _floor)
