"""The flow: wait for live events to count, wait for the history to hold the rest, read it, seed it, wait till folded.

**Nothing is missed between the two.** Routers tell, with their marks, from which offset of each source partition on
they read with the registry that has the new versions (the *activation*). Live events count from there; the history is
read once it holds everything before. What both have is the same entry twice.

**Seeds are pruned at an instant that every shard has passed**, and a little before, since a pruned state answers from
its instant on: a store that lost its last seconds is then still behind it.

**Live events wait for no more than PIECE_PERSONS seeds**: those go into the same topic, and the next are sent when
every owner has folded the ones before the last. So owners who are busy slow this down, and it slows them by a bounded
share.

What was sent is noted part by part. A process that takes over goes on with the first part that is not done; a part
that is sent twice changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from time import monotonic
from typing import NamedTuple

import msgspec

from cohort_store.deltas import Delta
from cohort_store.errors import Retry
from cohort_store.ports import MembershipReader
from cohort_store.registry import Registry
from cohort_store.subjects import PERSON, Subject
from processors.backfill.ports import Activations, Archived, FillingStatus, History, Notes, Part, Seed, SeedLog
from processors.backfill.wanted import Wanted, wanted
from processors.kafka.topics import DELTAS
from processors.router.packing import Packer
from processors.router.progress import Source

NOTE = "backfill"
PART_PERSONS = 20_000
"""Persons of whom ClickHouse reduces the history at a time, about."""
PIECE_PERSONS = 1_000
PRUNED_BEFORE_MS = 60_000
"""How long before the slowest shard's now seeds are pruned: more than a failover of the store loses."""
LOOK_S = 0.5
FOLDED_LOOK_S = 0.01
TOPIC_LOOK_S = 5.0

_decode = msgspec.json.Decoder(FillingStatus).decode


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


class FillingIn:
    """See the module's docstring. Not for two tasks at once."""

    def __init__(self, parts: FillingParts) -> None:
        self._parts = parts
        self._status = FillingStatus(0, ())

    async def fill(self, registry: Registry) -> dict[int, int | None]:
        """Fill in what versions of the registry lack. By handle, where the history of each begins; None: nowhere.

        Returns when every shard has folded all of it. Raises Retry; what was sent by then is noted.
        """
        teams = wanted(registry)
        handles = tuple(sorted(handle for team in teams for handle in team.handles))
        if not handles:
            return {}
        begins: dict[int, int | None] = {}
        asking = [team for team in teams if not team.asks_nothing]
        if asking:
            await self._begin(registry, handles)
            for team in asking:
                begins_ms = await self._parts.history.begins_ms(team.team)
                begins.update(dict.fromkeys(team.handles, begins_ms))
                if begins_ms is not None:
                    await self._seed(team, registry.version)
            await self._until_folded(dict(self._status.behind))
        await self._parts.notes.keep_note(NOTE, None)
        return dict.fromkeys(handles) | begins

    async def _begin(self, registry: Registry, handles: tuple[int, ...]) -> None:
        """Go on where the note says, or wait until live events count and the history holds the rest."""
        noted = await self._parts.notes.note(NOTE)
        if noted is not None:
            status = _decode(noted)
            if status.handles == handles and status.activations and await self._is_same_topic(dict(status.behind)):
                self._status = status
                return
        waits_for = "routers to read with the new definitions"
        await self._note(FillingStatus(registry.version, handles, waits_for))
        activations = await self._parts.activations.of(registry.version, map(Source._make, registry.partitions()))
        while missing := await self._parts.archived.missing(activations):
            source, count = max(missing.items(), key=lambda each: each[1])
            waits_for = f"the archive of {source.topic}/{source.partition}, {count} messages behind"
            await self._note(FillingStatus(registry.version, handles, waits_for))
            await asyncio.sleep(LOOK_S)
        places = tuple((source.topic, source.partition, offset) for source, offset in sorted(activations.items()))
        await self._note(FillingStatus(registry.version, handles, activations=places))

    async def _seed(self, team: Wanted, registry_version: int) -> None:
        status = self._status
        if status.team > team.team:
            return
        if status.team < team.team:
            persons = await self._parts.history.persons(team.team)
            parts = -(-persons // PART_PERSONS) or 1
            await self._note(msgspec.structs.replace(status, team=team.team, part=0, parts=parts))
        for number in range(self._status.part, self._status.parts):
            persons, behind = await self._seed_part(team, registry_version, Part(number, self._status.parts))
            done = msgspec.structs.replace(
                self._status,
                part=number + 1,
                persons=self._status.persons + persons,
                behind=tuple(sorted({**dict(self._status.behind), **behind}.items())),
            )
            await self._note(done)

    async def _seed_part(self, team: Wanted, registry_version: int, part: Part) -> tuple[int, dict[int, int]]:
        """How many persons were seeded, and the offsets behind them."""
        parts, before, behind = self._parts, dict[int, int](), dict[int, int]()
        persons, pruned_ms = 0, await self._pruned_ms()
        async with aclosing(parts.history.seeds(team, pruned_ms, part)) as blocks:
            async for piece in _pieces(blocks):
                persons += len(piece)
                packer = Packer(parts.shards, parts.partitions)
                for seed in piece:
                    packer.add(_delta(team.team, seed, pruned_ms))
                await self._until_folded(before)
                before = await parts.deltas.send(packer.seeds(registry_version))
                behind.update(before)
        return persons, behind

    async def _pruned_ms(self) -> int:
        """An instant that every shard has passed."""
        while len(positions := await self._parts.reader.positions(range(self._parts.shards))) < self._parts.shards:
            await asyncio.sleep(LOOK_S)
        return min(position.now_ms for position in positions.values()) - PRUNED_BEFORE_MS

    async def _until_folded(self, behind: Mapping[int, int]) -> None:
        """Wait until every shard of those partitions has folded all before those offsets."""
        partitions = self._parts.partitions
        waiting = {shard for shard in range(self._parts.shards) if shard % partitions in behind}
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


def _delta(team: int, seed: Seed, pruned_ms: int) -> Delta:
    """The seed as a delta. Of its entries, those that are still to come then are held to the bound of live ones."""
    is_ahead = any(entry.time_ms > pruned_ms for entry in seed.entries)
    subject = Subject(team, PERSON, seed.person)
    return Delta(subject, seed.entries, seed.registers, pruned_ms if is_ahead else None)


async def _pieces(blocks: AsyncIterator[Sequence[Seed]]) -> AsyncIterator[Sequence[Seed]]:
    async for block in blocks:
        for first in range(0, len(block), PIECE_PERSONS):
            yield block[first : first + PIECE_PERSONS]
