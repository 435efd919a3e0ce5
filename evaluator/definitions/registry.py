"""Follows the definitions in the background, and replaces the compiled catalog as a whole.

They come from several sources, each followed for itself: Redis' mirror, the topic `muster.registry`, and at the start
the snapshot file. The newest counts, and none goes back to an older one; except that the snapshot is believed only
until another source has a registry: an installation that was made anew begins with version 1 again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from cohort_store.clocks import Clock, SystemClock
from cohort_store.errors import MusterError, WrongShards
from cohort_store.registry import check_shards, decode_registry
from evaluator.definitions.catalog import Catalog, compile_catalog
from evaluator.definitions.snapshot import Snapshot, SnapshotFile
from evaluator.reading.coverage import Coverage

POLL_S = 5.0
"""A source is looked at this often even when it announces no change."""

RETRY_S = 0.25
RETRY_S_MAX = 5.0
"""Between two tries of a source that is away: the first, doubled up to the second."""
FETCH_DEADLINE_S = 10.0

MIRROR = "mirror"
SNAPSHOT = "snapshot"

Report = Callable[[int, int], None]
"""Told of every catalog that takes force: its version, and how many flags of it are unreadable."""

logger = logging.getLogger(__name__)


class RegistrySource(Protocol):
    """Where definitions come from. Raises MusterError where it cannot be asked."""

    async def fetch(self) -> bytes | None:
        """The newest registry that it has; None where it has none."""
        ...

    async def changed(self, timeout_s: float) -> bool:
        """Wait until it has a newer one than was fetched last, at most about so long; whether it has."""
        ...


class RegistryFollower:
    """Holds the newest catalog seen. It never forgets it when every source is away."""

    def __init__(
        self,
        mirror: RegistrySource,
        report: Report,
        shards: int,
        *,
        others: Mapping[str, RegistrySource] | None = None,
        snapshot: SnapshotFile | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._shards = shards
        self._mirror = mirror
        self._others = dict(others or {})
        self._report = report
        self._file = snapshot
        self._clock = clock or SystemClock()
        self._raw: dict[str, bytes] = {}
        self._refused: dict[str, str] = {}
        self._in_force = b""
        self._saved: Snapshot | None = None
        self._saving = asyncio.Lock()
        self._save_failed = False
        self._confirmed_ms = 0
        self.catalog = Catalog(0)
        self.origin = ""
        """The source of the catalog in force; empty before there is one."""
        self.listeners: list[Callable[[], None]] = []
        """Called whenever another catalog is in force."""
        self.loaded = False
        """Whether some source was read once; an empty mirror is an empty catalog."""

    @property
    def refused(self) -> str:
        """Why nothing can be answered with the registry that a source shows; empty where it can."""
        return next(iter(self._refused.values()), "")

    def coverage(self, team: int) -> tuple[Coverage, int]:
        """What the team's cohorts need of a shard, and the registry version that says so."""
        return self.catalog.team(team).coverage, self.catalog.version

    def snapshot_age_s(self) -> float:
        """How long ago the snapshot file was known to hold what is in force; -1: nothing is written down."""
        if self._saved is None:
            return -1.0
        return max(0, self._clock.now_ms() - max(self._saved.saved_ms, self._confirmed_ms)) / 1_000

    async def restore(self) -> None:
        """Put the snapshot in force, where there is one that is whole; else say what is wrong with it."""
        if self._file is None:
            return
        try:
            saved = await asyncio.to_thread(self._file.load)
        except (MusterError, OSError) as error:
            logger.error("definitions cannot be taken from the snapshot: %s", error)  # noqa: TRY400 - the message says all
            return
        if saved is not None and await self._take(SNAPSHOT, saved.raw):
            self._saved = saved
            self.loaded = True

    async def follow(self) -> None:
        """Run until cancelled."""
        sources = {MIRROR: self._mirror, **self._others}
        await asyncio.gather(*(self._follow(name, source) for name, source in sources.items()))

    async def refresh(self) -> None:
        """Read the mirror once. A copy that cannot be compiled is logged, and the catalog in force stays.

        Raises what the mirror raises, or TimeoutError.
        """
        await self._refresh(MIRROR, self._mirror)

    async def _follow(self, name: str, source: RegistrySource) -> None:
        pause_s = RETRY_S
        while True:
            try:
                await self._refresh(name, source)
                if pause_s > RETRY_S:
                    logger.info("definitions: the %s can be read again", name)
                pause_s = RETRY_S
                await source.changed(POLL_S)
            except (MusterError, TimeoutError) as error:
                if pause_s == RETRY_S:
                    said = str(error) or f"no answer within {FETCH_DEADLINE_S:g} s"
                    logger.warning("definitions: the %s cannot be read, and is tried again and again: %s", name, said)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_S_MAX)
            except Exception:
                logger.exception("following the %s failed, version %d stays", name, self.catalog.version)
                await asyncio.sleep(POLL_S)

    async def _refresh(self, name: str, source: RegistrySource) -> None:
        async with asyncio.timeout(FETCH_DEADLINE_S):
            raw = await source.fetch()
        if raw is not None and raw != self._raw.get(name):
            self._raw[name] = raw
            await self._take(name, raw)
        self.loaded = True
        if self._raw.get(name) == self._in_force:
            await self._write_down()

    async def _take(self, name: str, raw: bytes) -> bool:
        """Put a registry in force, unless what is in force is newer or the same; whether it is in force then."""
        if raw == self._in_force:
            self.origin = name if self.origin == SNAPSHOT else self.origin
            return True
        try:
            catalog = await asyncio.to_thread(self._compile, raw)
        except WrongShards as error:
            logger.critical("nothing is answered: %s", error)
            self._refused[name] = str(error)
        except (MusterError, msgspec.MsgspecError):
            logger.exception("a registry of %d bytes is unreadable, %d stays", len(raw), self.catalog.version)
        else:
            self._refused.pop(name, None)
            self._refused.pop(SNAPSHOT, None)
            return self._replace(catalog, raw, name)
        return False

    async def _write_down(self) -> None:
        """See that the file holds what is in force, which a source has just said."""
        if self._file is None:
            return
        async with self._saving:
            now_ms = self._clock.now_ms()
            if self._saved is None or self._saved.raw != self._in_force:
                fresh = Snapshot(self._in_force, now_ms)
                try:
                    await asyncio.to_thread(self._file.save, fresh)
                except OSError as error:
                    if not self._save_failed:
                        logger.warning(
                            "no snapshot of the definitions can be written to %s: %s", self._file.path, error
                        )
                    self._save_failed = True
                    return
                self._saved, self._save_failed = fresh, False
            self._confirmed_ms = now_ms

    def _compile(self, raw: bytes) -> Catalog:
        registry = decode_registry(raw)
        check_shards(registry, self._shards)
        return compile_catalog(registry)

    def _replace(self, catalog: Catalog, raw: bytes, name: str) -> bool:
        if catalog.version < self.catalog.version and self.origin != SNAPSHOT:
            logger.warning("registry version %d is older than %d, which stays", catalog.version, self.catalog.version)
            return False
        self.catalog, self.origin, self._in_force = catalog, name, raw
        for listener in self.listeners:
            listener()
        self._report(catalog.version, sum(len(team.refused) for team in catalog.teams.values()))
        for team in catalog.teams.values():
            for key, problem in team.refused.items():
                logger.error("team %d: flag %s is left out: %s", team.team, key, problem)
        return True
