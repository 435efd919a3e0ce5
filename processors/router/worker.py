"""The router's loop: poll, read, resolve, deliver, then mark and commit.

Nothing is committed before the deltas that it covers are acknowledged, and nothing is marked before they are, or are
in the same message as the mark. Whatever happens in between (a crash, a rebalance), messages are read again and their
deltas sent again, which changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from time import perf_counter
from typing import TypeVar

from cohort_store.clocks import Clock
from cohort_store.errors import Retry
from cohort_store.kafka.registry import Plans
from processors import metrics
from processors.codecs.codec import EventCodec, PairCodec, PersonCodec
from processors.kafka.dead_letters import DeadLetters
from processors.router.alignment import Alignment
from processors.router.batch import Batch, Reading
from processors.router.packing import Packed, Packer, mark_messages
from processors.router.persons import Persons
from processors.router.ports import DeltaSink, EventSource, Message, PersonLookup, Polled
from processors.router.progress import Progress, Source
from processors.router.routes import RouterPlan, compile_routes

COMMIT_INTERVAL_S = 1.0
RETRY_S = 0.5
PERSONS_ASKED_MAX = 2_000

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")
_timestamp: Callable[[Message], int] = attrgetter("timestamp")


@dataclass(frozen=True, slots=True)
class RouterConfig:
    """What an installation fixes, and what an operator chooses."""

    shards: int
    partitions: int
    mark_interval_ms: int
    event_bytes_max: int


@dataclass(frozen=True, slots=True)
class RouterParts:
    """What a router is put together from."""

    source: EventSource
    sink: DeltaSink
    dead_letters: DeadLetters
    plans: Plans
    persons: PersonLookup
    codecs: Mapping[str, EventCodec]
    clock: Clock
    person_codecs: Mapping[str, PersonCodec] = field(default_factory=dict)
    """Of sources that tell persons' states; where there is one, what events say of persons is not looked at."""
    pair_codecs: Mapping[str, PairCodec] = field(default_factory=dict)
    """Of sources that tell whose distinct ids are."""


