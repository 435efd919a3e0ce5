"""One turn of filling history in: what was asked and cancelled goes into the registry, and so does what came of it.

The registry is changed first, and notes go after that. So a process that takes over in between takes the same step
again, which changes nothing then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cohort_store.registry import Registry
from processors.backfill.asking import Outcome
from processors.backfill.filling_in import FillingIn, Remind
from processors.control.life import asked_again, filled_in, left_as_it_is


class Changing(Protocol):
    """The registry, and the one way by which it changes."""

    @property
    def registry(self) -> Registry:
        """The newest one that is known."""
        ...

    async def change(self, step: Callable[[Registry], Registry]) -> bool:
        """Put the step in force; whether there was anything to change. Raises Retry."""
        ...


async def fill_in(registries: Changing, backfill: FillingIn, remind: Remind) -> None:
    """One turn, from what is asked for to what is said of it. Raises Retry."""
    await stop_what_is_cancelled(registries, backfill)
    asked = await backfill.asking.take()
    if asked is not None:
        await registries.change(asked_again(asked.handles))
    filled = await backfill.fill(registries.registry, asked, remind)
    if filled.begins_ms:
        await registries.change(filled_in(filled.begins_ms, filled.since_ms))
    if filled.run:
        await backfill.asking.end(filled.run, Outcome.DONE, filled.persons)
    await stop_what_is_cancelled(registries, backfill)


async def stop_what_is_cancelled(registries: Changing, backfill: FillingIn) -> None:
    """Leave those versions as they are, and forget what was under way for them. Raises Retry."""
    handles = await backfill.asking.cancelled()
    if handles:
        await registries.change(left_as_it_is(handles))
        await backfill.forget_cancelled(handles)
