"""The flow: read what is stored, let the history catch up, ask it about the same instant, look again where they differ.

**Nothing stops for it.** Reading takes a while, and events arrive meanwhile; so a difference is looked at again, a few
times, with everything read anew. Whoever had an event within the slack before (`arrivals`) is *in flight*, and only
what stays different of somebody who is not is drift. On a healthy system that is nobody.

**One instant for both sides.** What is stored is read first; a record answers for every later instant, so the latest
of those at which it was read is the question's. The history is asked once it holds all that the sources held then.

**Repair is by what the history keeps of the person for all versions**: her record is made good for the stretch of time
that the history covers, up to a little before now, and what is stored beside it is written anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing
from typing import NamedTuple

from cohort_store.definitions import parse_tree
from cohort_store.deltas import Delta
from cohort_store.folding import Replayed, ask_at, fold
from cohort_store.plans import CohortPlan, TeamPlan, compile_plan
from cohort_store.ports import Membership, MembershipReader, MembershipStore, Position
from cohort_store.records import EMPTY, Record, decode_record
from cohort_store.registry import Registry
from cohort_store.static_lists import write_of
from cohort_store.subjects import PERSON, Subject, shard_of
from processors.backfill.wanted import Wanted, wanted_of
from processors.reconcile.comparing import Difference, Sides, differences
from processors.reconcile.judged import Judged
from processors.reconcile.ports import Agreement, Drifted, PastSide, Scope, Settled

LOOKS_MAX = 4
LOOK_S = 2.0
"""Between two looks: what was in flight has landed by then, as a rule."""
PAGE_SUBJECTS = 1_000
COMPARED_AT_A_TIME = 500
"""Persons; in between, others run."""


class CheckingParts(NamedTuple):
    """What it is made of."""

    history: PastSide
    settled: Settled
    store: MembershipStore
    reader: MembershipReader
    shards: int
    slack_ms: int
    """How far a shard's now may be ahead of what it has folded."""


class Stored(NamedTuple):
    """What was read of a person."""

    membership: Membership
    record: Record


class _Looked(NamedTuple):
    at_ms: int
    compared: int
    differ: Mapping[str, Sequence[Difference]]
    in_flight: frozenset[str]


