"""Puts the evaluator together and runs it: the only place that knows which store, clock and server are used."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server
from prometheus_client import disable_created_metrics

from cohort_store.clocks import clock_from
from cohort_store.errors import Crash
from cohort_store.settings import Settings
from evaluator.capturing import capturing_of
from evaluator.coalescing import CoalescingReader
from evaluator.http.application import Application
from evaluator.http.service import Service
from evaluator.metrics import Metrics
from evaluator.registry import RegistryFollower

BACKLOG = 1_024

HEADER_DEADLINE_MS = 30_000
"""How long a request's head may take, and how long a connection may rest between two requests; then it is closed.

Why not shorter: clients and load balancers keep connections for later, and lose a request where the server is first.
"""

YOUNG_OBJECTS_MAX = 100_000
"""Objects that may come to be until the collector looks for circles; requests leave none."""

RsgiHandler = Callable[[Any, Any], Awaitable[None]]
"""An RSGI application as a plain function."""

logger = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are answered. Blocks. Logs to stderr."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # What is there by now stays until the end: no collection need look at it again.
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX)
    disable_created_metrics()  # type: ignore[no-untyped-call]
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    async with service(settings) as parts:
        await serve(Application(parts), settings)


@asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[Service]:
    """Every part of an evaluator, following the registry. Starts without the store, and finds it when it comes."""
    from cohort_store.redis.wiring import connect_mirror, connect_reader
    from evaluator.kafka.event_sink import KafkaEventSink

    reader, mirror = connect_reader(settings), connect_mirror(settings)
    metrics = Metrics()
    registry = RegistryFollower(mirror, metrics.catalog_replaced, settings.shards)
    following = asyncio.create_task(registry.follow())
    reads = CoalescingReader(reader, metrics.read_called)
    sink = KafkaEventSink(settings.kafka)
    capturing = capturing_of(settings, sink)
    if capturing is not None:
        metrics.capture.waiting_bytes.set_function(lambda: capturing.intake.waiting_bytes)
    metrics.reads_under_way.set_function(lambda: reads.under_way)
    try:
        yield Service(
            registry=registry,
            reads=reads,
            reader=reader,
            clock=clock_from(settings.clock),
            metrics=metrics,
            tokens=settings.tokens,
            shards=settings.shards,
            stale_after_ms=settings.max_hold_ms,
            capturing=capturing,
        )
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await sink.aclose()
        await reads.close()
        await reader.aclose()
        await mirror.aclose()


async def serve(application: Application | RsgiHandler, settings: Settings) -> None:
    """Serve any RSGI application on the evaluator's address until SIGTERM or SIGINT, in this process and loop.

    Raises Crash for an address that cannot be listened on, or that somebody listens on already.
    """
    address = _free_address(settings.evaluator_host, settings.evaluator_port)
    server = Server(
        application,
        address=address,
        port=settings.evaluator_port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=BACKLOG,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_DEADLINE_MS),
        log_enabled=False,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    logger.info("serving on %s port %d", address, settings.evaluator_port)
    await server.serve()


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
