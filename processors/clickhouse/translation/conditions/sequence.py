"""SQL of `cohort_store.conditions.sequence`: firsts and thens in one list by time, each then behind its latest first.

Of equal times thens come before firsts, so that the latest first before a then is earlier by a millisecond at least; if
any first has a then soon enough, the latest one before that then has. `completed` is the latest first that has its then
by now. It stays with its earliest then, with every later first, uncapped (`keep` caps and says so), and with the later
thens, those up to now thinned by themselves: a window that ends now must find a then that has been by now.
"""

from __future__ import annotations

from cohort_store.conditions.sequence import Sequence
from processors.clickhouse.translation import literals
from processors.clickhouse.translation.conditions.translation import Lines, Translation
from processors.clickhouse.translation.intervals import floor, inside
from processors.clickhouse.translation.thinning import thin


def _completed(condition: Sequence, lines: Lines) -> str:
    """The times of firsts in the interval that have a then by now, as an array; the latest of them is among them."""
    firsts = f"arrayMap(e -> (e.1, 1), {inside(condition.interval, lines[0])})"
    thens = f"arrayMap(e -> (e.1, 0), arrayFilter(e -> e.1 <= now, {lines[-1]}))"
    both = f"arraySort(arrayConcat({thens}, {firsts}))"
    pairs = f"arrayZip({both}, arrayFill(e -> e.2 = 1, {both}))"
    is_soon = f"pair.1.2 = 0 AND pair.2.2 = 1 AND pair.1.1 <= pair.2.1 + {condition.then_ms}"
    return f"arrayMap(pair -> pair.2.1, arrayFilter(pair -> {is_soon}, {pairs}))"


def _holds(condition: Sequence, lines: Lines) -> str:
    return f"notEmpty({_completed(condition, lines)})"


def _keep(condition: Sequence, lines: Lines) -> list[str]:
    latest = f"arrayMax(arrayPushBack({_completed(condition, lines)}, {floor(condition.interval)}))"
    kept = [
        f"arrayFlatten(arrayMap(completed -> {part}, [{latest}]))"
        for part in (_firsts(condition, lines[0]), _thens(condition, lines[-1]))
    ]
    return kept if len(lines) == 2 else [f"arrayConcat({', '.join(kept)})"]


def _firsts(condition: Sequence, line: str) -> str:
    until_ms = condition.interval.until_ms
    end = "" if until_ms is None else f" AND e.1 <= {literals.integer(until_ms)}"
    return f"arrayFilter(e -> e.1 >= completed AND e.1 > {floor(condition.interval)}{end}, {line})"


def _thens(condition: Sequence, line: str) -> str:
    until_ms = condition.interval.until_ms
    end = "" if until_ms is None else f" AND e.1 <= {literals.integer(until_ms + condition.then_ms)}"
    been = f"arrayFilter(e -> e.1 > completed AND e.1 <= now{end}, {line})"
    thinned = thin(been, condition.then_ms, 1, after="completed")
    coming = f"arrayFilter(e -> e.1 > now AND e.1 > completed{end}, {line})"
    return f"arrayConcat({thinned}, {coming})"


def _floor(condition: Sequence) -> str:
    return floor(condition.interval)


TRANSLATION = Translation("sequence", Sequence, _holds, _keep, _floor)
