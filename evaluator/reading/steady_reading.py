"""Reads that a store which is away does not hold up: from the store, or else from what was last known.

A breaker stands before the store. While it is open nobody waits for a deadline, and a probe of its own, with those
persons for whom the store failed, finds out when it answers again: so recovery needs neither a request nor a restart.

**What is remembered.** A read that answers for every cohort of the team replaces what was known of the person. One that
does not (the shard is being filled in again) replaces only what would not answer for every cohort either: somebody
who was a member before the store lost its data is known as one until the store knows it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cohort_store.ports import MembershipReader
from evaluator.reading.breaker import PROBE_AFTER_S, Breaker, BreakerState
from evaluator.reading.coalescing import DEADLINE_S, CoalescingReader, Key, Read, Report
from evaluator.reading.coverage import Coverage
from evaluator.reading.last_known import Known, LastKnown

PROBED_MAX = 64
"""Persons whom a probe asks for: the last for whom the store failed, so that it finds the node that is away."""

Recalled = Callable[[bool], None]
"""Told each time that what was known was asked for, and whether something was."""

Teams = Callable[[int], tuple[Coverage, int]]
"""A team's coverage, and the registry version that it is of."""


class SteadyReader:
    """Reads for one event loop. Never raises for a store that is away, and then takes no longer than `deadline_s`."""

    def __init__(
        self,
        reader: MembershipReader,
        known: LastKnown,
        teams: Teams,
        *,
        report: Report,
        recalled: Recalled,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._coalescing = CoalescingReader(reader, self._called, deadline_s=deadline_s)
        self._known = known
        self._teams = teams
        self._report = report
        self._recalled = recalled
        self._breaker = Breaker()
        self._failed: dict[Key, None] = {}
        self._probing: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> int:
        """Persons who are waited for, or asked for right now."""
        return self._coalescing.under_way

    @property
    def breaker_state(self) -> BreakerState:
        """Whether the store is asked now."""
        return self._breaker.state

    async def read(self, team: int, distinct_id: str, *, with_properties: bool = False) -> Read:
        """The person of a distinct id, what is stored of her, and where that does not answer all, what was known."""
        if self._breaker.state is not BreakerState.CLOSED:
            return self._recall(team, Read(self._coalescing.guess((team, distinct_id)), None))
        read = await self._coalescing.read(team, distinct_id, with_properties=with_properties)
        membership = read.membership
        if membership is None:
            self._note((team, distinct_id))
            return self._recall(team, read)
        coverage, version = self._teams(team)
        if coverage.is_whole(membership):
            self._known.remember(team, read.person, Known(membership, version))
            return read
        before = self._recall(team, read)
        is_better = before.known is None or not coverage.is_whole(before.known.membership)
        if membership.ready is not None and is_better:
            self._known.remember(team, read.person, Known(membership, version))
        return before

    async def close(self) -> None:
        """Stop probing, and let the calls under way end."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        await self._coalescing.close()

    def _recall(self, team: int, read: Read) -> Read:
        known = self._known.recall(team, read.person)
        self._recalled(known is not None)
        return read._replace(known=known)

    def _note(self, key: Key) -> None:
        self._failed[key] = None
        if len(self._failed) > PROBED_MAX:
            del self._failed[next(iter(self._failed))]

    def _called(self, reads: int, failed: bool) -> None:
        self._report(reads, failed)
        if not failed:
            self._breaker.succeeded()
        elif self._breaker.failed():
            self._probing = asyncio.get_running_loop().create_task(self._probe())

    async def _probe(self) -> None:
        """Ask now and then, until an answer has closed the breaker."""
        while True:
            await asyncio.sleep(PROBE_AFTER_S)
            if self._breaker.state is BreakerState.CLOSED:
                break
            self._breaker.probe()
            asking = (self._coalescing.read(*key) for key in tuple(self._failed))
            await asyncio.gather(*asking, return_exceptions=True)
        self._failed.clear()
