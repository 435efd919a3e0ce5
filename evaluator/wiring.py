"""Puts the evaluator together and runs it: the only place that knows which store, clock and server are used."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server
from prometheus_client import disable_created_metrics

from cohort_store.clocks import Clock, clock_from
from cohort_store.errors import Crash
from cohort_store.flag_evaluations import EvaluationBook
from cohort_store.settings import Settings
from evaluator.capture.capturing import capturing_of
from evaluator.definitions.registry import RegistryFollower
from evaluator.definitions.snapshot import SnapshotFile
from evaluator.http.application import Application
from evaluator.http.entrance import doorway_of, gate_of, tls_files_of
from evaluator.http.service import Service
from evaluator.metrics import Metrics
from evaluator.push.feed import follow
from evaluator.push.hub import Hub
from evaluator.push.looking import StoreLooker
from evaluator.push.metrics import PushMetrics
from evaluator.reading.continuity import Continuity
from evaluator.reading.last_known import LastKnown
from evaluator.reading.past import PastMemberships
from evaluator.reading.steady_reading import SteadyReader
from evaluator.usage.evaluation_metrics import EvaluationMetrics
from evaluator.usage.reporting import EvaluationReporter
from evaluator.usage.tally import EvaluationTally

BACKLOG = 1_024

REQUESTS_AT_ONCE_MAX = 1_024
"""Connections beside those of streams; further ones wait to be accepted."""

OTHER_FILES_MAX = 200
"""Open files that are no client's connection: Redis, Kafka, the log."""

HEADER_DEADLINE_MS = 30_000
"""How long a request's head may take, and how long a connection may rest between two requests; then it is closed.

Why not shorter: clients and load balancers keep connections for later, and lose a request where the server is first.
"""
TOPIC = "topic"
"""What the follower calls the definitions in Kafka."""

SNAPSHOT_FILE = "evaluator/registry.snapshot"
"""Below the data folder."""

YOUNG_OBJECTS_MAX = 100_000
"""Objects that may come to be until the collector looks for circles; requests leave none."""

RsgiHandler = Callable[[Any, Any], Awaitable[None]]
"""An RSGI application as a plain function."""

