"""Definitions out of the topic, for a process that goes on without it: the evaluator."""

from __future__ import annotations

import asyncio

import msgspec
from aiokafka.errors import KafkaError

from cohort_store.errors import Crash, Retry
from cohort_store.kafka.registry_topic import RegistryTopic, newest, version_of
from cohort_store.kafka.topics import REGISTRY as TOPIC

FETCH_WAIT_MS = 500
"""How long the broker may hold back a fetch that finds nothing: nobody waits for it, and it costs next to nothing."""


class TopicRegistrySource:
    """The newest registry of the topic. Opens nothing before the first `fetch`; one task at a time uses it."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._topic: RegistryTopic | None = None
        self._newest: bytes | None = None
        self._version = 0

    async def fetch(self) -> bytes | None:
        """The newest registry, once all has been read that was there when this was called; None: there is none.

        Raises Retry where the broker or the topic cannot be reached, Crash for a message that is no registry.
        """
        try:
            if self._topic is None:
                await self._begin()
        except (KafkaError, TimeoutError) as error:
            raise await self._broken(error) from error
        return self._newest

    async def changed(self, timeout_s: float) -> bool:
        """Wait until a newer registry has come, at most about so long; whether one has. Raises as `fetch`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        if self._topic is None:
            return True
        try:
            while loop.time() < deadline:
                if self._keep(await self._topic.read()):
                    return True
        except (KafkaError, TimeoutError) as error:
            raise await self._broken(error) from error
        return False

    async def aclose(self) -> None:
        """Close the connection. A later `fetch` reads the topic from its beginning again."""
        topic, self._topic = self._topic, None
        if topic is not None:
            await topic.stop()

    async def _begin(self) -> None:
        topic = RegistryTopic(self._bootstrap, FETCH_WAIT_MS)
        await topic.start()
        try:
            end = await topic.end()
            while topic.position < end:
                self._keep(await topic.read())
        except BaseException:
            await topic.stop()
            raise
        self._topic = topic

    def _keep(self, values: list[bytes]) -> bool:
        try:
            found = newest(values, self._version)
            if found is None:
                return False
            self._newest, self._version = found, version_of(found)
        except msgspec.MsgspecError as error:
            raise Crash(f"a message of {TOPIC} is no registry ({error}); was it written by a newer version?") from error
        return True

    async def _broken(self, error: Exception) -> Retry:
        await self.aclose()
        return Retry(f"{TOPIC} at {self._bootstrap} cannot be read: {str(error) or 'no answer'}")
