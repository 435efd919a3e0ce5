"""In whose place a person came: for flags with `ensure_experience_continuity`, the id that decides her share.

Somebody who is identified goes on with the values that she had by her anonymous id, on every device from then on. The
first request that brings both ids keeps the anonymous one for her, flag by flag; what is kept is never replaced, so
that her values do not change by themselves. It is let go when nobody asked for it for as long as the store keeps it.

Two adapters stand behind the port: the twin below and `redis/hash_keys.py`; one contract suite holds them to the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from cohort_store.errors import Retry
from cohort_store.subjects import Subject

HashKeys = Mapping[str, str]
"""By flag, the id in whose place a person came."""


class HashKeyStore(Protocol):
    """For any number of readers and writers. Every method raises Retry where the store cannot be reached."""

    async def read(self, subjects: Sequence[Subject]) -> list[HashKeys]:
        """What is kept of each subject, in that order, in one round trip; empty where nothing is."""
        ...

    async def keep(self, subject: Subject, keys: HashKeys) -> HashKeys:
        """Keep these for her where nothing is kept yet, and return all that is kept of her then. Idempotent."""
        ...

    async def forget(self, subjects: Sequence[Subject]) -> None:
        """Let go of all that is kept of these subjects."""
        ...


class MemoryHashKeys:
    """The twin. `unreachable` makes every call fail until it is false again."""

    def __init__(self) -> None:
        self._kept: dict[Subject, dict[str, str]] = {}
        self.unreachable = False

    async def read(self, subjects: Sequence[Subject]) -> list[HashKeys]:
        self._reach()
        return [dict(self._kept.get(subject, {})) for subject in subjects]

    async def keep(self, subject: Subject, keys: HashKeys) -> HashKeys:
        self._reach()
        kept = {**keys, **self._kept.get(subject, {})}
        if kept:
            self._kept[subject] = kept
        return dict(kept)

    async def forget(self, subjects: Sequence[Subject]) -> None:
        self._reach()
        for subject in subjects:
            self._kept.pop(subject, None)

    async def aclose(self) -> None:
        """There is nothing to close."""

    def _reach(self) -> None:
        if self.unreachable:
            raise Retry("unreachable, as asked for")
