"""Following the registry: every worker's view of what is defined.

`muster.registry` has one partition and is compacted; each message is a whole registry, and the last one
counts. A follower's plan only ever gets newer. If the topic turns out to be emptied (an in-memory broker began
anew), the follower reads it from its beginning again and keeps the plan that it has until a newer one comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from cohort_store.errors import Crash, Retry
from cohort_store.kafka import clients
from cohort_store.kafka.ends import end_offsets
from cohort_store.kafka.topics import REGISTRY as TOPIC
from cohort_store.plans import Plan, compile_plan
from cohort_store.registry import Registry, check_shards, decode_registry

KEY = b"registry"
START_DEADLINE_S = 30.0
CATCH_UP_DEADLINE_S = 30.0
VERSION_DEADLINE_S = 10.0
"""How long a version is waited for that a message was made with; its sender has read it, so it is in the topic."""
IDLE_LOOK_MS = 1_000
RETRY_S = 0.5

_PARTITION = TopicPartition(TOPIC, 0)
_log = logging.getLogger(__name__)


class Plans(Protocol):
    """Where a worker learns which plan is in force."""

    @property
    def plan(self) -> Plan:
        """The newest plan seen; never older than one that was returned before."""
        ...

    async def catch_up(self) -> Plan:
        """The plan, once everything has been seen that was defined when this was called. Raises Retry."""
        ...

    async def at_least(self, version: int) -> Plan:
        """The plan, once its version is at least that one. Raises Retry where it does not come for long."""
        ...


class RegistryFollower:
    """Tails `muster.registry` from `start` to `stop`.

    A registry that cannot be read, or that is of another number of shards, raises Crash from every method.
    """

    def __init__(self, bootstrap: str, shards: int, version_deadline_s: float = VERSION_DEADLINE_S) -> None:
        self._bootstrap = bootstrap
        self._shards = shards
        self._version_deadline_s = version_deadline_s
        self._plan = compile_plan(Registry())
        self._position = 0
        self._consumer: AIOKafkaConsumer | None = None
        self._tail: asyncio.Task[None] | None = None
        self._moved = asyncio.Condition()

    async def start(self) -> None:
        """Connect and begin to follow in the background; the plan is the empty one until `catch_up`.

        Raises Retry where the broker or the topic cannot be reached within START_DEADLINE_S.
        """
        consumer = clients.partition_consumer(self._bootstrap, wait_ms=clients.TAIL_WAIT_MS)
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                await consumer.start()
                consumer.assign([_PARTITION])
                await consumer.seek_to_beginning(_PARTITION)
        except (KafkaError, TimeoutError) as error:
            await clients.stop(consumer)
            raise Retry(f"topic {TOPIC} at {self._bootstrap} cannot be read: {error or 'no answer'}") from error
        self._consumer = consumer
        self._tail = asyncio.create_task(self._follow(consumer), name="registry follower")

    async def stop(self) -> None:
        """End. Doing it twice, or before `start`, is harmless."""
        tail, self._tail = self._tail, None
        if tail is not None:
            tail.cancel()
            await asyncio.wait([tail])
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await clients.stop(consumer)

    @property
    def plan(self) -> Plan:
        """The newest plan seen; never older than one that was returned before."""
        self._check()
        return self._plan

    async def catch_up(self) -> Plan:
        """The plan, once the topic has been read to the end that it has now.

        Raises Retry for a broken connection, and where that takes longer than CATCH_UP_DEADLINE_S.
        """
        if self._consumer is None:
            raise ValueError("the follower has not been started")
        try:
            end = (await end_offsets(self._bootstrap, [_PARTITION]))[_PARTITION]
        except (KafkaError, TimeoutError) as error:
            raise Retry(f"the end of {TOPIC} cannot be looked up: {error or 'no answer'}") from error
        if not await self._until(lambda: self._position >= end, CATCH_UP_DEADLINE_S):
            raise Retry(
                f"{TOPIC} was read to offset {self._position} of {end} in {CATCH_UP_DEADLINE_S:g} s, no further"
            )
        return self.plan

    async def at_least(self, version: int) -> Plan:
        """The plan, once its version is at least that one. Raises Retry where it does not come in time."""
        if not await self._until(lambda: self._plan.version >= version, self._version_deadline_s):
            raise _missing(version, self._plan.version, self._version_deadline_s)
        return self.plan

    async def _until(self, reached: Callable[[], bool], deadline_s: float) -> bool:
        """Wait for it, at most so long; whether it is so."""
        try:
            async with asyncio.timeout(deadline_s), self._moved:
                while not reached():
                    self._check()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    def _check(self) -> None:
        if self._tail is not None and self._tail.done() and not self._tail.cancelled():
            error = self._tail.exception()
            if error is not None:
                raise error

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        try:
            while True:
                try:
                    await self._advance(consumer)
                except (KafkaError, TimeoutError) as error:
                    _log.warning("registry: reading %s failed, trying again: %s", TOPIC, error)
                    await asyncio.sleep(RETRY_S)
        finally:
            # Whoever waits looks again, and finds this task's exception. A callback, since the task must be done first.
            asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(self._announce()))

    async def _advance(self, consumer: AIOKafkaConsumer) -> None:
        try:
            found = await consumer.getmany(timeout_ms=IDLE_LOOK_MS)
        except OffsetOutOfRangeError:
            await self._look_behind(consumer)
            raise
        values = [m.value for m in found.get(_PARTITION, ()) if m.key == KEY and m.value is not None]
        self._take(values)
        self._position = await consumer.position(_PARTITION)
        await self._announce()
        if not found:
            await self._look_behind(consumer)

    async def _look_behind(self, consumer: AIOKafkaConsumer) -> None:
        """Begin anew where the topic ends before the position. The cheap answer may be too low, so it is confirmed."""
        if (await consumer.end_offsets([_PARTITION]))[_PARTITION] >= self._position:
            return
        if (await end_offsets(self._bootstrap, [_PARTITION]))[_PARTITION] < self._position:
            _log.warning("registry: %s ends before offset %d; reading it from its beginning", TOPIC, self._position)
            await consumer.seek_to_beginning(_PARTITION)

    async def _announce(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    def _take(self, values: Sequence[bytes]) -> None:
        """Compile the newest of some registries, if it is newer than the plan."""
        try:
            newest = _newest(values, self._plan.version)
            registry = decode_registry(newest) if newest else None
        except msgspec.MsgspecError as error:
            raise Crash(f"a message of {TOPIC} is no registry ({error}); was it written by a newer version?") from error
        if registry is not None:
            check_shards(registry, self._shards)
            self._plan = compile_plan(registry)


def _missing(version: int, newest: int, waited_s: float) -> Retry:
    return Retry(
        f"a message was made with registry version {version}, and {TOPIC} holds none newer than {newest} after "
        f"{waited_s:g} s: if it lost its last versions, start muster control, which fills it from its mirror"
    )


class _Heading(msgspec.Struct):
    """All that is decoded of a registry in order to pass it over."""

    version: int = 0


def _newest(values: Sequence[bytes], above: int) -> bytes | None:
    """The newest registry above that version. A message counts by the writers' rule: above all that stand before it.

    The last message need not be the newest: a second writer that was overtaken leaves a void one.
    """
    newest = None
    for value in values:
        version = msgspec.json.decode(value, type=_Heading).version
        if version > above:
            newest, above = value, version
    return newest


class RememberedPlans:
    """The in-memory twin: a plan that is set by hand."""

    def __init__(self, plan: Plan | None = None, version_deadline_s: float = VERSION_DEADLINE_S) -> None:
        self._version_deadline_s = version_deadline_s
        self._defined = self._seen = plan or compile_plan(Registry())
        self._moved = asyncio.Condition()

    def define(self, registry: Registry, *, seen: bool = True) -> None:
        """Put a registry in force. `seen=False`: it is in the topic, and only `catch_up` finds it."""
        self._defined = compile_plan(registry)
        if seen:
            self._see()

    @property
    def plan(self) -> Plan:
        """The newest plan seen."""
        return self._seen

    async def catch_up(self) -> Plan:
        """Sees what was defined."""
        self._see()
        async with self._moved:
            self._moved.notify_all()
        return self._seen

    async def at_least(self, version: int) -> Plan:
        """Waits until `catch_up` has seen that version."""
        try:
            async with asyncio.timeout(self._version_deadline_s), self._moved:
                await self._moved.wait_for(lambda: self._seen.version >= version)
        except TimeoutError:
            raise _missing(version, self._seen.version, self._version_deadline_s) from None
        return self._seen

    def _see(self) -> None:
        if self._defined.version > self._seen.version:
            self._seen = self._defined
