"""SQL of `cohort_store.conditions.count`: how many entries are in the interval, and the latest n or n + 1 are kept."""

from __future__ import annotations

from cohort_store.conditions.count import Count
from processors.clickhouse.translation.conditions.translation import Lines, Translation
from processors.clickhouse.translation.intervals import floor, inside, latest

_SIGNS = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<", "eq": "=", "ne": "!="}


def _holds(condition: Count, lines: Lines) -> str:
    return f"length({inside(condition.interval, lines[0])}) {_SIGNS[condition.op]} {condition.n}"


def _keep(condition: Count, lines: Lines) -> list[str]:
    return [latest(condition.interval, lines[0], condition.entries_max)]


def _floor(condition: Count) -> str:
    return floor(condition.interval)


TRANSLATION = Translation("count", Count, _holds, _keep, _floor)
