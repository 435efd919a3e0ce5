"""How flags were answered, for Prometheus: one counter by flag, value and reason, of a bounded number of series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from evaluator.usage.tally import Series

SERIES_MAX: Final = 2_000
"""Flags, values and reasons that are told apart; further ones are counted as `other`."""
_OTHER: Final = Series(0, "other", "other", "other")


class EvaluationMetrics:
    """Part of an evaluator's metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._evaluations = Counter(
            "muster_evaluator_flag_evaluations_total",
            f"How flags were answered; beyond {SERIES_MAX:,} series as `other`. Alert on a reason that rises.",
            ["team", "flag", "value", "reason"],
            registry=registry,
        )
        self._lost = Counter(
            "muster_evaluator_evaluations_lost_total",
            "Counts let go before Kafka had them: too many series waited. Alert above 0.",
            registry=registry,
        )
        self._known: dict[Series, Counter] = {}

    def folded(self, counts: Mapping[Series, int], lost: int) -> None:
        """What was counted since the last fold, and how many counts were let go unsent."""
        for series, count in counts.items():
            self._counter(series).inc(count)
        self._lost.inc(lost)

    def _counter(self, series: Series) -> Counter:
        counter = self._known.get(series)
        if counter is None:
            if len(self._known) >= SERIES_MAX:
                return self._evaluations.labels(*map(str, _OTHER))
            counter = self._known[series] = self._evaluations.labels(*map(str, series))
        return counter
