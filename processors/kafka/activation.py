"""From where on routers read with a version of the registry: their marks tell.

Or from later on, since what is before has to come from the history: everything that the sources hold when they are
asked about. Shards that began anew before that, at the end of the deltas, miss nothing then. A mark may be of a time
when deltas were in the topic already that it does not tell of: one that is asked for in between is not enough.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from time import monotonic

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from cohort_store.deltas import DeltaMessage, decode_message
from cohort_store.errors import Reject, Retry
from cohort_store.kafka import clients
from cohort_store.kafka.ends import end_offsets
from cohort_store.kafka.topics import DELTAS
from processors.router.progress import Source

CONFIRMING_INTERVALS = 2
"""For so many intervals between marks, no router may tell of reading with an older version."""
_POLL_MS = 100
_PLACE = TopicPartition(DELTAS, 0)
"""Every partition has every router's marks."""


class MarkedActivations:
    """See ``processors.backfill.ports.Activations``."""

    def __init__(self, bootstrap: str, mark_interval_ms: int) -> None:
        self._bootstrap = bootstrap
        self._confirming_s = CONFIRMING_INTERVALS * mark_interval_ms / 1_000

    async def of(self, registry_version: int, sources: Iterable[Source]) -> dict[Source, int]:
        """The offset of each source partition, once routers have told all of them. Waits; raises Retry."""
        wanted = frozenset(sources)
        marked = Marked(registry_version, wanted)
        consumer = clients.partition_consumer(self._bootstrap, wait_ms=clients.TAIL_WAIT_MS)
        try:
            ends = await self._ends(wanted)
            await consumer.start()
            consumer.assign([_PLACE])
            consumer.seek(_PLACE, (await end_offsets(self._bootstrap, [_PLACE]))[_PLACE])
            confirmed_at: float | None = None
            while confirmed_at is None or monotonic() < confirmed_at:
                await _read(consumer, marked)
                if not marked.is_complete:
                    confirmed_at = None
                elif confirmed_at is None:
                    confirmed_at = monotonic() + self._confirming_s
        except (KafkaError, OSError, TimeoutError) as error:
            raise Retry(f"the marks in {DELTAS} cannot be read: {error!r}") from error
        finally:
            await clients.stop(consumer)
        return {source: max(offset, ends[source]) for source, offset in marked.offsets.items()}

    async def _ends(self, sources: Collection[Source]) -> dict[Source, int]:
        try:
            ends = await end_offsets(self._bootstrap, [TopicPartition(*source) for source in sources])
        except (KafkaError, OSError, TimeoutError) as error:
            topics = ", ".join(sorted({source.topic for source in sources}))
            raise Retry(f"the ends of the sources ({topics}) cannot be looked up: {error!r}") from error
        return {Source(*place): end for place, end in ends.items()}


class Marked:
    """What marks have told. Pure."""

    def __init__(self, registry_version: int, sources: frozenset[Source]) -> None:
        self._version = registry_version
        self._sources = sources
        self.offsets: dict[Source, int] = {}

    @property
    def is_complete(self) -> bool:
        """Whether every source partition was heard of."""
        return len(self.offsets) == len(self._sources)

    def take(self, message: DeltaMessage) -> None:
        """Take in one message's marks.

        The first mark with the version counts: its router reads on from there with it, and so does whoever takes over
        from that one. A mark with an older version is another router's, who may be ahead of that: it counts anew then.
        """
        for mark in message.marks:
            source = Source(mark.topic, mark.partition)
            if source not in self._sources:
                continue
            if message.registry_version >= self._version:
                self.offsets.setdefault(source, mark.next_offset)
            else:
                self.offsets.pop(source, None)


async def _read(consumer: AIOKafkaConsumer, marked: Marked) -> None:
    for messages in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
        for message in messages:
            try:
                marked.take(decode_message(message.value or b""))
            except Reject:
                # The owners put it aside.
                continue
