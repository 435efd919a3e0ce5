"""Control on its real parts, and the status without it."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack

from cohort_store.clickhouse.flag_evaluations import EvaluationsTable
from cohort_store.clocks import SystemClock, clock_from
from cohort_store.errors import Crash, Retry
from cohort_store.kafka import clients
from cohort_store.kafka.topics import DEFINITIONS, REGISTRY, ensure_topics
from cohort_store.ports import MembershipReader
from cohort_store.redis.wiring import connect_mirror, connect_reader
from cohort_store.registry import Registry, check_shards, decode_registry
from cohort_store.settings import Settings
from processors.backfill.filling_in import FillingIn, FillingParts, noted_status
from processors.backfill.ports import DeltaLog, Notes, SeedLog
from processors.backfill.wiring import archived_of, history_of, knows_persons
from processors.clickhouse.changes import ChangesTable
from processors.clickhouse.forgotten import ForgottenTable
from processors.clickhouse.history_source import source_of
from processors.control.app import Parts, build_app, folder_of, topics_of
from processors.control.compiler import Compiler
from processors.control.filling import Filling
from processors.control.reconciling import Reconciling
from processors.control.registry_log import RegistryLog
from processors.control.status import Status, status_of
from processors.forgetting.reminding import Reminding
from processors.kafka.activation import MarkedActivations
from processors.kafka.delta_log import KafkaDeltaLog, ends_of_deltas
from processors.kafka.single_partition import SinglePartitionLog
from processors.kafka.sources import partitions_of
from processors.process import run_until_signalled
from processors.reconcile.rounds import Rounds
from processors.reconcile.wiring import connected_parts

HOUR_MS = 3_600_000
BEGIN_RETRY_S = 1.0
BEGIN_ATTEMPTS_MAX = 30

_log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Compile definitions and keep the books until SIGTERM or SIGINT."""
    run_until_signalled(lambda: serve(settings))


async def serve(settings: Settings) -> None:
    """Compile definitions and keep the books until cancelled."""
    _quieten()
    folder = folder_of(settings)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Crash(f"{folder} cannot be made ({error.strerror}): set MUSTER_DATA_DIR to a folder") from None
    await _check_history(settings)
    await ensure_topics(settings.kafka, topics_of(settings), replication=settings.topic_replication)
    async with AsyncExitStack() as stack:
        parts = await _connected(settings, stack)
        await _begin(parts.compiler)
        app = build_app(settings, parts)
        stack.push_async_callback(app.stop)
        await app.start()
        await app.wait_until_stopped()
        if app.crash_reason is not None:
            raise app.crash_reason


async def status(settings: Settings) -> Status:
    """How everything stands, asked of Redis and Kafka themselves, whether control runs or not.

    Raises Retry when Redis cannot be reached, Crash where the installation has another number of shards; without
    Kafka, `shards.lag` is None.
    """
    async with AsyncExitStack() as stack:
        mirror, reader = connect_mirror(settings), connect_reader(settings)
        stack.push_async_callback(mirror.aclose)
        stack.push_async_callback(reader.aclose)
        copy = await mirror.fetch()
        try:
            ends = await ends_of_deltas(settings.kafka, range(settings.partitions))
        except Retry:
            ends = None
        registry = decode_registry(copy) if copy else Registry()
        check_shards(registry, settings.shards)
        now = clock_from(settings.clock).now_ms()
        noted = await noted_status(mirror)
        return await status_of(registry, reader, shards=settings.shards, now=now, ends=ends, backfill=noted)


