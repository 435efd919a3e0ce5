"""The registry's topic, with one history however many think that they may write.

**Rule.** Read from its beginning, a message counts if its version is above that of every one before it; any
other is void. So of two writers that both made version 8 out of 7, the one whose message stands first in the
topic made it, and every reader says so. A writer therefore reads back what it wrote: where somebody else's
message came first, its own is void, and it begins anew from the other's. Versions and handles never go back.

Why not a lease or a fence: the embedded broker has no transactions, and a paused process that wakes up after
its partition moved would write between its own check and its write whatever it checked.
"""

from __future__ import annotations

import msgspec

from cohort_store.errors import Crash
from cohort_store.registry import Registry, decode_registry, encode_registry
from processors.topic_log import LogRecord, TopicLog

KEY = b"registry"
APPLIES_KEPT = 20


class RegistryLog:
    """One process's view of the topic. Not for two tasks at once."""

    def __init__(self, log: TopicLog) -> None:
        self._log = log
        self._current = Registry()
        self._last_is_void = False
        self._recent: dict[str, Registry] = {}

    @property
    def current(self) -> Registry:
        """The newest registry read; version 0 where there is none."""
        return self._current

    @property
    def last_is_void(self) -> bool:
        """Whether a void message stands last: the topic's compaction would keep that one alone."""
        return self._last_is_void

    async def catch_up(self) -> Registry:
        """The registry, once the topic has been read to its end. Raises Retry."""
        for record in await self._log.read_to_end():
            self._take(record)
        return self._current

    async def tail(self, timeout_s: float) -> None:
        """Read on, waiting for more at most that long. Raises Retry."""
        for record in await self._log.read(timeout_s):
            self._take(record)

    def find(self, applied: str) -> Registry | None:
        """The newest registry read that names this apply as its last, among those of the last applies."""
        return self._recent.get(applied)

    async def write(self, registry: Registry) -> bool:
        """Append it; whether it counts. Where it does not, `current` is what came before it. Raises Retry."""
        await self._log.append([(KEY, encode_registry(registry))])
        return await self.catch_up() == registry

    def _take(self, record: LogRecord) -> None:
        if record.key != KEY or record.value is None:
            return
        try:
            registry = decode_registry(record.value)
        except msgspec.MsgspecError as error:
            raise Crash(
                f"message {record.offset} of the registry's topic is no registry ({error}); "
                "was it written by a newer version?"
            ) from error
        self._last_is_void = registry.version <= self._current.version
        if not self._last_is_void:
            self._current = registry
            self._recent[registry.applied] = registry
            if len(self._recent) > APPLIES_KEPT:
                del self._recent[next(iter(self._recent))]
