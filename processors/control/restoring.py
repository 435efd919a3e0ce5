"""Faust's restoring of tables, mended: the signal that it is over cannot be missed.

Faust 0.15 sets that signal and takes it back before anything else runs, also when the task that needs it is not
waiting yet: a short changelog on a busy machine then leaves the app waiting for ever, with nothing read any more.
"""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import Literal

from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery

LOOK_S = 0.05


class _Restored(asyncio.Event):
    """Over as soon as Recovery says that it is not restoring, whenever that was said."""

    def __init__(self, recovery: Recovery) -> None:
        super().__init__()
        self._recovery = recovery

    async def wait(self) -> Literal[True]:
        while self._recovery.in_recovery:
            await asyncio.sleep(LOOK_S)
        return True


class _Recovery(Recovery):
    @cached_property
    def signal_recovery_end(self) -> asyncio.Event:
        return _Restored(self)


class Tables(TableManager):
    """Faust's manager of tables, with that signal."""

    @property
    def recovery(self) -> Recovery:
        """The service that restores tables from their changelogs."""
        if self._recovery is None:
            self._recovery = _Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
