"""The Faust app: three agents, ten timers, two windowed tables and three web views.

Its topics must exist before it starts, with their exact partitions (`topics_of`): it waits for ever otherwise.
Only the process that owns the one partition of `muster.definitions` changes the registry; should two believe so,
the rule of `registry_log.py` keeps one history. A Retry inside an agent or a timer is logged and tried again at the
next turn; anything else ends the process.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import faust
import msgspec
from faust.types import TP

from cohort_store.changes import Change
from cohort_store.clocks import Clock
from cohort_store.errors import Retry
from cohort_store.flag_evaluations import FlagEvaluations
from cohort_store.kafka.topics import (
    DEFINITIONS,
    FLAG_EVALUATIONS,
    MEMBERSHIP_CHANGES,
    TopicSpec,
    ensure_topics,
    muster_topics,
)
from cohort_store.ports import MembershipReader, Position
from cohort_store.settings import Settings
from processors.backfill.filling_in import FillingIn, Remind
from processors.control.books import Sink, read_change, read_evaluations, write_down
from processors.control.compiler import Compiler
from processors.control.filling import Filling
from processors.control.flow import FlowTables
from processors.control.history_turns import fill_in
from processors.control.life import (
    Retirement,
    SourceWatch,
    building,
    dropping,
    ready_of,
    taking_over,
    with_sources,
)
from processors.control.reconciling import Reconciling
from processors.control.restoring import Tables
from processors.control.status import Ends, status_of
from processors.definition_changes import MARKER_KEY
from processors.forgetting.reminding import Reminding
from processors.metrics import metrics_text

TAKE_OVER_S = 1.0
"""How often it is looked whether every shard has folded a version that waits to take over."""
LOOK_S = 5.0
"""How often applies are looked for that no message announced."""
DROP_S = 1.0
"""How often it is looked whether what was retired may go."""
MIRROR_S = 2.0
NEW_SOURCES_S = 1.0
SOURCES_S = 30.0
FORGET_S = 10.0
BACKFILL_S = 1.0
"""How often it is looked whether a version lacks its history."""
RECONCILE_S = 5.0
"""How often it is looked whether it is time to compare some more persons with the history."""
FILL_S = 10.0
"""How often it is looked whether a shard may lack a part of a static list; see static_list.REFILLED_WITHIN_MS."""
TOPICS_S = 5.0
"""How often it is looked whether Kafka lost a topic; the roles wait until there is one again."""
BATCH_CHANGES_MAX = 2_000
BATCH_WAIT_S = 0.5
BUFFER_MESSAGES_MAX = 4_096
AWAY_S = 3_600.0 * 24 * 365
"""Faust's own alarms for a slow agent stay silent so long: a sink may wait for ClickHouse for as long as it takes."""

ONE_MESSAGE_BYTES = 1
"""A table's changelog is read back up to the end that the broker lists, and the embedded one lists it too low by all
but the first message of the last batch. So each batch is one message: there are few, since a batch of changes adds
up to one count a series."""

_log = logging.getLogger(__name__)


