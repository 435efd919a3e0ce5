"""The two ways to answer from a log; they must always agree."""

from __future__ import annotations

from typing import Literal

from cohort_store.errors import Reject
from processors.offline import timelines_engine
from processors.offline.definitions import Asked
from processors.offline.log import Log
from processors.offline.timelines_engine import Members


class NoEngine(Reject):
    """The engine cannot answer here; the message says which one can."""


def members_by(engine: Literal["timelines", "clickhouse"], asked: Asked, log: Log, now: int) -> Members:
    """Who is in each cohort at `now`. Raises NoEngine."""
    if engine == "clickhouse":
        raise NoEngine("the engine clickhouse does not translate these definitions yet; use --engine timelines")
    return timelines_engine.members_at(asked, log, now)
