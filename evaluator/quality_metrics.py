"""The part of the metrics' catalogue that tells how good answers are: what is last known, the breaker, definitions."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from evaluator.reading.last_known import LastKnown
from evaluator.reading.steady_reading import SteadyReader


class QualityMetrics:
    """Registered with the process's other metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.recalls = Counter(
            "muster_evaluator_cache_recalls_total",
            "Persons for whom the store did not answer, by whether something was last known. Alert on a rise: it "
            "is away or is being filled in. On a share of unknown above a tenth raise MUSTER_EVALUATOR_CACHE_BYTES.",
            ["outcome"],
            registry=registry,
        )
        self.cache_bytes = Gauge(
            "muster_evaluator_cache_bytes",
            "What the last known memberships take; at MUSTER_EVALUATOR_CACHE_BYTES those asked for longest ago go.",
            registry=registry,
        )
        self.cache_persons = Gauge(
            "muster_evaluator_cache_persons",
            "Persons of whom something is last known. Alert where that stays far below the persons of an hour.",
            registry=registry,
        )
        self.breaker_state = Gauge(
            "muster_evaluator_breaker_state",
            "Whether the membership store is asked: 0 yes, 1 a probe is out, 2 no. Alert above 0 for a minute.",
            registry=registry,
        )
        self.snapshot_age_seconds = Gauge(
            "muster_evaluator_snapshot_age_seconds",
            "How long ago the snapshot file was known to hold what is in force; -1: there is none. Alert above 600 and "
            "at -1: an evaluator that starts with Redis and Kafka away would have old definitions, or none.",
            registry=registry,
        )
        self._known = self.recalls.labels("known")
        self._unknown = self.recalls.labels("unknown")

    def watch(self, reads: SteadyReader, known: LastKnown, snapshot_age_s: Callable[[], float]) -> None:
        """Show what these say at each scrape."""
        self.breaker_state.set_function(lambda: reads.breaker_state)
        self.cache_bytes.set_function(lambda: known.bytes)
        self.cache_persons.set_function(lambda: known.persons)
        self.snapshot_age_seconds.set_function(snapshot_age_s)

    def recalled(self, known: bool) -> None:
        """What was last known of a person was asked for; `known`: something was."""
        (self._known if known else self._unknown).inc()
