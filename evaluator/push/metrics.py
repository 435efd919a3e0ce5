"""Push's part of the evaluator's metrics: name, kind, labels, meaning, and when to alert."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from evaluator.push.hub import Hub


class PushMetrics:
    """One set for one process, in the evaluator's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._streams = Gauge(
            "muster_evaluator_streams",
            "Streams of changes that are open. Alert near MUSTER_PUSH_STREAMS_MAX: further ones are refused.",
            registry=registry,
        )
        self._ended = Counter(
            "muster_evaluator_streams_ended_total",
            "Streams that are over, by why: gone, slow, full, stopping. Alert on a rise of slow.",
            ["reason"],
            registry=registry,
        )
        self._told = Gauge(
            "muster_evaluator_events_told",
            "Events given to streams since the start.",
            registry=registry,
        )
        self._live = Gauge(
            "muster_evaluator_changes_live",
            "1 while changes of membership come through. Alert on 0 while there are streams.",
            registry=registry,
        )

    def stream_ended(self, reason: str) -> None:
        """One stream is over."""
        self._ended.labels(reason).inc()

    def show(self, hub: Hub) -> None:
        """Take the other figures from the hub whenever they are asked for."""
        self._streams.set_function(lambda: hub.streams)
        self._told.set_function(lambda: hub.told)
        self._live.set_function(lambda: hub.status.live)
