"""The flow: wait for live events to count, wait for the history to hold the rest, read it, seed it, wait till folded.

**Nothing is missed between the two.** Routers tell, with their marks, from which offset of each source partition on
they read with the registry that has the new versions (the *activation*). Live events count from there; the history is
read once it holds everything before. What both have is the same entry twice.

**Seeds are pruned at an instant that every shard has passed**, and a little before, since a pruned state answers from
its instant on: a store that lost its last seconds is then still behind it.

**Live events wait for no more than PIECE_PERSONS seeds**: those go into the same topic, and the next are sent when
every owner has folded the ones before the last. So owners who are busy slow this down, and it slows them by a bounded
share.

**Whose each distinct id is** goes before a team's first seeds: what told it came, as a rule, before anything was
defined that routers would have read it for.

What was sent is noted part by part. A process that takes over goes on with the first part that is not done; a part
that is sent twice changes nothing.

**Shards that began anew** (their store lost them, or the topic of deltas is another one) get everything again in the
same way: all versions, and whose each distinct id is. Behind the seeds, in the same topic, they are told that they are
whole; one that began anew once more in the meantime is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing
from time import monotonic
from typing import NamedTuple, TypeVar

import msgspec

from cohort_store.deltas import PERSON_REGISTER, Delta, RegisterWrite, Restored
from cohort_store.errors import Retry
from cohort_store.ports import MembershipReader, Position
from cohort_store.registry import Registry
from cohort_store.subjects import DISTINCT_ID, PERSON, Subject, shard_of
from processors.backfill.ports import (
    Activations,
    Archived,
    FillingStatus,
    History,
    Notes,
    Pair,
    Part,
    Seed,
    SeedLog,
)
from processors.backfill.wanted import Wanted, wanted
from processors.kafka.topics import DELTAS
from processors.router.packing import Packer, restored_messages
from processors.router.progress import Source

NOTE = "backfill"
AGAIN_NOTE = "backfill-again"
"""Handles of versions, as JSON, whose history is asked for once more."""
PAUSED_NOTE = "backfill-paused"
"""There while it is to rest."""
PIECE_PERSONS = 1_000
PRUNED_BEFORE_MS = 60_000
"""How long before the slowest shard's now seeds are pruned: more than a failover of the store loses."""
LOOK_S = 0.5
FOLDED_LOOK_S = 0.01
TOPIC_LOOK_S = 5.0

_decode = msgspec.json.Decoder(FillingStatus).decode
_Row = TypeVar("_Row")


class FillingParts(NamedTuple):
    """What it is made of."""

    history: History
    activations: Activations
    archived: Archived
    deltas: SeedLog
    notes: Notes
    reader: MembershipReader
    shards: int
    partitions: int
    part_persons: int
    """Persons of whom the history is reduced at a time, about."""


