"""Raw events over aiokafka, for the router and for the archive: see ``processors.router.ports.EventSource``.

A source topic that does not exist keeps nothing from being read: it is looked for, and read once it is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from time import monotonic

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import IllegalStateError, InvalidSessionTimeoutError, KafkaError

from cohort_store.clocks import Clock
from cohort_store.errors import Crash, Retry
from cohort_store.kafka import clients
from cohort_store.settings import Settings
from processors.kafka.sources import partitions_of
from processors.router.ports import Polled, ReadOut
from processors.router.progress import FetchTimes, Source

POLL_MS = 100
COMMIT_DEADLINE_S = 5.0
MESSAGES_MAX = 20_000
"""A poll hands out at most so many: a whole fetch of eight partitions, where events have 400 bytes or more. What is
left over makes its partition lag the others, and with it the time of all owners, which is the last one's."""
MISSING_LOOK_S = 5.0
"""How often topics that do not exist are looked for."""

_log = logging.getLogger(__name__)


class KafkaEventSource:
    """A member of a role's group on source topics."""

    def __init__(self, settings: Settings, topics: Iterable[str], clock: Clock, role: str) -> None:
        self._role, self._bootstrap = role, settings.kafka
        self._missing = set(topics)
        self._read: set[str] = set()
        self._consumer: AIOKafkaConsumer = clients.group_consumer(settings, role)
        self._clock = clock
        self._moves = _Moves()
        self._poll_ms = min(POLL_MS, settings.mark_interval_ms)
        self._looked_ms = 0
        self._look_at_s = monotonic() + MISSING_LOOK_S
        self._generation = 0
        self._fetch_times = FetchTimes()

    async def start(self) -> None:
        """Join the group, once any topic exists. Raises Retry where no broker answers, Crash for settings refused."""
        self._subscribe(await partitions_of(self._bootstrap, self._missing))
        for topic in sorted(self._missing):
            _log.warning("%s: source topic %s does not exist; it is read once it does", self._role, topic)
        while not self._read:
            await asyncio.sleep(MISSING_LOOK_S)
            with suppress(Retry):
                self._subscribe(await partitions_of(self._bootstrap, self._missing))
        self._looked_ms = self._clock.now_ms()
        try:
            await self._consumer.start()
        except InvalidSessionTimeoutError as error:
            raise Crash("the broker refuses session_timeout_ms; Apache Kafka takes 6000 and more by default") from error
        except KafkaError as error:
            raise Retry(f"the group of the {self._role} cannot be joined: {error!r}") from error

    def _subscribe(self, existing: Collection[str]) -> None:
        """Read those of the missing topics too that exist by now."""
        if found := self._missing.intersection(existing):
            self._missing -= found
            self._read |= found
            self._consumer.subscribe(sorted(self._read), listener=self._moves)

    async def stop(self) -> None:
        """Leave the group."""
        await clients.stop(self._consumer)

    @property
    def assigned(self) -> frozenset[Source]:
        """The partitions of the present generation."""
        return frozenset(Source(*partition) for partition in self._consumer.assignment())

    async def poll(self) -> Polled:
        """The next messages; returns without any after POLL_MS, or one mark interval if that is less."""
        try:
            if self._missing and (now_s := monotonic()) >= self._look_at_s:
                self._look_at_s = now_s + MISSING_LOOK_S
                self._subscribe(await self._consumer.topics())
            found = await self._consumer.getmany(timeout_ms=self._poll_ms, max_records=MESSAGES_MAX)
        except KafkaError as error:
            raise Retry(f"the sources cannot be read: {error!r}") from error
        # Messages that came while partitions moved belong to the assignment that is being made.
        await self._moves.settled.wait()
        if self._moves.generation != self._generation:
            self._generation, self._fetch_times = self._moves.generation, FetchTimes()
        messages = {Source(*partition): records for partition, records in found.items()}
        return Polled(self._generation, messages, await self._look())

    def hold(self, sources: Collection[Source]) -> None:
        """Let these wait. What of them is on its way is kept, and handed out then."""
        wanted = {TopicPartition(*source) for source in sources}
        paused = self._consumer.paused()
        if wanted != paused:
            assigned = self._consumer.assignment()
            self._consumer.pause(*(wanted - paused) & assigned)
            self._consumer.resume(*paused - wanted)

    async def commit(self, offsets: Mapping[Source, int]) -> None:
        """Commit those that are still assigned."""
        assigned = self._consumer.assignment()
        present = {TopicPartition(*source): offset for source, offset in offsets.items() if source in assigned}
        try:
            if present:
                async with asyncio.timeout(COMMIT_DEADLINE_S):
                    await self._consumer.commit(present)
        except (KafkaError, IllegalStateError, TimeoutError) as error:
            raise Retry(f"{len(present)} offsets were not committed: {error!r}") from error

    async def _look(self) -> dict[Source, ReadOut]:
        """Which partitions are read to their end, as of which instant."""
        before_ms, self._looked_ms = self._looked_ms, self._clock.now_ms()
        read_out: dict[Source, ReadOut] = {}
        for partition in self._consumer.assignment():
            source = Source(*partition)
            end = self._consumer.highwater(partition)
            sent_ms = self._fetch_times.look(source, self._consumer.last_poll_timestamp(partition), before_ms)
            if sent_ms is None or end is None:
                continue
            # Does not wait: where a fetch was answered, there is a position.
            if await self._consumer.position(partition) == end:
                read_out[source] = ReadOut(end, sent_ms)
        return read_out


class _Moves(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notices that partitions move."""

    def __init__(self) -> None:
        self.generation = 0
        self.settled = asyncio.Event()
        self.settled.set()

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:  # noqa: ARG002
        self.settled.clear()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:  # noqa: ARG002
        self.generation += 1
        self.settled.set()