class Checking:
    """Compares one team's cohorts, as the registry has them, with the history."""

    def __init__(self, parts: CheckingParts, registry: Registry, judged: Judged) -> None:
        self._parts = parts
        self._judged = judged
        plan = compile_plan(registry).team(judged.team)
        self._plan: TeamPlan = plan
        self._cohorts: Sequence[CohortPlan] = [each for each in plan.cohorts if each.handle in judged.cohorts]
        self._wanted: Wanted = wanted_of(registry, judged.team, frozenset(judged.cohorts))
        self._listed = {digest: frozenset(members) for digest, members in judged.lists.items()}

    async def check(self, shards: Collection[int]) -> list[Agreement]:
        """Compare everybody in these shards; those that cannot be judged now are left out. Raises Retry."""
        scope = Scope(self._judged.team, frozenset(await self._comparable(shards)))
        return self._agreements(await self._looked(scope))

    async def check_persons(self, persons: Collection[str]) -> list[Agreement]:
        """Compare these persons. Raises Retry."""
        team = self._judged.team
        of_shards = {shard_of(Subject(team, PERSON, person), self._parts.shards) for person in persons}
        comparable = frozenset(await self._comparable(of_shards))
        return self._agreements(await self._looked(Scope(team, comparable, frozenset(persons))))

    async def both_sides(self, person: str, at_ms: int) -> tuple[Record, Record]:
        """What is stored of a person, and what the history keeps of her for these cohorts at that instant."""
        subject = Subject(self._judged.team, PERSON, person)
        shard = shard_of(subject, self._parts.shards)
        stored = (await self._read([subject]))[person]
        seeded = await self._seeded(Scope(subject.team, frozenset([shard]), frozenset([person])), at_ms)
        return stored.record, self._with_lists(person, seeded.get(person, EMPTY))

    async def _comparable(self, shards: Collection[int]) -> list[int]:
        positions = await self._parts.reader.positions(sorted(shards))
        return [shard for shard, position in positions.items() if _is_comparable(position, self._judged.ready_from)]

    async def _looked(self, scope: Scope) -> _Looked:
        """The first look's count, with the last look's differences."""
        first = looked = await self._look(scope)
        for _ in range(LOOKS_MAX - 1):
            if not looked.differ:
                break
            await asyncio.sleep(LOOK_S)
            looked = await self._look(scope._replace(persons=frozenset(looked.differ)))
        return looked._replace(compared=first.compared)

    async def _look(self, scope: Scope) -> _Looked:
        if not scope.shards or not self._cohorts:
            return _Looked(0, 0, {}, frozenset())
        stored = await self._stored(scope)
        positions = (await self._parts.reader.positions(sorted(scope.shards))).values()
        # Where nobody is stored, the shards' own instant does.
        instants = [each.membership.now_ms for each in stored.values()] or [each.now_ms for each in positions]
        at_ms = max(instants, default=0)
        await self._parts.settled.settled()
        begins_ms = await self._parts.history.begins_ms(scope.team) or at_ms
        inside, known = await self._inside(scope, at_ms), await self._parts.history.known(scope)
        seeded = await self._seeded(scope, at_ms)
        unread = [Subject(scope.team, PERSON, person) for person in known if person not in stored]
        stored |= await self._read(unread)
        differ: dict[str, Sequence[Difference]] = {}
        persons = [person for person, each in stored.items() if not _is_older(each.record, begins_ms)]
        for first in range(0, len(persons), COMPARED_AT_A_TIME):
            for person in persons[first : first + COMPARED_AT_A_TIME]:
                each, past = stored[person], self._with_lists(person, seeded.get(person, EMPTY))
                members = inside.get(person, frozenset()) if person in known else self._without_events(person, at_ms)
                sides = Sides(each.membership.handles, each.membership.now_ms, each.record, past, members)
                found = differences(sides, self._cohorts, self._plan, at_ms)
                if found:
                    differ[person] = found
            await asyncio.sleep(0)
        in_flight: frozenset[str] = frozenset()
        if differ:
            since_ms = min(each.membership.now_ms for each in stored.values()) - self._parts.slack_ms
            in_flight = await self._parts.history.arrivals(scope._replace(persons=frozenset(differ)), since_ms)
        return _Looked(at_ms, len(persons), differ, in_flight & frozenset(differ))

    def _without_events(self, person: str, at_ms: int) -> frozenset[int]:
        """The versions that hold for who never did anything, and is at most in lists."""
        ask = ask_at(self._with_lists(person, EMPTY), self._plan, at_ms)
        return frozenset(each.handle for each in self._cohorts if each.verdict(ask))

    async def _stored(self, scope: Scope) -> dict[str, Stored]:
        if scope.persons is not None:
            named = [Subject(scope.team, PERSON, person) for person in sorted(scope.persons)]
            return await self._read([each for each in named if shard_of(each, self._parts.shards) in scope.shards])
        found: dict[str, Stored] = {}
        for shard in sorted(scope.shards):
            cursor: str | None = None
            while True:
                page = await self._parts.store.subjects(shard, cursor, PAGE_SUBJECTS)
                found |= await self._read([s for s in page.subjects if (s.team, s.kind) == (scope.team, PERSON)])
                cursor = page.cursor
                if cursor is None:
                    break
        return found

    async def _read(self, subjects: Sequence[Subject]) -> dict[str, Stored]:
        found: dict[str, Stored] = {}
        for first in range(0, len(subjects), PAGE_SUBJECTS):
            some = subjects[first : first + PAGE_SUBJECTS]
            records = await self._parts.reader.records(some)
            for subject, raw, membership in zip(some, records, await self._parts.reader.memberships(some), strict=True):
                found[subject.id] = Stored(membership, EMPTY if raw is None else decode_record(raw))
        return found

    async def _inside(self, scope: Scope, at_ms: int) -> dict[str, frozenset[int]]:
        trees = {cohort.key: parse_tree(version.when) for cohort, version in self._judged.cohorts.values()}
        handles = {cohort.key: handle for handle, (cohort, _) in self._judged.cohorts.items()}
        found: dict[str, set[int]] = {}
        async with aclosing(self._parts.history.members(trees, self._judged.lists, scope, at_ms)) as blocks:
            async for block in blocks:
                for key, person in block:
                    found.setdefault(person, set()).add(handles[key])
        return {person: frozenset(inside) for person, inside in found.items()}

    async def _seeded(self, scope: Scope, at_ms: int) -> dict[str, Record]:
        found: dict[str, Record] = {}
        if self._wanted.asks_nothing:
            return found
        async with aclosing(self._parts.history.seeds(self._wanted, at_ms, scope)) as blocks:
            async for block in blocks:
                for seed in block:
                    delta = Delta(Subject(scope.team, PERSON, seed.person), seed.entries, seed.registers)
                    folded = fold(EMPTY, [delta], self._plan, at_ms)
                    if not isinstance(folded, Replayed):
                        found[seed.person] = folded.record
        return found

    def _with_lists(self, person: str, record: Record) -> Record:
        """The record with the registers of the lists that she is in: who is in a list is no event."""
        writes = [write_of(digest) for digest, members in self._listed.items() if person in members]
        registers = {write.name: (write.version, write.value) for write in writes}
        return record._replace(registers={**record.registers, **registers}) if registers else record

    def _agreements(self, looked: _Looked) -> list[Agreement]:
        drifted: dict[int, list[Drifted]] = {handle: [] for handle in self._judged.cohorts}
        in_flight: dict[int, set[str]] = {handle: set() for handle in self._judged.cohorts}
        for person, found in sorted(looked.differ.items()):
            for handle, kind, at_ms, live, history in found:
                if person in looked.in_flight:
                    in_flight[handle].add(person)
                else:
                    drifted[handle].append(Drifted(person, kind.value, at_ms, live, history))
        return [
            Agreement(
                team=self._judged.team,
                id=cohort.id,
                key=cohort.key,
                version=version.number,
                at_ms=looked.at_ms,
                persons=looked.compared,
                in_flight=len(in_flight[handle]),
                drifted=tuple(drifted[handle]),
            )
            for handle, (cohort, version) in self._judged.cohorts.items()
        ]


def _is_comparable(position: Position, ready_from: int) -> bool:
    """Whether a shard has folded what is compared, misses nothing, and its time is its sources'."""
    return position.ready >= ready_from and not position.warm_from_ms and not position.stale


def _is_older(record: Record, begins_ms: int) -> bool:
    """Whether the record knows of an event from before the history."""
    return any(line[0][0] < begins_ms for line in record.timelines.values())
