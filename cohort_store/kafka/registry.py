"""Following the registry: every worker's view of what is defined.

A follower's plan only ever gets newer. If the topic turns out to be emptied, the follower keeps the plan that it has
until a newer one comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from aiokafka.errors import KafkaError

from cohort_store.errors import Crash, Retry
from cohort_store.kafka import clients
from cohort_store.kafka.registry_topic import RegistryTopic, newest
from cohort_store.kafka.topics import REGISTRY as TOPIC
from cohort_store.plans import Plan, compile_plan
from cohort_store.registry import Registry, check_shards, decode_registry

CATCH_UP_DEADLINE_S = 30.0
VERSION_DEADLINE_S = 10.0
"""How long a version is waited for that a message was made with; its sender has read it, so it is in the topic."""
RETRY_S = 0.5

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
        self._topic = RegistryTopic(bootstrap, clients.TAIL_WAIT_MS)
        self._shards = shards
        self._version_deadline_s = version_deadline_s
        self._plan = compile_plan(Registry())
        self._tail: asyncio.Task[None] | None = None
        self._moved = asyncio.Condition()

    async def start(self) -> None:
        """Connect and begin to follow in the background; the plan is the empty one until `catch_up`.

        Raises Retry where the broker or the topic cannot be reached within START_DEADLINE_S.
        """
        await self._topic.start()
        self._tail = asyncio.create_task(self._follow(), name="registry follower")

    async def stop(self) -> None:
        """End. Doing it twice, or before `start`, is harmless."""
        tail, self._tail = self._tail, None
        if tail is not None:
            tail.cancel()
            await asyncio.wait([tail])
        await self._topic.stop()

    @property
    def plan(self) -> Plan:
        """The newest plan seen; never older than one that was returned before."""
        self._check()
        return self._plan

    async def catch_up(self) -> Plan:
        """The plan, once the topic has been read to the end that it has now.

        Raises Retry for a broken connection, and where that takes longer than CATCH_UP_DEADLINE_S.
        """
        if self._tail is None:
            raise ValueError("the follower has not been started")
        end = await self._topic.end()
        if not await self._until(lambda: self._topic.position >= end, CATCH_UP_DEADLINE_S):
            raise Retry(
                f"{TOPIC} was read to offset {self._topic.position} of {end} in {CATCH_UP_DEADLINE_S:g} s, no further"
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

    async def _follow(self) -> None:
        try:
            while True:
                try:
                    self._take(await self._topic.read())
                    await self._announce()
                except (KafkaError, TimeoutError) as error:
                    _log.warning("registry: reading %s failed, trying again: %s", TOPIC, error)
                    await asyncio.sleep(RETRY_S)
        finally:
            # Whoever waits looks again, and finds this task's exception. A callback, since the task must be done first.
            asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(self._announce()))

    async def _announce(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    def _take(self, values: Sequence[bytes]) -> None:
        """Compile the newest of some registries, if it is newer than the plan."""
        try:
            raw = newest(values, self._plan.version)
            registry = decode_registry(raw) if raw else None
        except msgspec.MsgspecError as error:
            raise Crash(f"a message of {TOPIC} is no registry ({error}); was it written by a newer version?") from error
        if registry is not None:
            check_shards(registry, self._shards)
            self._plan = compile_plan(registry)


def _missing(version: int, seen: int, waited_s: float) -> Retry:
    return Retry(
        f"a message was made with registry version {version}, and {TOPIC} holds none newer than {seen} after "
        f"{waited_s:g} s: if it lost its last versions, start muster control, which fills it from its mirror"
    )


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
