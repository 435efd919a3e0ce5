"""How much of the sources the archive has written: what its consumer group has committed."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from cohort_store.errors import Retry
from cohort_store.kafka import clients
from processors.backfill.ports import farthest_behind
from processors.router.progress import Source


class ArchivedOffsets:
    """See ``processors.backfill.ports.Archived``. Of `topics` alone: others hold no events, so none is missing."""

    def __init__(self, bootstrap: str, group: str, topics: Collection[str]) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self._topics = frozenset(topics)

    async def awaited(self, activations: Mapping[Source, int], since_ms: int) -> str:  # noqa: ARG002 - the port's
        """See the port."""
        return farthest_behind(await self.missing(activations), "the archive")

    async def missing(self, activations: Mapping[Source, int]) -> dict[Source, int]:
        """The partitions that are not archived up to these offsets, and how many messages each lacks."""
        wanted = {source: offset for source, offset in activations.items() if source.topic in self._topics and offset}
        if not wanted:
            return {}
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, group_id=self._group, enable_auto_commit=False)
        try:
            await consumer.start()
            consumer.assign([TopicPartition(*source) for source in wanted])
            found = {source: await consumer.committed(TopicPartition(*source)) or 0 for source in wanted}
        except (KafkaError, OSError) as error:
            raise Retry(f"how far {self._group} has come cannot be looked up: {error!r}") from error
        finally:
            await clients.stop(consumer)
        return {source: offset - found[source] for source, offset in wanted.items() if found[source] < offset}
