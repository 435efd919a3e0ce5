"""Follows the registry's mirror in the background, and replaces the compiled catalog as a whole."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from cohort_store.errors import MusterError, WrongShards
from cohort_store.ports import RegistryMirror
from cohort_store.registry import check_shards, decode_registry
from evaluator.catalog import Catalog, compile_catalog

POLL_S = 5.0
"""The copy is looked at this often even when nobody announces a change."""

RETRY_S = 0.25
FETCH_DEADLINE_S = 5.0

Report = Callable[[int, int], None]
"""Told of every catalog that takes force: its version, and how many flags of it are unreadable."""

logger = logging.getLogger(__name__)


class RegistryFollower:
    """Holds the newest catalog seen. It never goes back to an older one, nor forgets it when the mirror is away."""

    def __init__(self, mirror: RegistryMirror, report: Report, shards: int) -> None:
        self._shards = shards
        self._mirror = mirror
        self._report = report
        self._raw: bytes | None = None
        self.catalog = Catalog(0)
        self.listeners: list[Callable[[], None]] = []
        """Called whenever another catalog is in force."""
        self.loaded = False
        """Whether the mirror was read once; an empty mirror is an empty catalog."""
        self.refused = ""
        """Why nothing can be answered with the registry that the mirror shows; empty where it can."""

    async def follow(self) -> None:
        """Run until cancelled."""
        troubled = False
        while True:
            try:
                await self.refresh()
                troubled = False
                await self._mirror.changed(POLL_S)
            except (MusterError, TimeoutError) as error:
                if not troubled:
                    logger.warning("the registry's mirror cannot be read, trying again every %s s: %s", RETRY_S, error)
                troubled = True
                await asyncio.sleep(RETRY_S)
            except Exception:
                logger.exception("following the registry failed, version %d stays", self.catalog.version)
                await asyncio.sleep(POLL_S)

    async def refresh(self) -> None:
        """Read the mirror once. A copy that cannot be compiled is logged, and the catalog in force stays.

        Raises what the mirror raises, or TimeoutError.
        """
        async with asyncio.timeout(FETCH_DEADLINE_S):
            raw = await self._mirror.fetch()
        if raw is not None and raw != self._raw:
            self._raw = raw
            try:
                catalog = await asyncio.to_thread(self._compile, raw)
            except WrongShards as error:
                logger.critical("nothing is answered: %s", error)
                self.refused = str(error)
            except (MusterError, msgspec.MsgspecError):
                logger.exception("a registry of %d bytes is unreadable, %d stays", len(raw), self.catalog.version)
            else:
                self.refused = ""
                self._replace(catalog)
        self.loaded = True

    def _compile(self, raw: bytes) -> Catalog:
        registry = decode_registry(raw)
        check_shards(registry, self._shards)
        return compile_catalog(registry)

    def _replace(self, catalog: Catalog) -> None:
        if catalog.version < self.catalog.version:
            logger.warning("registry version %d is older than %d, which stays", catalog.version, self.catalog.version)
            return
        self.catalog = catalog
        for listener in self.listeners:
            listener()
        self._report(catalog.version, sum(len(team.refused) for team in catalog.teams.values()))
        for team in catalog.teams.values():
            for key, problem in team.refused.items():
                logger.error("team %d: flag %s is left out: %s", team.team, key, problem)