class FillingIn:
    """See the module's docstring. Not for two tasks at once."""

    def __init__(self, parts: FillingParts) -> None:
        self._parts = parts
        self._status = FillingStatus(0, ())
        self._lost_for_good: Mapping[int, int] = {}
        """Shards that began anew while there is no history to fill in."""
        self.has_history: bool | None = None
        """Whether there was one at the last look; None before the first."""
        self._whole_version = 0
        """The registry version of which nothing lacks its history."""

    async def fill(self, registry: Registry) -> dict[int, int | None]:
        """Fill in what versions of the registry and shards lack.

        By handle, where the history of each version begins that was filled in; None: nowhere. Returns when every shard
        has folded all of it, and at once with nothing where there is no history. Raises Retry; what was sent by then is
        noted.
        """
        self.has_history = self.has_history or await self._parts.history.is_there()
        if not self.has_history:
            return {}
        began = _began(await self._positions())
        if began == self._lost_for_good:
            began = {}
        if not began and registry.version == self._whole_version:
            return {}
        teams = wanted(registry, all_of_it=bool(began))
        handles = tuple(sorted(handle for team in teams for handle in team.handles))
        if not handles:
            self._whole_version = registry.version
            return {}
        asking = [team for team in teams if began or not team.asks_nothing]
        begins: dict[int, int | None] = dict.fromkeys(handles)
        if asking:
            await self._begin(registry, handles, began)
            # A version that lacks its history lacks it in every shard.
            only = None if any(wanted(registry)) else frozenset(began)
            for team in asking:
                begins_ms = await self._parts.history.begins_ms(team.team)
                begins.update(dict.fromkeys(team.handles, begins_ms))
                if begins_ms is not None:
                    await self._fill_team(team, registry.version, only)
            await self._until_folded(dict(self._status.behind))
            if began:
                await self._tell_whole(registry.version, began, begins)
        await self._parts.notes.keep_note(NOTE, None)
        return begins

    async def asked_again(self) -> frozenset[int]:
        """The versions whose history is asked for once more; they are asked for once by that. Raises Retry."""
        asked = await self._parts.notes.note(AGAIN_NOTE)
        if asked is None:
            return frozenset()
        await self._parts.notes.keep_note(AGAIN_NOTE, None)
        return frozenset(msgspec.json.decode(asked, type=list[int]))

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

    async def _begin(self, registry: Registry, handles: tuple[int, ...], began: Mapping[int, int]) -> None:
        """Go on where the note says, or wait until live events count and the history holds the rest."""
        fresh = FillingStatus(registry.version, handles, tuple(sorted(began.items())))
        status = await self.noted()
        if status is not None:
            is_same = (status.handles, status.restores) == (fresh.handles, fresh.restores)
            if is_same and status.activations and await self._is_same_topic(dict(status.behind)):
                # The process before may have rested.
                self._status = msgspec.structs.replace(status, waits_for="")
                return
        waits_for = "routers to read with the new definitions"
        await self._note(msgspec.structs.replace(fresh, waits_for=waits_for))
        activations = await self._parts.activations.of(registry.version, map(Source._make, registry.partitions()))
        while missing := await self._parts.archived.missing(activations):
            source, count = max(missing.items(), key=lambda each: each[1])
            waits_for = f"the archive of {source.topic}/{source.partition}, {count} messages behind"
            await self._note(msgspec.structs.replace(fresh, waits_for=waits_for))
            await asyncio.sleep(LOOK_S)
        places = tuple((source.topic, source.partition, offset) for source, offset in sorted(activations.items()))
        await self._note(msgspec.structs.replace(fresh, activations=places))

    async def _fill_team(self, team: Wanted, registry_version: int, only: frozenset[int] | None) -> None:
        status = self._status
        if status.team > team.team:
            return
        if status.team < team.team:
            persons = await self._parts.history.persons(team.team)
            parts = -(-persons // self._parts.part_persons) or 1
            await self._note(msgspec.structs.replace(status, team=team.team, part=0, parts=parts))
        if status.restores or team.is_first:
            async with aclosing(self._parts.history.pairs(team.team)) as pairs:
                await self._send(_of_pairs(pairs, team.team), registry_version, only)
        for number in range(self._status.part, self._status.parts):
            persons = 0
            if not team.asks_nothing:
                pruned_ms, part = await self._pruned_ms(), Part(number, self._status.parts)
                async with aclosing(self._parts.history.seeds(team, pruned_ms, part)) as seeds:
                    persons = await self._send(_of_seeds(seeds, team.team, pruned_ms), registry_version, only)
            done = self._status.persons + persons
            await self._note(msgspec.structs.replace(self._status, part=number + 1, persons=done))

    async def _send(
        self, pieces: AsyncIterator[Sequence[Delta]], registry_version: int, only: frozenset[int] | None
    ) -> int:
        """Send deltas at the pace at which owners fold them, those of some shards or of all. How many there were."""
        parts, before, count = self._parts, dict[int, int](), 0
        behind = dict(self._status.behind)
        of_before: set[int] = set()
        async for piece in pieces:
            packer, of_piece = Packer(parts.shards, parts.partitions), set[int]()
            for delta in piece:
                shard = shard_of(delta.subject, parts.shards)
                if only is None or shard in only:
                    packer.add(delta)
                    of_piece.add(shard)
            count += packer.count
            await self._until_resumed()
            # Those alone that had something to fold: the others tell where they are twice a second.
            await self._until_folded(before, of_before)
            before, of_before = await parts.deltas.send(packer.seeds(registry_version)), of_piece
            behind.update(before)
        self._status = msgspec.structs.replace(self._status, behind=tuple(sorted(behind.items())))
        return count

    async def _until_resumed(self) -> None:
        status = self._status
        while await self._parts.notes.note(PAUSED_NOTE) is not None:
            await self._note(msgspec.structs.replace(status, waits_for="muster backfill resume"))
            await asyncio.sleep(LOOK_S)
        await self._note(status)

    async def _positions(self) -> dict[int, Position]:
        """Every shard's, once each has one."""
        while len(found := await self._parts.reader.positions(range(self._parts.shards))) < self._parts.shards:
            await asyncio.sleep(LOOK_S)
        return found

    async def _pruned_ms(self) -> int:
        """An instant that every shard has passed."""
        return min(position.now_ms for position in (await self._positions()).values()) - PRUNED_BEFORE_MS

    async def _until_folded(self, behind: Mapping[int, int], shards: Collection[int] | None = None) -> None:
        """Wait until these shards (None: all) have folded what lies before those offsets of their partitions."""
        partitions = self._parts.partitions
        asked = range(self._parts.shards) if shards is None else shards
        waiting = {shard for shard in asked if shard % partitions in behind}
        look_at = monotonic() + TOPIC_LOOK_S
        while waiting:
            positions = await self._parts.reader.positions(sorted(waiting))
            waiting -= {
                shard
                for shard, position in positions.items()
                if DELTAS in position.offsets and position.offsets[DELTAS].next >= behind[shard % partitions]
            }
            if waiting and monotonic() >= look_at:
                look_at = monotonic() + TOPIC_LOOK_S
                if not await self._is_same_topic(behind):
                    await self._parts.notes.keep_note(NOTE, None)
                    raise Retry(f"{DELTAS} is another topic than the one that seeds were sent to")
            if waiting:
                await asyncio.sleep(FOLDED_LOOK_S)

    async def _is_same_topic(self, behind: Mapping[int, int]) -> bool:
        """Whether the deltas go on at least to where seeds were sent: a broker that lost everything begins anew."""
        ends = await self._parts.deltas.ends(behind)
        return all(ends[partition] >= offset for partition, offset in behind.items())

    async def _note(self, status: FillingStatus) -> None:
        if status != self._status:
            self._status = status
            await self._parts.notes.keep_note(NOTE, msgspec.json.encode(status))


async def noted_status(notes: Notes) -> FillingStatus | None:
    """How far the filling in has come that was noted; None where there is none. Raises Retry."""
    noted = await notes.note(NOTE)
    return None if noted is None else _decode(noted)


def _began(positions: Mapping[int, Position]) -> dict[int, int]:
    """The shards that say that they may have missed something, and until when."""
    return {shard: position.warm_from_ms for shard, position in positions.items() if position.warm_from_ms}


async def _of_seeds(blocks: AsyncIterator[Sequence[Seed]], team: int, pruned_ms: int) -> AsyncIterator[Sequence[Delta]]:
    async for block in blocks:
        for piece in _pieces(block):
            yield [_delta(Subject(team, PERSON, seed.person), seed, pruned_ms) for seed in piece]


async def _of_pairs(blocks: AsyncIterator[Sequence[Pair]], team: int) -> AsyncIterator[Sequence[Delta]]:
    async for block in blocks:
        for piece in _pieces(block):
            yield [
                Delta(Subject(team, DISTINCT_ID, distinct_id), (), (RegisterWrite(PERSON_REGISTER, time_ms, person),))
                for distinct_id, person, time_ms in piece
            ]


def _delta(subject: Subject, seed: Seed, pruned_ms: int) -> Delta:
    """The seed as a delta. Of its entries, those that are still to come then are held to the bound of live ones."""
    is_ahead = any(entry.time_ms > pruned_ms for entry in seed.entries)
    return Delta(subject, seed.entries, seed.registers, pruned_ms if is_ahead else None)


def _pieces(block: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    for first in range(0, len(block), PIECE_PERSONS):
        yield block[first : first + PIECE_PERSONS]
