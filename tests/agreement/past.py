"""The archive and what is read of it, in memory: exactly what a slow archive holds, and no event more."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from zlib import crc32

from cohort_store.definitions import CohortDefinition, Node, to_plain
from cohort_store.deltas import DeltaEntry, RegisterWrite
from cohort_store.person_updates import update_of
from cohort_store.plans import BoundCondition
from cohort_store.subjects import PERSON, Subject, shard_of
from cohort_store.timelines import tag_of
from processors.backfill.ports import Pair, Part, Reading, Seed, farthest_behind
from processors.backfill.wanted import Wanted
from processors.reconcile.ports import Scope
from processors.router.progress import Source
from tests.membership.parts import Worried
from tests.oracle.membership import Event, is_member


class Sent(NamedTuple):
    """An event as a source holds it. Empty: it does not say."""

    person: str
    distinct_id: str
    event: Event
    at_ms: int


class Archive:
    """Behind each source by as much as it was not let read."""

    def __init__(self, sources: Mapping[Source, Sequence[Sent]]) -> None:
        self._sources = sources
        self.next = dict.fromkeys(sources, 0)
        self.rows: list[Sent] = []

    def read(self, source: Source, count: int, *, again: int = 0) -> None:
        """Take in some more; `again`: so many of the ones before once more, as a writer does that was killed."""
        begin, end = self.next[source], min(self.next[source] + count, len(self._sources[source]))
        self.rows += self._sources[source][max(0, begin - again) : end]
        self.next[source] = end

    def lacks(self, ends: Mapping[Source, int]) -> dict[Source, int]:
        return {source: end - self.next[source] for source, end in ends.items() if self.next[source] < end}

    def people(self) -> dict[str, list[Sent]]:
        """Everybody's rows: her own, or her distinct id's newest person's."""
        owners: dict[str, tuple[int, str]] = {}
        for person, distinct_id, event, _ in self.rows:
            if person and distinct_id:
                owners[distinct_id] = max((event.time_ms, person), owners.get(distinct_id, (event.time_ms, person)))
        found: dict[str, list[Sent]] = {}
        for row in self.rows:
            owner = owners[row.distinct_id][1] if row.distinct_id in owners else row.distinct_id
            found.setdefault(row.person or owner, []).append(row)
        return found


class ArchivedPast:
    """History, Archived, Settled and PastSide, as one process reaches them. Answers break off where trouble is."""

    def __init__(
        self, archive: Archive, sources: Mapping[Source, Sequence[Sent]], shards: int, worried: Worried
    ) -> None:
        self._archive, self._sources, self._shards, self._worried = archive, sources, shards, worried

    async def is_there(self) -> bool:
        return True

    async def begins_ms(self, team: int) -> int | None:
        await self._reach("begins_ms")
        assert team == 1
        return min((row.event.time_ms for row in self._archive.rows), default=None)

    async def persons(self, team: int) -> int:
        await self._reach("persons")
        assert team == 1
        return len(self._archive.people())

    async def seeds(self, wanted: Wanted, pruned_ms: int, part: Part | Scope) -> AsyncGenerator[Sequence[Seed], None]:
        for place, person, rows in sorted((_place(who), who, rows) for who, rows in self._archive.people().items()):
            if self._is_in(person, part):
                await self._reach("seed")
                entries = tuple(_kept(wanted, [row.event for row in rows], pruned_ms))
                writes = tuple(_writes(wanted, [row.event for row in rows]))
                if entries or writes:
                    yield [Seed(person, entries, writes, place)]

    async def pairs(self, team: int) -> AsyncGenerator[Sequence[Pair], None]:
        assert team == 1
        for person, distinct_id, event, _ in list(self._archive.rows):
            if person and distinct_id:
                yield [Pair(distinct_id, person, event.time_ms)]

    def read_as(self, reading: Reading) -> ArchivedPast:
        assert reading._replace(hurries=False) == Reading(), "no run is asked for"
        return self

    async def awaited(self, activations: Mapping[Source, int], since_ms: int) -> str:  # noqa: ARG002 - the port's
        await self._reach("awaited")
        return farthest_behind(self._archive.lacks(activations), "the archive")

    async def settled(self) -> None:
        assert not self._archive.lacks({source: len(sent) for source, sent in self._sources.items()})

    async def known(self, scope: Scope) -> frozenset[str]:
        return frozenset(person for person in self._archive.people() if self._is_in(person, scope))

    async def members(
        self, cohorts: Mapping[str, Node], lists: Mapping[str, Sequence[str]], scope: Scope, at_ms: int
    ) -> AsyncGenerator[Sequence[tuple[str, str]], None]:
        plain = [to_plain(CohortDefinition(key=key, when=when)) for key, when in cohorts.items()]
        for person, rows in self._archive.people().items():
            if self._is_in(person, scope):
                events = [row.event for row in rows]
                yield [(each["key"], person) for each in plain if _is_in(each, person, events, at_ms, lists)]

    async def arrivals(self, scope: Scope, after_ms: int) -> frozenset[str]:
        people = self._archive.people().items()
        late = (person for person, rows in people if any(row.at_ms > after_ms for row in rows))
        return frozenset(person for person in late if self._is_in(person, scope))

    def _is_in(self, person: str, share: Part | Scope) -> bool:
        if isinstance(share, Part):
            return _place(person) % share.of == share.number and _place(person) >= share.begins
        is_named = share.persons is None or person in share.persons
        return is_named and shard_of(Subject(1, PERSON, person), self._shards) in share.shards

    async def _reach(self, what: str) -> None:
        await self._worried.trouble.pass_by(self._worried.worker, f"before {what}")


def _is_in(
    cohort: dict[str, Any], person: str, events: list[Event], at_ms: int, lists: Mapping[str, Sequence[str]]
) -> bool:
    when = cohort["when"]
    return person in lists[when["list"]] if when.get("kind") == "static_list" else is_member(cohort, events, at_ms)


def _place(person: str) -> int:
    return crc32(person.encode())


def _kept(wanted: Wanted, events: Collection[Event], pruned_ms: int) -> Iterator[DeltaEntry]:
    """What the conditions keep at that instant, and all that is later."""
    lines: dict[int, tuple[tuple[int, ...], ...]] = {}
    for handle, selector in wanted.selectors.items():
        line = set()
        for event in events:
            if selector.holds(event.event, event.properties):
                value = None if selector.value is None else selector.value.of(event.properties)
                if value is not None or selector.value is None:
                    place = (event.time_ms, tag_of(event.uuid))
                    line.add(place if value is None else (*place, value))
        lines[handle] = tuple(sorted(line))
    kept: set[tuple[int, tuple[int, ...]]] = set()
    for bound in wanted.asked:
        if isinstance(bound, BoundCondition):
            for handle, part in zip(bound.selectors, bound.condition.keep(bound.read(lines), pruned_ms), strict=True):
                later = (entry for entry in lines[handle] if entry[0] > pruned_ms)
                kept |= {(handle, entry) for entry in (*part, *later)}
    for handle, entry in sorted(kept):
        yield DeltaEntry(handle, entry[0], entry[1], entry[2] if len(entry) > 2 else None)


def _writes(wanted: Wanted, events: Collection[Event]) -> Iterator[RegisterWrite]:
    for event in events:
        yield from update_of(event.properties, event.time_ms, wanted.properties).writes