async def _connected(settings: Settings, stack: AsyncExitStack) -> Parts:
    definitions = await stack.enter_async_context(SinglePartitionLog(settings.kafka, DEFINITIONS))
    registry = await stack.enter_async_context(SinglePartitionLog(settings.kafka, REGISTRY))
    mirror, reader = connect_mirror(settings), connect_reader(settings)
    stack.push_async_callback(mirror.aclose)
    stack.push_async_callback(reader.aclose)
    history = ChangesTable(settings.clickhouse) if settings.clickhouse else None
    evaluations = EvaluationsTable(settings.clickhouse) if settings.clickhouse else None
    for table in (history, evaluations):
        if table is not None:
            stack.push_async_callback(table.close)
    clock = clock_from(settings.clock)
    producer = clients.producer(settings.kafka)
    await producer.start()
    stack.push_async_callback(producer.stop)
    deltas = KafkaDeltaLog(settings.kafka, producer)
    compiler = Compiler(definitions, RegistryLog(registry), mirror, clock, settings.shards)
    return Parts(
        compiler=compiler,
        reader=reader,
        history=history,
        evaluations=evaluations,
        sources=lambda: partitions_of(settings.kafka, settings.sources),
        ends=lambda: ends_of_deltas(settings.kafka, range(settings.partitions)),
        filling=Filling(deltas, settings.shards, settings.partitions),
        backfill=_backfill(settings, deltas, mirror, reader) if settings.clickhouse else None,
        reminding=_reminding(settings, stack, deltas) if settings.clickhouse else None,
        reconciling=await _reconciling(settings, stack, compiler, deltas, reader) if settings.clickhouse else None,
        clock=clock,
        elapsed_ms=_elapsed_ms,
    )


def _backfill(settings: Settings, deltas: SeedLog, notes: Notes, reader: MembershipReader) -> FillingIn:
    return FillingIn(
        FillingParts(
            history=history_of(settings),
            activations=MarkedActivations(settings.kafka, settings.mark_interval_ms),
            archived=archived_of(settings, source_of(settings)),
            deltas=deltas,
            notes=notes,
            reader=reader,
            clock=SystemClock(),
            shards=settings.shards,
            partitions=settings.partitions,
            part_persons=settings.backfill_part_persons,
        )
    )


def _reminding(settings: Settings, stack: AsyncExitStack, deltas: DeltaLog) -> Reminding:
    table = ForgottenTable(settings.clickhouse)
    stack.push_async_callback(table.close)
    return Reminding(table, deltas, settings.shards, settings.partitions)


async def _reconciling(
    settings: Settings, stack: AsyncExitStack, compiler: Compiler, deltas: SeedLog, reader: MembershipReader
) -> Reconciling:
    parts = await connected_parts(settings, stack, lambda: compiler.registry, deltas, reader)
    rounds = Rounds(int(settings.reconcile_hours * HOUR_MS), _elapsed_ms())
    return Reconciling(parts, rounds, knows_persons=knows_persons(settings), repairing=settings.reconcile_repair)


async def _check_history(settings: Settings) -> None:
    """A mapping that ClickHouse refuses is told before anything runs; one that it cannot be asked about, later."""
    try:
        if settings.clickhouse and settings.history.layout != "muster":
            await history_of(settings).is_there()
    except Retry as error:
        _log.warning("control: whether the setting history fits is not known yet: %s", error)


def _elapsed_ms() -> int:
    """A monotonic clock: how long readers have had, whatever stepped time says."""
    return time.monotonic_ns() // 1_000_000


async def _begin(compiler: Compiler) -> None:
    """Both stores are needed once, to know which of them outlived the other."""
    for attempt in range(BEGIN_ATTEMPTS_MAX):
        try:
            await compiler.begin()
            # What was applied while no control ran need not wait until this one has joined its group.
            await compiler.compile()
        except Retry as error:
            if attempt == BEGIN_ATTEMPTS_MAX - 1:
                raise
            _log.warning("control: cannot begin yet: %s", error)
            await asyncio.sleep(BEGIN_RETRY_S)
        else:
            return


def _quieten() -> None:
    """Faust and its like tell of every rebalance; what matters of that they say as warnings."""
    for name in ("faust", "mode", "aiokafka", "kafka"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns of every turn that takes longer than its interval, as a backfill does.
    logging.getLogger("mode.timers").setLevel(logging.ERROR)