logger = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are answered. Blocks. Logs to stderr."""
    from cohort_store.kafka import metadata

    metadata.enable()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # What matters of it is told once by who calls it, not at each attempt to reach a broker that is away.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    let_threads_finish()
    # What is there by now stays until the end: no collection need look at it again.
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX)
    disable_created_metrics()  # type: ignore[no-untyped-call]
    allow_files(connections_max(settings) + OTHER_FILES_MAX)
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    async with service(settings) as parts:
        await serve(Application(parts, doorway=doorway_of(settings, parts.metrics)), settings, parts.push.end_all)


@asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[Service]:
    """Every part of an evaluator, following the registry. Starts without the store, and finds it when it comes."""
    from cohort_store.kafka.registry_source import TopicRegistrySource
    from cohort_store.redis.wiring import connect_hash_keys, connect_mirror, connect_reader
    from evaluator.kafka.event_sink import KafkaEventSink

    reader, mirror, topic = connect_reader(settings), connect_mirror(settings), TopicRegistrySource(settings.kafka)
    hash_keys = connect_hash_keys(settings)
    metrics, clock = Metrics(), clock_from(settings.clock)
    registry = RegistryFollower(
        mirror,
        metrics.catalog_replaced,
        settings.shards,
        others={TOPIC: topic},
        snapshot=SnapshotFile(Path(settings.data_dir) / SNAPSHOT_FILE),
        clock=clock,
    )
    await registry.restore()
    following = asyncio.create_task(registry.follow())
    known = LastKnown(settings.evaluator_cache_bytes)
    quality = metrics.quality
    reads = SteadyReader(reader, known, registry.coverage, report=metrics.read_called, recalled=quality.recalled)
    sink = KafkaEventSink(settings.kafka)
    capturing = capturing_of(settings, sink)
    if capturing is not None:
        metrics.capture.waiting_bytes.set_function(lambda: capturing.intake.waiting_bytes)
    metrics.reads_under_way.set_function(lambda: reads.under_way)
    quality.watch(reads, known, registry.snapshot_age_s)
    try:
        async with (
            counting(settings, metrics, clock) as tally,
            history_of(settings) as history,
            pushing(settings, metrics, registry, StoreLooker(reads, registry, clock, settings.max_hold_ms)) as push,
        ):
            yield Service(
                registry=registry,
                reads=reads,
                reader=reader,
                clock=clock,
                metrics=metrics,
                tally=tally,
                push=push,
                gate=gate_of(settings, registry, clock),
                shards=settings.shards,
                stale_after_ms=settings.max_hold_ms,
                continuity=Continuity(hash_keys),
                past=history.past,
                book=history.book,
                capturing=capturing,
            )
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await sink.aclose()
        await reads.close()
        await reader.aclose()
        await mirror.aclose()
        await topic.aclose()
        await hash_keys.aclose()


class History(NamedTuple):
    """What ClickHouse is asked. Both None where none is named."""

    past: PastMemberships | None
    book: EvaluationBook | None


@asynccontextmanager
async def history_of(settings: Settings) -> AsyncIterator[History]:
    """The past in ClickHouse, which is connected to when it is first asked."""
    from cohort_store.clickhouse.flag_evaluations import EvaluationsTable
    from evaluator.clickhouse.past_memberships import ChangesReader

    if not settings.clickhouse:
        yield History(None, None)
        return
    past, book = ChangesReader(settings.clickhouse), EvaluationsTable(settings.clickhouse)
    try:
        yield History(past, book)
    finally:
        await past.close()
        await book.close()


@asynccontextmanager
async def counting(settings: Settings, metrics: Metrics, clock: Clock) -> AsyncIterator[EvaluationTally]:
    """Where answers are counted, with what tells Kafka and metrics of it in the background. Starts without Kafka."""
    from evaluator.kafka.evaluation_log import KafkaEvaluationLog

    tally, log = EvaluationTally(), KafkaEvaluationLog(settings.kafka, settings.topic_replication)
    reporter = EvaluationReporter(
        tally, log, EvaluationMetrics(metrics.registry).folded, clock, interval_s=settings.evaluations_interval_s
    )
    reporting = asyncio.create_task(reporter.run(), name="evaluations")
    try:
        yield tally
    finally:
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        await reporter.close()


@asynccontextmanager
async def pushing(
    settings: Settings, metrics: Metrics, registry: RegistryFollower, look: StoreLooker
) -> AsyncIterator[Hub]:
    """Who listens to changes, which are followed from the first listener on. Starts without Kafka."""
    from evaluator.kafka.changes import KafkaChanges

    shown = PushMetrics(metrics.registry)
    hub = Hub(look, registry, settings.shards, streams_max=settings.push_streams_max, report=shown.stream_ended)
    shown.show(hub)
    registry.listeners.append(hub.definitions_replaced)
    feed = KafkaChanges(settings.kafka, settings.partitions)
    running = [asyncio.create_task(hub.run(), name="push"), asyncio.create_task(follow(feed, hub), name="changes")]
    try:
        yield hub
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def serve(
    application: Application | RsgiHandler, settings: Settings, before_end: Callable[[], None] = lambda: None
) -> None:
    """Serve any RSGI application on the evaluator's address until SIGTERM or SIGINT, in this process and loop.

    `before_end` is called when such a signal comes; what is answered by then is written out.
    Raises Crash for an address that cannot be listened on, or that somebody listens on already.
    """
    certificate, key = tls_files_of(settings)
    address = _free_address(settings.evaluator_host, settings.evaluator_port)
    server = Server(
        application,
        address=address,
        port=settings.evaluator_port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG,
        backpressure=connections_max(settings),
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_DEADLINE_MS),
        log_enabled=False,
        ssl_cert=certificate,
        ssl_key=key,
    )

    def stop() -> None:
        before_end()
        server.stop()  # type: ignore[no-untyped-call]

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    logger.info("serving %s on %s port %d", "https" if certificate else "http", address, settings.evaluator_port)
    await server.serve()


def let_threads_finish() -> None:
    """Let no thread that this one begins take the processor from another one before that rests, nor this one.

    A request is handed from the server's thread to Python's and back. Where both have one core, as in a container with
    one, a thread that is woken would stop the one that woke it: two switches a request, a quarter of its time.
    """
    with suppress(AttributeError, OSError):  # not Linux, or not allowed
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def connections_max(settings: Settings) -> int:
    """Connections that are served at once; further ones wait. Beside streams there is room for requests."""
    return settings.push_streams_max + REQUESTS_AT_ONCE_MAX


def allow_files(wanted: int) -> None:
    """Raise the process's limit of open files as far as it goes without privileges; log where that is too little."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        logger.warning(
            "%d open files are allowed and %d may be needed; raise the limit (ulimit -n), "
            "or lower MUSTER_PUSH_STREAMS_MAX",
            allowed,
            wanted,
        )


def _free_address(host: str, port: int) -> str:
    """The host's numeric address.

    Why it is tried first: the server's sockets share ports, so a second evaluator, perhaps of another view, would
    silently take half of the requests.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(place)
    except OSError as error:
        problem = f"cannot listen on {host} port {port} ({error.strerror or error})"
        raise Crash(
            f"{problem}; set MUSTER_EVALUATOR_HOST and MUSTER_EVALUATOR_PORT to an address that is free"
        ) from None
    return str(place[0])
