"""The part of the evaluator's metrics that is about events which SDKs send; see `metrics.py`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class CaptureMetrics:
    """Metrics of one process's captured events."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "muster_evaluator_events_total",
            "Events that SDKs sent. Alert on turned_away: Kafka takes none, and SDKs give up after a while.",
            ["outcome"],
            registry=registry,
        )
        self.waiting_bytes = Gauge(
            "muster_evaluator_events_waiting_bytes",
            "Events that wait for Kafka; at 64 MiB further ones are turned away. Alert above 32 MiB.",
            registry=registry,
        )

    def answered(self, outcome: str, events: int) -> None:
        """Events of one request that were kept, refused for good, or turned away to come again."""
        if events:
            self.events.labels(outcome).inc(events)
