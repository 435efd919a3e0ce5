"""Counts how flags are answered. A request pays for one update of a counter; everything else happens in the fold.

Counts wait as sums by series: a team, flag, value and reason. So a Kafka that is away costs no memory that grows with
time: what is not sent yet is added up, and goes out as one sum for the whole time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple
from uuid import uuid4

from cohort_store.flag_evaluations import OFF, ON, FlagEvaluations
from evaluator.deciding.flags import FlagAnswer

SERIES_MAX = 20_000
"""Series whose sums wait to be sent. Beyond, that one is let go which has waited longest."""

_key = attrgetter("key", "variant", "enabled", "reason.code")


class Series(NamedTuple):
    """What is counted apart."""

    team: int
    flag: str
    value: str
    reason: str


class _Sum:
    """How often, from when to when."""

    __slots__ = ("count", "from_ms", "last_ms")

    def __init__(self, from_ms: int) -> None:
        self.count = 0
        self.from_ms = from_ms
        self.last_ms = from_ms


class EvaluationTally:
    """The counts of one evaluator, for one event loop."""

    def __init__(self, evaluator: str | None = None, series_max: int = SERIES_MAX) -> None:
        self._evaluator = evaluator or uuid4().hex[:12]
        self._series_max = series_max
        self._fresh: dict[int, Counter[tuple[str, str | None, bool, str]]] = {}
        self._waiting: dict[Series, _Sum] = {}
        self._folded_ms: int | None = None
        self._sequence = 0

    def count(self, team: int, answers: Iterable[FlagAnswer]) -> None:
        """One request's answers."""
        fresh = self._fresh.get(team)
        if fresh is None:
            fresh = self._fresh[team] = Counter()
        fresh.update(map(_key, answers))

    def fold(self, now_ms: int) -> tuple[dict[Series, int], int]:
        """What was counted since the last fold, and how many of the counts that wait had to be let go.

        Called about once a second: a series is told as last called at the fold behind it.
        """
        folded = {
            Series(team, key, variant if variant is not None else ON if enabled else OFF, code): count
            for team, counts in self._fresh.items()
            for (key, variant, enabled, code), count in counts.items()
        }
        self._fresh = {}
        since_ms, self._folded_ms = self._folded_ms, now_ms
        for series, count in folded.items():
            waiting = self._waiting.get(series)
            if waiting is None:
                waiting = self._waiting[series] = _Sum(now_ms if since_ms is None else since_ms)
            waiting.count += count
            waiting.last_ms = now_ms
        lost = 0
        while len(self._waiting) > self._series_max:
            lost += self._waiting.pop(next(iter(self._waiting))).count
        return folded, lost

    def take(self) -> Sequence[FlagEvaluations]:
        """The sums that wait. The caller answers for them from now on: it sends these very ones until they are kept."""
        if not self._waiting:
            return ()
        self._sequence += 1
        taken, self._waiting = self._waiting, {}
        return tuple(
            FlagEvaluations(
                team_id=series.team,
                flag=series.flag,
                value=series.value,
                reason=series.reason,
                count=each.count,
                from_ms=each.from_ms,
                last_called_ms=each.last_ms,
                evaluator=self._evaluator,
                sequence=self._sequence,
            )
            for series, each in taken.items()
        )