class Router:
    """One member of the routers' group. `run` it, or `step` it."""

    def __init__(self, parts: RouterParts, config: RouterConfig) -> None:
        self._parts = parts
        self._config = config
        self._progress = Progress()
        self._alignment = Alignment()
        self._persons = Persons()
        self._generation: int | None = None
        self._routes: RouterPlan | None = None
        self._delivered: dict[Source, int] = {}
        self._mark_at = self._commit_at = 0.0

    async def run(self) -> None:
        """Route until cancelled; what was delivered by then is committed."""
        try:
            while True:
                await self.step()
        finally:
            await self.commit()

    async def step(self) -> None:
        """One poll with everything that follows from it."""
        polled = await _persist(self._parts.source.poll)
        if polled.generation != self._generation:
            await self._take_over(polled.generation)
        ahead = self._alignment.look(polled.messages, polled.read_out, self._parts.clock.now_ms(), perf_counter())
        self._parts.source.hold(ahead)
        if polled.messages:
            await self._route(polled)
        for source, (next_offset, sent_ms) in polled.read_out.items():
            self._progress.read_out(source, next_offset, sent_ms)
        elapsed_s = perf_counter()
        if elapsed_s >= self._mark_at:
            self._mark_at = elapsed_s + self._config.mark_interval_ms / 1_000
            await self.mark()
        if elapsed_s >= self._commit_at:
            self._commit_at = elapsed_s + COMMIT_INTERVAL_S
            await self.commit()

    async def mark(self) -> None:
        """Tell every partition of the deltas how far the sources have been read."""
        marks = self._progress.marks()
        if marks:
            await self._deliver(mark_messages(self._plan().version, marks, self._config.partitions))

    async def commit(self) -> None:
        """Let the group continue behind what is delivered. Its failing is harmless: messages are then read again."""
        if self._delivered:
            try:
                await self._parts.source.commit(self._delivered)
                self._delivered = {}
            except Retry as error:
                _log.info("router: offsets were not committed, and are the next time: %s", error)

    async def _take_over(self, generation: int) -> None:
        """Partitions may have moved here: see all that their last owner may have seen defined, and only then go on."""
        await _persist(self._parts.plans.catch_up)
        self._delivered = {}
        self._progress.assign(self._parts.source.assigned)
        self._alignment.forget()
        self._generation = generation

    async def _route(self, polled: Polled) -> None:
        began_s, now = perf_counter(), self._parts.clock.now_ms()
        plan, config = self._plan(), self._config
        reading = Reading(plan, self._persons, config.event_bytes_max, now, not self._parts.person_codecs)
        batch = Batch(reading, Packer(config.shards, config.partitions))
        for source, messages in polled.messages.items():
            self._read(batch, source, messages)
        await self._resolve(batch)
        if batch.letters:
            await _persist(lambda: self._parts.dead_letters.send(batch.letters))
        # Marks of this batch ride with its deltas, so that owners who catch up need not wait for the next ones;
        # nothing else is marked before the delivery succeeds.
        for source, messages in polled.messages.items():
            self._progress.acknowledged(source, messages[-1].offset + 1, max(map(_timestamp, messages)), now)
        messages_out = batch.packer.messages(plan.version, self._progress.marks())
        await self._deliver(messages_out)
        for source, messages in polled.messages.items():
            self._delivered[source] = messages[-1].offset + 1
        _count(batch, messages_out, plan.version, perf_counter() - began_s)

    def _read(self, batch: Batch, source: Source, messages: Sequence[Message]) -> None:
        parts = self._parts
        if source.topic in parts.person_codecs:
            batch.read_persons(source, messages, parts.person_codecs[source.topic])
        elif source.topic in parts.pair_codecs:
            batch.read_pairs(source, messages, parts.pair_codecs[source.topic])
        else:
            batch.read(source, messages, parts.codecs[source.topic])

    async def _resolve(self, batch: Batch) -> None:
        """Ask for the persons of the batch's distinct ids, in one round trip for each PERSONS_ASKED_MAX of them."""
        asked = batch.unresolved()
        found: dict[tuple[int, str], str | None] = {}
        for first in range(0, len(asked), PERSONS_ASKED_MAX):
            some = asked[first : first + PERSONS_ASKED_MAX]
            answers = await _persist(lambda some=some: self._parts.persons.persons(some))  # type: ignore[misc]
            found.update(zip(some, answers, strict=True))
        batch.resolve(found)

    async def _deliver(self, messages: list[Packed]) -> None:
        if messages:
            await _persist(lambda: self._parts.sink.send(messages))

    def _plan(self) -> RouterPlan:
        """The newest plan seen, compiled for routing once."""
        plan = self._parts.plans.plan
        if self._routes is None or plan.version > self._routes.version:
            self._routes = compile_routes(plan)
        return self._routes


async def _persist(act: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Do it until it succeeds. Time stands still meanwhile for those who wait for marks, and nobody is thrown out."""
    while True:
        try:
            return await act()
        except Retry as error:
            _log.warning("router: trying again in %g s: %s", RETRY_S, error)
            metrics.ROUTER_RETRIES.add(1)
            await asyncio.sleep(RETRY_S)


def _count(batch: Batch, messages_out: list[Packed], registry_version: int, took_s: float) -> None:
    """One batch's worth of metrics."""
    tally = batch.tally
    for outcome in ("unwanted", "unknown_team", "unmatched", "routed"):
        metrics.ROUTER_EVENTS.add(getattr(tally, outcome), outcome)
    for letter in batch.letters:
        metrics.ROUTER_REFUSED.add(1, letter.reason)
    metrics.ROUTER_DELTAS.add(batch.packer.count)
    metrics.ROUTER_DELTA_BYTES.add(sum(len(message.value) for message in messages_out))
    metrics.ROUTER_BATCH_SECONDS.observe(took_s)
    metrics.ROUTER_REGISTRY_VERSION.set(registry_version)