class Step(Protocol):
    """A coroutine function, known by its name."""

    __name__: str

    async def __call__(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the app works with. `sources` asks the broker for the source partitions that exist.

    `elapsed_ms` is a monotonic clock in real time, whatever `clock` says.
    """

    compiler: Compiler
    reader: MembershipReader
    history: Sink[Change] | None
    evaluations: Sink[FlagEvaluations] | None
    sources: Callable[[], Awaitable[Mapping[str, tuple[int, ...]]]]
    ends: Ends
    filling: Filling
    backfill: FillingIn | None
    reconciling: Reconciling | None
    reminding: Reminding | None
    """All three None where there is no history."""
    clock: Clock
    elapsed_ms: Callable[[], int]


def app_id(settings: Settings) -> str:
    """The app's name, its consumer group's too."""
    return f"{settings.group_prefix}-control"


def folder_of(settings: Settings) -> Path:
    """Where Faust keeps what is its own; it must exist before the app starts."""
    return Path(settings.data_dir) / "faust"


def topics_of(settings: Settings) -> tuple[TopicSpec, ...]:
    """Every topic that must exist before the app starts: Muster's, and the changelogs of its tables."""
    logs = (f"{app_id(settings)}-{table}-changelog" for table in ("minutes", "hours"))
    changelogs = (TopicSpec(name, settings.partitions, compacted=True) for name in logs)
    return (*muster_topics(settings.partitions), *changelogs)


def build_app(settings: Settings, parts: Parts) -> faust.App:
    """The app, not started. Call it inside the event loop that will run it."""
    app = _bare_app(settings)
    flow = FlowTables(app, settings.partitions)
    turns = _Turns(app)
    _compile_definitions(app, parts, turns)
    _keep_books(app, parts, flow)
    if parts.evaluations is not None:
        _keep_evaluations(app, parts.evaluations)
    _tend_versions(turns, settings, parts)
    _tend(turns, settings, parts, flow)
    _keep_topics(turns, settings)
    _show(app, settings, parts, flow)
    return app


def _bare_app(settings: Settings) -> faust.App:
    session_s = settings.session_timeout_ms / 1_000
    return faust.App(
        app_id(settings),
        broker=[f"kafka://{server.strip()}" for server in settings.kafka.split(",")],
        store="memory://",
        TableManager=Tables,
        datadir=str(folder_of(settings)),
        autodiscover=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=session_s,
        broker_rebalance_timeout=session_s,
        broker_heartbeat_interval=session_s / 5,
        broker_commit_livelock_soft_timeout=AWAY_S,
        stream_processing_timeout=AWAY_S,
        stream_buffer_maxsize=BUFFER_MESSAGES_MAX,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        producer_request_timeout=30.0,
        producer_max_batch_size=ONE_MESSAGE_BYTES,
        table_standby_replicas=0,
        web_enabled=settings.control_port != 0,
        web_bind=settings.control_host,
        # Any number does where nothing is opened.
        web_port=settings.control_port or 1,
        worker_redirect_stdouts=False,
    )


def _compile_definitions(app: faust.App, parts: Parts, turns: _Turns) -> None:
    topic = app.topic(DEFINITIONS, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(topic)
    async def definitions(stream: Any) -> None:
        async for event in stream.events():
            if event.key == MARKER_KEY:
                await turns.take(parts.compiler.compile)


def _keep_books(app: faust.App, parts: Parts, flow: FlowTables) -> None:
    topic = app.topic(
        MEMBERSHIP_CHANGES, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )

    @app.agent(topic)
    async def changes(stream: Any) -> None:
        batches: AsyncIterable[Sequence[Any]] = stream.take_events(BATCH_CHANGES_MAX, within=BATCH_WAIT_S)
        async for events in batches:
            read = list(_read(events, read_change))
            if parts.history is not None:
                await write_down(parts.history, [change for _, change in read])
            for partition in {partition for partition, _ in read}:
                flow.count(partition, [change for came_from, change in read if came_from == partition])


def _keep_evaluations(app: faust.App, sink: Sink[FlagEvaluations]) -> None:
    topic = app.topic(FLAG_EVALUATIONS, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(topic)
    async def evaluations(stream: Any) -> None:
        batches: AsyncIterable[Sequence[Any]] = stream.take_events(BATCH_CHANGES_MAX, within=BATCH_WAIT_S)
        async for events in batches:
            await write_down(sink, [counted for _, counted in _read(events, read_evaluations)])


T = TypeVar("T")


def _read(events: Sequence[Any], read: Callable[[bytes], T]) -> Iterator[tuple[int, T]]:
    """What a batch holds, each with the partition that it was read from; what cannot be read is skipped."""
    for event in events:
        try:
            yield event.message.partition, read(event.value or b"")
        except ValueError as error:
            message = event.message
            _log.warning(
                "control: %s[%d] at %d cannot be read: %s", message.topic, message.partition, message.offset, error
            )


def _tend_versions(turns: _Turns, settings: Settings, parts: Parts) -> None:
    """Bring versions into force: fill in their lists and their history, then let them take over; compare them then."""
    compiler = parts.compiler

    async def take_over() -> None:
        if building(compiler.registry):
            positions = await parts.reader.positions(range(settings.shards))
            await parts.filling.fill(compiler.registry, compiler.lists, positions)
            unfolded = parts.filling.unfolded(compiler.registry, positions)
            ready = ready_of(positions, settings.shards)
            with_history = parts.backfill is not None and parts.backfill.has_history is not False
            await compiler.change(taking_over(ready, unfolded, with_history=with_history))

    async def fill_lists() -> None:
        if compiler.lists:
            positions = await parts.reader.positions(range(settings.shards))
            await parts.filling.fill(compiler.registry, compiler.lists, positions)

    async def backfill() -> None:
        if parts.backfill is not None and compiler.registry.sources:
            await fill_in(compiler, parts.backfill, _reminder(parts))

    async def compare_with_history() -> None:
        if parts.reconciling is not None:
            await parts.reconciling.turn(compiler.registry, compiler.lists, parts.elapsed_ms())

    for interval_s, step in (
        (TAKE_OVER_S, take_over),
        (FILL_S, fill_lists),
        (BACKFILL_S, backfill),
        (RECONCILE_S, compare_with_history),
    ):
        turns.every(interval_s, step)


def _reminder(parts: Parts) -> Remind:
    """A shard that is whole again keeps away who was forgotten, and has its part of every list too."""

    async def remind(positions: Mapping[int, Position]) -> None:
        registry = parts.compiler.registry
        if parts.reminding is not None:
            await parts.reminding.remind(registry.version, positions)
        if parts.compiler.lists:
            await parts.filling.fill(registry, parts.compiler.lists, positions)

    return remind


def _tend(turns: _Turns, settings: Settings, parts: Parts, flow: FlowTables) -> None:
    """Keep the registry true to the world, and its mirror to it."""
    watch, retirement = SourceWatch(settings.sources), Retirement()
    compiler = parts.compiler

    async def drop_what_retired() -> None:
        registry = compiler.registry
        if registry.retired_in():
            through = retirement.look(registry, await compiler.mirrored(), parts.elapsed_ms())
            if through:
                await compiler.change(dropping(through))

    async def list_sources() -> None:
        found = watch.look(await parts.sources(), compiler.registry.sources)
        await compiler.change(with_sources(found))

    async def list_new_sources() -> None:
        """Routers read a topic soon after it is there, and nothing of it counts before it is known here."""
        known = compiler.registry.sources
        if unknown := set(settings.sources).difference(known):
            found = {topic: places for topic, places in (await parts.sources()).items() if topic in unknown}
            await compiler.change(with_sources({**known, **found}))

    async def forget() -> None:
        flow.forget(_owned(turns.app, MEMBERSHIP_CHANGES), parts.clock.now_ms())

    for interval_s, step in (
        (DROP_S, drop_what_retired),
        (LOOK_S, compiler.compile),
        (MIRROR_S, compiler.repair_mirror),
        (NEW_SOURCES_S, list_new_sources),
        (SOURCES_S, list_sources),
        (FORGET_S, forget),
    ):
        turns.every(interval_s, step)


def _keep_topics(turns: _Turns, settings: Settings) -> None:
    async def keep_topics() -> None:
        await ensure_topics(settings.kafka, topics_of(settings), replication=settings.topic_replication)

    # Of topics that Kafka lost nobody owns a partition.
    turns.every(TOPICS_S, keep_topics, anywhere=True)


class _Turns:
    """Steps that are tried again at their next turn where a transport fails; anything else ends the process."""

    def __init__(self, app: faust.App) -> None:
        self.app = app
        self._troubled: set[str] = set()

    def every(self, interval_s: float, step: Step, *, anywhere: bool = False) -> None:
        """Take the step again and again, where this process owns the partition of the definitions, or `anywhere`."""

        async def tick() -> None:
            if anywhere or TP(DEFINITIONS, 0) in self.app.consumer.assignment():
                await self.take(step)

        tick.__name__ = tick.__qualname__ = step.__name__
        self.app.timer(interval_s)(tick)

    async def take(self, step: Step) -> None:
        """One turn. A trouble is told when it begins and when it is over."""
        name = step.__name__
        try:
            await step()
        except Retry as error:
            if name not in self._troubled:
                _log.warning("control: %s is tried again until it works: %s", name, error)
            self._troubled.add(name)
        except Exception as error:
            await self.app.crash(error)
            raise
        else:
            if name in self._troubled:
                _log.warning("control: %s works again", name)
            self._troubled.discard(name)


def _owned(app: faust.App, topic: str) -> list[int]:
    return [partition.partition for partition in app.consumer.assignment() if partition.topic == topic]


def _show(app: faust.App, settings: Settings, parts: Parts, flow: FlowTables) -> None:
    @app.page("/status/")
    async def status(view: Any, request: Any) -> Any:  # noqa: ARG001 - Faust's signature
        try:
            ends = await parts.ends()
        except Retry:
            ends = None
        try:
            found = await status_of(
                parts.compiler.registry,
                parts.reader,
                shards=settings.shards,
                now=parts.clock.now_ms(),
                ends=ends,
                backfill=await parts.backfill.noted() if parts.backfill else None,
            )
        except Retry as error:
            return view.json({"error": str(error)}, status=503)
        return view.json(msgspec.to_builtins(found))

    @app.page("/metrics")
    async def prometheus(view: Any, request: Any) -> Any:  # noqa: ARG001 - Faust's signature
        return view.text(metrics_text(), content_type="text/plain; version=0.0.4")

    @app.page("/flow/")
    async def entries_and_exits(view: Any, request: Any) -> Any:  # noqa: ARG001 - Faust's signature
        return view.json([msgspec.to_builtins(window) for window in flow.windows(_owned(app, MEMBERSHIP_CHANGES))])
