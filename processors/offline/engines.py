"""The two ways to answer from a log; they must always agree."""

from __future__ import annotations

from typing import Literal

from processors.offline import clickhouse_engine, timelines_engine
from processors.offline.definitions import Asked
from processors.offline.log import Log
from processors.offline.timelines_engine import Members


def members_by(engine: Literal["timelines", "clickhouse"], asked: Asked, log: Log, now: int) -> Members:
    """Who is in each cohort at `now`."""
    if engine == "clickhouse":
        return clickhouse_engine.members_at(asked, log, now)
    return timelines_engine.members_at(asked, log, now)
