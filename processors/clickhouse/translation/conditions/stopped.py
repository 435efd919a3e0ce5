"""SQL of `cohort_store.conditions.stopped`: the latest entry in the window is not recent, and it alone is kept."""

from __future__ import annotations

from cohort_store.conditions.stopped import Stopped
from processors.clickhouse.translation.conditions.translation import Lines, Translation
from processors.clickhouse.translation.intervals import floor, inside, latest


def _holds(condition: Stopped, lines: Lines) -> str:
    window = inside(condition.interval, lines[0])
    return f"notEmpty({window}) AND NOT arrayExists(e -> e.1 > now - {condition.recent_ms}, {window})"


def _keep(condition: Stopped, lines: Lines) -> list[str]:
    return [latest(condition.interval, lines[0], 1)]


def _floor(condition: Stopped) -> str:
    return floor(condition.interval)


TRANSLATION = Translation("stopped", Stopped, _holds, _keep, _floor)
