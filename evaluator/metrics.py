"""The evaluator's metrics, as one catalogue: name, kind, labels, meaning, and when to alert. Ids are never labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from evaluator.capture.capture_metrics import CaptureMetrics
from evaluator.quality_metrics import QualityMetrics

_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """One set of metrics for one process; a registry of its own keeps tests apart."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "muster_evaluator_requests_total",
            "Requests answered. Alert on status 500.",
            ["route", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "muster_evaluator_request_seconds",
            "From a request's arrival to its answer. Alert when p99 passes what callers wait.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.evaluations = Counter(
            "muster_evaluator_flags_total",
            "Flags answered. Alert on a rise of unavailable: policies answer in place of conditions.",
            ["outcome"],
            registry=self.registry,
        )
        self.reads = Counter(
            "muster_evaluator_reads_total",
            "Persons read from the membership store.",
            registry=self.registry,
        )
        self.read_calls = Counter(
            "muster_evaluator_read_calls_total",
            "Calls of the membership store; the reads of a tick share one. Alert on failed.",
            ["outcome"],
            registry=self.registry,
        )
        self.reads_under_way = Gauge(
            "muster_evaluator_reads_under_way",
            "Persons who are waited for right now; at 20,000 further ones are not asked for. Alert above 5,000.",
            registry=self.registry,
        )
        self.registry_version = Gauge(
            "muster_evaluator_registry_version",
            "The registry version in force. Alert when evaluators differ for long.",
            registry=self.registry,
        )
        self.refusals = Counter(
            "muster_evaluator_refusals_total",
            "Requests refused for who sent them, or how often. Alert on a rise of revoked: a key is still in use.",
            ["why"],
            registry=self.registry,
        )
        self.flags_refused = Gauge(
            "muster_evaluator_flags_refused",
            "Flags in the registry that this version cannot read. Alert above 0.",
            registry=self.registry,
        )

        self.capture = CaptureMetrics(self.registry)
        self.quality = QualityMetrics(self.registry)
        self._routes: dict[tuple[str, int], Counter] = {}
        self._seconds: dict[str, Histogram] = {}
        self._answered = self.evaluations.labels("answered")
        self._by_policy = self.evaluations.labels("unavailable")

    def request_answered(self, route: str, status: int, seconds: float) -> None:
        """One request is over. `route` is a template, never a path."""
        counter = self._routes.get((route, status))
        if counter is None:
            counter = self._routes[route, status] = self.requests.labels(route, str(status))
        histogram = self._seconds.get(route)
        if histogram is None:
            histogram = self._seconds[route] = self.request_seconds.labels(route)
        counter.inc()
        histogram.observe(seconds)

    def flags_answered(self, flags: int, unavailable: int) -> None:
        """Flags of one request: all of them, and those of which a policy answered."""
        self._answered.inc(flags - unavailable)
        if unavailable:
            self._by_policy.inc(unavailable)

    def refused(self, why: str) -> None:
        """One request was refused; `why` is one of a few words."""
        self.refusals.labels(why).inc()

    def read_called(self, reads: int, failed: bool) -> None:
        """One call of the membership store is over; `failed`: it came to nothing, or came too late."""
        self.reads.inc(reads)
        self.read_calls.labels("failed" if failed else "answered").inc()

    def catalog_replaced(self, version: int, refused: int) -> None:
        """Another registry version is in force, in which so many flags are unreadable."""
        self.registry_version.set(version)
        self.flags_refused.set(refused)

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)

    def names(self) -> Iterable[str]:
        """The names in the catalogue, as Prometheus shows them."""
        return sorted(family.name for family in self.registry.collect())
