"""The metrics of every process of the write path: one typed catalogue.

Each says what it means and when to alert; ids are never labels. A process serves those it touches, beside
those of the Python process itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram, generate_latest, start_http_server

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Described:
    """What is known of a metric beside its figures."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    alert: str
    """When to wake somebody; "-" where never by itself."""


CATALOGUE: list[Described] = []
"""Every metric, in the order of definition."""


class Total:
    """A counter, and its labels' values by position."""

    def __init__(self, name: str, meaning: str, *, labels: tuple[str, ...] = (), alert: str = "-") -> None:
        CATALOGUE.append(Described(name, "counter", labels, meaning, alert))
        self._counter = Counter(name, meaning, labels)

    def add(self, amount: float, *labels: str) -> None:
        """Count up; by nothing is allowed, and makes the labels known."""
        (self._counter.labels(*labels) if labels else self._counter).inc(amount)


class Level:
    """A gauge, and its labels' values by position."""

    def __init__(self, name: str, meaning: str, *, labels: tuple[str, ...] = (), alert: str = "-") -> None:
        CATALOGUE.append(Described(name, "gauge", labels, meaning, alert))
        self._gauge = Gauge(name, meaning, labels)

    def set(self, value: float, *labels: str) -> None:
        """It stands there now."""
        (self._gauge.labels(*labels) if labels else self._gauge).set(value)


class Spread:
    """A histogram, and its labels' values by position."""

    def __init__(
        self,
        name: str,
        meaning: str,
        *,
        labels: tuple[str, ...] = (),
        alert: str = "-",
        buckets: tuple[float, ...] = SECONDS,
    ) -> None:
        CATALOGUE.append(Described(name, "histogram", labels, meaning, alert))
        self._histogram = Histogram(name, meaning, labels, buckets=buckets)

    def observe(self, value: float, *labels: str) -> None:
        """One more observation."""
        (self._histogram.labels(*labels) if labels else self._histogram).observe(value)


def serve_metrics(port: int) -> None:
    """Serve them over HTTP in a thread of their own; port 0: do not. OSError where the port is taken."""
    if port:
        start_http_server(port)


def metrics_text() -> str:
    """All of them, as Prometheus reads them, for a process that has a web server of its own."""
    return generate_latest().decode()


ROUTER_EVENTS = Total(
    "muster_router_events_total",
    "Messages that ended without being refused: routed, unmatched (wanted by name, no filter passed), unwanted, "
    "unknown_team (a team that has defined nothing).",
    labels=("outcome",),
    alert="unknown_team rises: somebody sends for a team that has no definitions",
)
ROUTER_REFUSED = Total(
    "muster_router_refused_total",
    "Messages that went to muster.dlq, by reason.",
    labels=("reason",),
    alert="more than 0.1 % of the messages over 10 minutes: a producer is broken",
)
ROUTER_DELTAS = Total("muster_router_deltas_total", "Deltas sent, pairs of distinct id and person included.")
ROUTER_DELTA_BYTES = Total("muster_router_delta_bytes_total", "Bytes of delta messages sent, before compression.")
ROUTER_BATCH_SECONDS = Spread(
    "muster_router_batch_seconds",
    "From a batch's messages to the acknowledgement of its deltas.",
    alert="p99 above 2 s: the broker acknowledges slowly, or persons are looked up slowly",
)
ROUTER_RETRIES = Total(
    "muster_router_retries_total",
    "Attempts that failed because the log or the membership store could not be reached.",
    alert="rises for 5 minutes: time stands still meanwhile, and nobody enters or leaves",
)
ROUTER_REGISTRY_VERSION = Level(
    "muster_router_registry_version",
    "The registry version that events are routed with.",
    alert="routers differ for more than a minute",
)

MEMBERSHIP_RETRIES = Total(
    "muster_membership_retries_total",
    "Times that a step failed because Kafka or Redis could not be reached, or Redis was full; it is taken again.",
    alert="rises for a minute: who is a member stands meanwhile; its log says why",
)
MEMBERSHIP_CUT = Total(
    "muster_membership_timelines_cut_total",
    "Times that a timeline was cut at its cap: what a sequence, an average or a sum keeps of one person. Until what "
    "was cut has left the window, cohorts that depend on it are UNAVAILABLE for her.",
    alert="rises steadily: a definition looks at events of which persons have too many",
)

ARCHIVE_ROWS = Total("muster_archive_rows_total", "Rows written to ClickHouse, repeated ones included.")
ARCHIVE_SKIPPED = Total(
    "muster_archive_skipped_total", "Messages that are no sound events; the router buries those of wanted events."
)
ARCHIVE_REFUSED = Total(
    "muster_archive_refused_total",
    "Rows that ClickHouse refused for what is in them; they are dead letters.",
    alert="rises: see the letters' details, and whether the table `events` is as Muster made it",
)
ARCHIVE_RETRIES = Total(
    "muster_archive_retries_total",
    "Attempts to read or write that failed.",
    alert="rises for 5 minutes: ClickHouse falls behind, and backfills wait",
)

RECONCILE_PERSONS = Total(
    "muster_reconcile_persons_total", "Persons who were compared with the history.", labels=("team", "cohort")
)
RECONCILE_DRIFT = Total(
    "muster_reconcile_drift_total",
    "Persons of whom what is stored and what the history says differed, when nothing of hers was in flight.",
    labels=("team", "cohort"),
    alert="rises at all: see the table drift, and muster reconcile",
)
RECONCILE_REPAIRED = Total(
    "muster_reconcile_repaired_total", "Of those, how many were made good.", labels=("team", "cohort")
)
