"""SQL of `cohort_store.conditions.restarted`: some entry long ago, a pause, some recent one.

Kept are the earliest entry, the last one at or before the recent part, the last one at or before now, and the recent
ones thinned by the length of the pause.
"""

from __future__ import annotations

from cohort_store.conditions.restarted import Restarted
from processors.clickhouse.translation.conditions.translation import Lines, Translation
from processors.clickhouse.translation.thinning import thin


def _holds(condition: Restarted, lines: Lines) -> str:
    line, window, recent = lines[0], f"now - {condition.window_ms}", f"now - {condition.recent_ms}"
    long_ago = f"arrayExists(e -> e.1 <= {window}, {line})"
    pause = f"arrayExists(e -> e.1 > {window} AND e.1 <= {recent}, {line})"
    lately = f"arrayExists(e -> e.1 > {recent} AND e.1 <= now, {line})"
    return f"{long_ago} AND NOT {pause} AND {lately}"


def _keep(condition: Restarted, lines: Lines) -> list[str]:
    line, recent = lines[0], f"now - {condition.recent_ms}"
    latest = [f"arraySlice(arrayFilter(e -> e.1 <= {instant}, {line}), -1)" for instant in (recent, "now")]
    lately = thin(line, condition.window_ms - condition.recent_ms, 1, after=recent)
    return [f"arrayConcat(arraySlice({line}, 1, 1), {', '.join(latest)}, {lately})"]


def _floor(condition: Restarted) -> None:  # noqa: ARG001 - the earliest entry of all decides
    return None


TRANSLATION = Translation("restarted", Restarted, _holds, _keep, _floor)
