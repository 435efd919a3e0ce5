"""SQL of `cohort_store.conditions.performed`: an entry is in the interval, and the latest one is kept."""

from __future__ import annotations

from cohort_store.conditions.performed import Performed
from processors.clickhouse.translation.conditions.translation import Lines, Translation
from processors.clickhouse.translation.intervals import floor, inside, latest


def _holds(condition: Performed, lines: Lines) -> str:
    return f"notEmpty({inside(condition.interval, lines[0])})"


def _keep(condition: Performed, lines: Lines) -> list[str]:
    return [latest(condition.interval, lines[0], 1)]


def _floor(condition: Performed) -> str:
    return floor(condition.interval)


TRANSLATION = Translation("performed", Performed, _holds, _keep, _floor)
