"""The flow: wait for live events to count, wait for the history to hold the rest, read it, seed it, wait till folded.

**Nothing is missed between the two.** Routers tell, with their marks, from which offset of each source partition on
they read with the registry that has the new versions (the *activation*). Live events count from there; the history is
read once it holds everything before. What both have is the same entry twice.

**Seeds are pruned at an instant that every shard has passed**, and a little before, since a pruned state answers from
its instant on: a store that lost its last seconds is then still behind it.

**Live events wait for few seeds at a time**: those go into the same topic, of few shards, and the next are sent when
owners have folded them, and had a rest from it; where none come in, owners have the next ones before (pace.py).

**Whose each distinct id is** goes before a team's first seeds: what told it came, as a rule, before anything was
defined that routers would have read it for.

What was sent is noted, part by part, and within a part every `gathered_max` persons: they come in order of their
place. A process that takes over goes on behind that; who is sent twice changes nothing. A part that is too large to be
read at once is halved, and so are those after it.

**Whoever cancels it** (asking.py) stops it before the next piece, or in the midst of a wait, within LOOK_S and what is
being sent. Seeds that were sent are true, and stay. Shards that began anew are not left alone: nothing else would ever
make them whole.

**Shards that began anew** (their store lost them, or the topic of deltas is another one) get everything again in the
same way: all versions, and whose each distinct id is. Behind the seeds, in the same topic, they are told that they are
whole; one that began anew once more in the meantime is not.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from time import monotonic
from typing import NamedTuple, TypeVar

import msgspec

from cohort_store.clocks import Clock
from cohort_store.deltas import Restored
from cohort_store.errors import Retry
from cohort_store.ports import MembershipReader, Position
from cohort_store.registry import Registry
from cohort_store.subjects import shard_of
from processors.backfill.asking import Asked, Asking, Outcome
from processors.backfill.owners import LOOK_S, AnotherTopic, Owners
from processors.backfill.pace import Pace
from processors.backfill.parts import HALVINGS_MAX, done, halved, next_part, sent_up_to
from processors.backfill.ports import (
    Activations,
    Archived,
    FillingStatus,
    History,
    Notes,
    Pair,
    Reading,
    Seed,
    SeedLog,
    TooLarge,
)
from processors.backfill.seeds import GATHERED_MAX, Placed, by_shards, delta_of, delta_of_pair
from processors.backfill.turns import Filled, began_anew, filled, next_turn
from processors.backfill.wanted import Wanted, wanted
from processors.router.packing import Packer, restored_messages
from processors.router.progress import Source

NOTE = "backfill"
UNTIL_RESUMED = "muster backfill resume"
"""What it waits for while it is to rest."""
READ_S_MAX = 600.0
"""What was read longer ago is read once more before more of it is sent: some of it may not be so any longer."""
ASKED_S = 0.1
"""Whether it is to rest is not asked for each of many small pieces."""

_decode = msgspec.json.Decoder(FillingStatus).decode
_Row = TypeVar("_Row")
_T = TypeVar("_T")


Remind = Callable[[Mapping[int, Position]], Awaitable[None]]


async def _of_nothing(positions: Mapping[int, Position]) -> None:
    """Shards have nothing but what the history tells."""


class _Stopped(Exception):
    """Somebody asks that it be cancelled."""


class FillingParts(NamedTuple):
    """What it is made of."""

    history: History
    activations: Activations
    archived: Archived
    deltas: SeedLog
    notes: Notes
    reader: MembershipReader
    clock: Clock
    """The wall's: by it, what feeds the history takes its time."""
    shards: int
    partitions: int
    part_persons: int
    """Persons of whom the history is reduced at a time, about."""
    gathered_max: int = GATHERED_MAX
    """Persons who are sorted by their shards at a time, about."""
    elapsed_s: Callable[[], float] = monotonic
    """A monotonic clock."""


