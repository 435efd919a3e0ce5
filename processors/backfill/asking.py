"""What operators ask of the one that fills in, and what it answers: notes beside the registry's mirror.

One run at a time may be asked for (ASKED_NOTE). The note stays until the run has come to its end, so that a process
that takes over knows what it is bound to; how it ended is told by the run's id (ENDED_NOTE). Whoever asked may withdraw
it until it is taken up (TAKEN_NOTE): from then on the registry says that it is asked for. What is under way is
stopped by naming its versions (CANCEL_NOTE): what is asked for after that is not stopped by it.

Both sides are of one release, so that notes need not be readable by older ones.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from processors.backfill.ports import Notes, Reading

ASKED_NOTE = "backfill-again"
TAKEN_NOTE = "backfill-taken"
ENDED_NOTE = "backfill-ended"
CANCEL_NOTE = "backfill-cancel"
PAUSED_NOTE = "backfill-paused"
"""There while it is to rest."""


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """One run that somebody asked for."""

    run: str
    """A random id."""
    handles: tuple[int, ...]
    """The versions whose history is to be filled in."""
    since_ms: int | None = None
    persons_per_s: int | None = None
    max_threads: int | None = None

    @property
    def reading(self) -> Reading:
        """How the history is to be read."""
        return Reading(self.since_ms, self.max_threads)


class Outcome(StrEnum):
    """How a run ended."""

    DONE = "done"
    CANCELLED = "cancelled"


class Ended(msgspec.Struct, frozen=True):
    """The run that ended last."""

    run: str
    outcome: Outcome
    persons: int
    """Who were seeded by then, about where it was cancelled."""


_decode_asked = msgspec.json.Decoder(Asked).decode
_decode_ended = msgspec.json.Decoder(Ended).decode
_decode_handles = msgspec.json.Decoder(frozenset[int]).decode


class Asking:
    """Both sides of it. Every method raises Retry where the notes cannot be reached."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    async def ask(self, asked: Asked) -> None:
        """Ask for a run, in place of any other."""
        await self._notes.keep_note(ASKED_NOTE, msgspec.json.encode(asked))

    async def asked(self) -> Asked | None:
        """The run that is asked for and has not ended."""
        note = await self._notes.note(ASKED_NOTE)
        if note is None:
            return None
        asked = _decode_asked(note)
        ended = await self.ended()
        return asked if ended is None or ended.run != asked.run else None

    async def take(self) -> Asked | None:
        """The run that is asked for, which is taken up by that; None too where it was withdrawn at that very moment."""
        asked = await self.asked()
        if asked is None:
            return None
        await self._notes.keep_note(TAKEN_NOTE, asked.run.encode())
        return asked if await self.asked() == asked else None

    async def is_taken(self, run: str) -> bool:
        """Whether the run was taken up."""
        return await self._notes.note(TAKEN_NOTE) == run.encode()

    async def withdraw(self, asked: Asked) -> bool:
        """Ask for that run no more; whether it could be withdrawn: one that is taken up stays."""
        await self._forget(asked.run)
        if await self.is_taken(asked.run):
            await self.ask(asked)
            return False
        return True

    async def end(self, run: str, outcome: Outcome, persons: int) -> None:
        """Tell how the run ended. In this order: one that ended is never begun once more."""
        await self._notes.keep_note(ENDED_NOTE, msgspec.json.encode(Ended(run, outcome, persons)))
        await self._forget(run)

    async def ended(self) -> Ended | None:
        """The run that ended last, and how."""
        note = await self._notes.note(ENDED_NOTE)
        return None if note is None else _decode_ended(note)

    async def cancel(self, handles: frozenset[int]) -> None:
        """Ask that what is under way for these versions be stopped."""
        await self._notes.keep_note(CANCEL_NOTE, msgspec.json.encode(sorted(handles)))

    async def cancelled(self) -> frozenset[int]:
        """The versions for which it is asked to be stopped."""
        note = await self._notes.note(CANCEL_NOTE)
        return frozenset() if note is None else _decode_handles(note)

    async def forget_cancelled(self) -> None:
        """It is stopped, or could not be."""
        await self._notes.keep_note(CANCEL_NOTE, None)

    async def pause(self, paused: bool) -> None:
        """Let it rest, or go on."""
        await self._notes.keep_note(PAUSED_NOTE, b"1" if paused else None)

    async def is_paused(self) -> bool:
        """Whether it is to rest."""
        return await self._notes.note(PAUSED_NOTE) is not None

    async def _forget(self, run: str) -> None:
        note = await self._notes.note(ASKED_NOTE)
        if note is not None and _decode_asked(note).run == run:
            await self._notes.keep_note(ASKED_NOTE, None)
