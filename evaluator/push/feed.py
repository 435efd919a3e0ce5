"""Where changes of membership come from, and how they reach the hub.

**Reader's rule.** A change says only whom to look at again; the store, which holds every change that was ever
published, says what is true of her. So sequences need not be kept: one that comes twice or late costs a look.
A `reset` has the whole shard looked at, and whenever the feed is attached, everybody is: what came while nobody
listened is made good by that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from cohort_store.changes import RESET, Change, subject_of
from cohort_store.errors import Retry
from evaluator.push.hub import Hub

RETRY_S = 1.0

logger = logging.getLogger(__name__)


class ChangeFeed(Protocol):
    """The changes of membership, of all teams, as they are published."""

    async def attach(self) -> None:
        """Begin at the end: from the return on nothing is missed until a call raises. Raises Retry."""
        ...

    async def batch(self) -> Sequence[Change]:
        """The changes since the call before; may be none, after a short wait.

        Raises Retry where it is not known whether there are more: then `attach` comes again.
        """
        ...

    async def detach(self) -> None:
        """Let go of the connection. Doing it twice, or before `attach`, is harmless."""
        ...


class RememberedFeed:
    """The in-memory twin: changes that are published by hand."""

    def __init__(self) -> None:
        self._waiting: list[Change] = []
        self._is_attached = False
        self._is_away = False
        self._moved = asyncio.Event()

    def publish(self, *changes: Change) -> None:
        """Changes that whoever is attached is told."""
        if self._is_attached:
            self._waiting += changes
        self._moved.set()

    def away(self, is_away: bool) -> None:
        """From now on calls raise Retry; or work again, once attached anew."""
        self._is_away = is_away
        self._moved.set()

    async def attach(self) -> None:
        if self._is_away:
            raise Retry("changes are away")
        self._waiting = []
        self._is_attached = True

    async def batch(self) -> Sequence[Change]:
        if self._is_attached and not self._waiting and not self._is_away:
            self._moved.clear()
            await self._moved.wait()
        if self._is_away or not self._is_attached:
            self._is_attached = False
            raise Retry("changes are away")
        found, self._waiting = self._waiting, []
        return found

    async def detach(self) -> None:
        self._is_attached = False


async def follow(feed: ChangeFeed, hub: Hub) -> None:
    """Carry changes to the hub until cancelled, from the first listener on.

    Why not before: an evaluator that nobody listens to needs no broker.
    """
    await hub.first_listener()
    try:
        while True:
            try:
                await feed.attach()
                hub.changes_live()
                while True:
                    _tell(hub, await feed.batch())
            except Retry as error:
                if hub.status.live or not hub.status.detail:
                    logger.warning("changes of membership cannot be followed, trying again: %s", error)
                hub.changes_away(str(error))
                await asyncio.sleep(RETRY_S)
    finally:
        await feed.detach()


def _tell(hub: Hub, changes: Sequence[Change]) -> None:
    for change in changes:
        if change.status == RESET:
            hub.shard_changed(change.shard)
        else:
            hub.subject_changed(subject_of(change))