class FillingIn:
    """See the module's docstring. Not for two tasks at once."""

    def __init__(self, parts: FillingParts) -> None:
        self._parts = parts
        self.asking = Asking(parts.notes)
        self._owners = Owners(parts.reader, parts.deltas, parts.shards, parts.partitions, parts.elapsed_s)
        self._status = FillingStatus(0, ())
        self._unfolded: list[tuple[Mapping[int, int], set[int]]] = []
        """The pieces that were sent and not waited for: behind which offsets, and the shards of each."""
        self._ask_at_s = 0.0
        self._history, self._pace = parts.history, Pace()
        self._lost_for_good: Mapping[int, int] = {}
        """Shards that began anew while there is no history to fill in."""
        self.has_history: bool | None = None
        """Whether there was one at the last look; None before the first."""
        self._whole_version = 0
        """The registry version of which nothing lacks its history."""

    async def fill(self, registry: Registry, asked: Asked | None = None, remind: Remind = _of_nothing) -> Filled:
        """Fill in what versions of the registry and shards lack, or else what the run that is asked for is for.

        Returns when every shard has folded all of it, and with nothing where there is no history, or where somebody
        asks that it be cancelled. Raises Retry; what was sent by then is noted. `remind` sends shards that began anew,
        by the very positions that say so, what else they lost; that is in front of what tells them that they are whole.
        """
        self._status, self._unfolded = FillingStatus(registry.version, ()), []
        try:
            began = began_anew(positions := await self._owners.positions(self._look))
            if began:
                await remind(positions)
            self.has_history = self.has_history or await self._unless_stopped(self._parts.history.is_there())
            return await self._fill(registry, began, asked) if self.has_history else Filled()
        except _Stopped:
            return Filled()

    async def _fill(self, registry: Registry, began: Mapping[int, int], asked: Asked | None) -> Filled:
        if began == self._lost_for_good:
            began = {}
        if not began and registry.version == self._whole_version:
            return filled({}, asked)
        teams, run = next_turn(registry, asked, all_of_it=bool(began))
        handles = tuple(sorted(handle for team in teams for handle in team.handles))
        if not handles:
            self._whole_version = registry.version
            return filled({}, asked)
        asking = [team for team in teams if began or not team.asks_nothing]
        begins: dict[int, int | None] = dict.fromkeys(handles)
        is_everywhere = True
        if asking:
            reading = run.reading if run else Reading()
            self._history = self._parts.history.read_as(reading._replace(hurries=bool(began)))
            self._pace = Pace(run.persons_per_s if run else None, hurries=bool(began))
            await self._begin(registry, handles, began, run)
            # A version that awaits its history awaits it in every shard.
            only = None if any(wanted(registry)) else frozenset(began)
            is_everywhere = only is None or len(only) == self._parts.shards
            for team in asking:
                begins_ms = await self._unless_stopped(self._history.begins_ms(team.team))
                begins.update(dict.fromkeys(team.handles, begins_ms))
                if begins_ms is not None:
                    await self._fill_team(team, registry.version, only)
            await self._until_folded(dict(self._status.behind))
            if began:
                await self._tell_whole(registry.version, began, begins)
        await self._parts.notes.keep_note(NOTE, None)
        return filled(begins if is_everywhere else {}, run, self._status.persons)

    async def forget_cancelled(self, handles: Collection[int]) -> None:
        """Once the registry leaves these versions as they are: forget what was under way for them. Raises Retry."""
        status, asked = await self.noted(), await self.asking.asked()
        if status is not None and not status.restores and not set(status.handles).isdisjoint(handles):
            await self._parts.notes.keep_note(NOTE, None)
        if asked is not None and not set(asked.handles).isdisjoint(handles):
            persons = status.persons + status.of_part if status is not None and status.run == asked.run else 0
            await self.asking.end(asked.run, Outcome.CANCELLED, persons)
        await self.asking.forget_cancelled()

    async def noted(self) -> FillingStatus | None:
        """How far it has come; None where there is nothing to do. Raises Retry."""
        return await noted_status(self._parts.notes)

    async def _tell_whole(
        self, registry_version: int, began: Mapping[int, int], begins: Mapping[int, int | None]
    ) -> None:
        """Tell shards that they lack nothing; not where events came and none is in the history."""
        if any(offset for _, _, offset in self._status.activations) and not any(begins.values()):
            self._lost_for_good = began
            return
        whole = [Restored(shard, warm_from_ms) for shard, warm_from_ms in began.items()]
        messages = restored_messages(registry_version, whole, self._parts.partitions)
        await self._until_folded(await self._parts.deltas.send(messages))

    async def _begin(
        self, registry: Registry, handles: tuple[int, ...], began: Mapping[int, int], run: Asked | None
    ) -> None:
        """Go on where the note says, or wait until live events count and the history holds the rest."""
        restores = tuple(sorted(began.items()))
        fresh = FillingStatus(registry.version, handles, restores, run=run.run if run else "")
        status = await self.noted()
        if status is not None:
            is_same = (status.handles, status.restores, status.run) == (fresh.handles, fresh.restores, fresh.run)
            if is_same and status.activations and await self._owners.is_same_topic(dict(status.behind)):
                # The process before may have rested; and sent some more of the part that was under way.
                self._status = msgspec.structs.replace(status, waits_for="", of_part=status.before)
                return
            if is_same and not status.activations and status.registry_version == registry.version:
                fresh = msgspec.structs.replace(fresh, since_ms=status.since_ms)
        waits_for = "routers to read with the new definitions"
        await self._note(msgspec.structs.replace(fresh, waits_for=waits_for))
        sources = map(Source._make, registry.partitions())
        activations = await self._unless_stopped(self._parts.activations.of(registry.version, sources))
        if not fresh.since_ms:
            fresh = msgspec.structs.replace(fresh, since_ms=self._parts.clock.now_ms())
        while waits_for := await self._parts.archived.awaited(activations, fresh.since_ms):
            await self._note(msgspec.structs.replace(fresh, waits_for=waits_for))
            await self._look()
            await asyncio.sleep(LOOK_S)
        places = tuple((source.topic, source.partition, offset) for source, offset in sorted(activations.items()))
        await self._note(msgspec.structs.replace(fresh, activations=places))

    async def _fill_team(self, team: Wanted, registry_version: int, only: frozenset[int] | None) -> None:
        status = self._status
        if status.team > team.team:
            return
        if status.team < team.team:
            known = await self._unless_stopped(self._history.persons(team.team))
            parts = -(-known // self._parts.part_persons) or 1
            await self._note(
                msgspec.structs.replace(status, team=team.team, part=0, parts=parts, halvings=0, known=known)
            )
        is_begun = self._status.part or self._status.begins
        if (status.restores or team.is_first) and not is_begun:
            async with aclosing(self._history.pairs(team.team)) as pairs:
                await self._send(self._of_pairs(pairs, team.team), registry_version, only)
        while self._status.part < self._status.parts:
            await self._fill_part(team, registry_version, only)

    async def _fill_part(self, team: Wanted, registry_version: int, only: frozenset[int] | None) -> None:
        """Fill in the next part, or a share of it where it is too large. A halving that did not help is not noted."""
        tried, trouble = self._status, None
        while tried.halvings <= HALVINGS_MAX:
            self._status = msgspec.structs.replace(self._status, of_part=tried.before)
            try:
                persons = await self._seed(team, tried, registry_version, only)
            except TooLarge as error:
                tried, trouble = halved(tried), error
                continue
            if persons is None:
                tried = self._status
            else:
                await self._note(msgspec.structs.replace(done(tried, persons), behind=self._status.behind))
                return
        few = max(1, self._parts.part_persons >> HALVINGS_MAX)
        raise Retry(
            f"the history of about {few} persons at a time still takes more memory than MUSTER_BACKFILL_MEMORY_BYTES "
            f"allows: raise it ({trouble})"
        )

    async def _seed(
        self, team: Wanted, tried: FillingStatus, registry_version: int, only: frozenset[int] | None
    ) -> int | None:
        """Send what is to be kept of the persons of the part that comes next. Of how many; None: see `_send`."""
        if team.asks_nothing:
            return 0
        pruned_ms = await self._owners.pruned_ms(self._look)
        async with aclosing(self._history.seeds(team, pruned_ms, next_part(tried))) as seeds:
            return await self._send(self._of_seeds(seeds, team.team, pruned_ms), registry_version, only, tried)

    async def _of_seeds(
        self, blocks: AsyncGenerator[Sequence[Seed], None], team: int, pruned_ms: int
    ) -> AsyncIterator[Placed]:
        async for block in self._read(blocks):
            began_s = self._parts.elapsed_s()
            deltas = [delta_of(team, seed, pruned_ms) for seed in block]
            # The core may be one that live events need too.
            await asyncio.sleep(self._pace.rest_s(self._parts.elapsed_s() - began_s))
            yield Placed(deltas, block[-1].place)

    async def _of_pairs(self, blocks: AsyncGenerator[Sequence[Pair], None], team: int) -> AsyncIterator[Placed]:
        async for block in self._read(blocks):
            yield Placed([delta_of_pair(team, pair) for pair in block])

    async def _read(self, blocks: AsyncGenerator[Sequence[_Row], None]) -> AsyncIterator[Sequence[_Row]]:
        while (block := await self._unless_stopped(anext(blocks, None))) is not None:
            yield block

    async def _send(
        self,
        blocks: AsyncIterator[Placed],
        registry_version: int,
        only: frozenset[int] | None,
        tried: FillingStatus | None = None,
    ) -> int | None:
        """Send deltas at the pace at which owners fold them, those of some shards or of all. How many there were.

        Where they are a part's, those before this process are counted too, and how far it has come in `tried` is noted.
        None: what is left of the part was read too long ago, and is to be read once more.
        """
        parts, count = self._parts, tried.before if tried else 0
        began_s = noted_s = parts.elapsed_s()
        behind = dict(self._status.behind)
        pieces = by_shards(blocks, parts.shards, parts.partitions, lambda: self._pace.piece_persons, parts.gathered_max)
        async for deltas, place in pieces:
            packer, of_piece = Packer(parts.shards, parts.partitions), set[int]()
            for delta in deltas:
                shard = shard_of(delta.subject, parts.shards)
                if only is None or shard in only:
                    packer.add(delta)
                    of_piece.add(shard)
            await self._until_free()
            sent_s = parts.elapsed_s()
            self._pace.take(packer.count, sent_s)
            messages = packer.seeds(registry_version)
            sent = await parts.deltas.send(messages)
            self._pace.traffic.sent(sent, Counter(message.partition for message in messages), parts.elapsed_s())
            behind.update(sent)
            count += packer.count
            # Those alone that had something to fold: the others tell where they are twice a second.
            self._unfolded.append((sent, of_piece))
            while len(self._unfolded) > self._pace.pieces_ahead:
                await self._until_folded(*self._unfolded.pop(0))
            await asyncio.sleep(self._pace.rest_s(parts.elapsed_s() - sent_s))
            if tried is not None and place is not None:
                await self._note(sent_up_to(tried, place, count, behind))
                if parts.elapsed_s() - began_s >= READ_S_MAX:
                    return None
            elif tried is not None and parts.elapsed_s() - noted_s >= LOOK_S:
                noted_s = parts.elapsed_s()
                await self._note(msgspec.structs.replace(self._status, of_part=count))
        self._status = msgspec.structs.replace(self._status, behind=tuple(sorted(behind.items())))
        return count

    async def _until_free(self) -> None:
        """Wait while it is to rest, and as long as its pace demands. Raises _Stopped."""
        if self._parts.elapsed_s() < self._ask_at_s and not self._pace.wait_s(self._parts.elapsed_s()):
            return
        status = self._status
        while True:
            await self._look()
            is_paused = await self.asking.is_paused()
            waits_for = UNTIL_RESUMED if is_paused else ""
            await self._note(msgspec.structs.replace(status, waits_for=waits_for))
            wait_s = LOOK_S if is_paused else self._pace.wait_s(self._parts.elapsed_s())
            if not wait_s:
                self._ask_at_s = self._parts.elapsed_s() + ASKED_S
                return
            await asyncio.sleep(min(wait_s, LOOK_S))

    async def _look(self) -> None:
        """Raise _Stopped where somebody asks that it be cancelled."""
        if not self._status.restores and await self.asking.cancelled():
            raise _Stopped

    async def _unless_stopped(self, waiting: Awaitable[_T]) -> _T:
        """What another takes its time for. Raises _Stopped."""
        task = asyncio.ensure_future(waiting)
        try:
            while not (await asyncio.wait([task], timeout=LOOK_S))[0]:
                await self._look()
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    async def _until_folded(self, behind: Mapping[int, int], shards: Collection[int] | None = None) -> None:
        try:
            await self._owners.until_folded(behind, shards, self._look)
        except AnotherTopic:
            await self._parts.notes.keep_note(NOTE, None)
            raise

    async def _note(self, status: FillingStatus) -> None:
        if status != self._status:
            self._status = status
            await self._parts.notes.keep_note(NOTE, msgspec.json.encode(status))


async def noted_status(notes: Notes) -> FillingStatus | None:
    """How far the filling in has come that was noted; None where there is none. Raises Retry."""
    noted = await notes.note(NOTE)
    return None if noted is None else _decode(noted)
