"""The twin of the view: the store's ports in memory, for tests and for tools that need no server.

It holds to the same contract (``tests/contract``), and fails on request: `unreachable_for` and `answers_lost`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from cohort_store.errors import Retry
from cohort_store.ports import (
    PAGE_MAX,
    Due,
    Looked,
    Membership,
    MembersPage,
    OutboxEntry,
    Outcome,
    Position,
    RecordWrite,
    ShardCommit,
    SubjectsPage,
    check_commits,
)
from cohort_store.subjects import DISTINCT_ID, SHARDS_DEFAULT, Subject, shard_of


@dataclass(slots=True)
class _Shard:
    """All that is kept of one shard."""

    position: Position | None = None
    records: dict[Subject, bytes] = field(default_factory=dict)
    memberships: dict[Subject, set[int]] = field(default_factory=dict)
    stored: dict[int, set[Subject]] = field(default_factory=dict)
    listed: dict[int, set[Subject]] = field(default_factory=dict)
    due: dict[Subject, float] = field(default_factory=dict)
    persons: dict[tuple[int, str], tuple[int, str]] = field(default_factory=dict)
    outbox: list[OutboxEntry] = field(default_factory=list)
    entries: int = 0


class MemoryStore:
    """MembershipStore and MembershipReader at once."""

    def __init__(self, shards: int = SHARDS_DEFAULT) -> None:
        self._shards = [_Shard() for _ in range(shards)]
        self._unreachable = 0
        self._lost = 0

    def unreachable_for(self, calls: int) -> None:
        """The next so many calls raise Retry and do nothing."""
        self._unreachable = calls

    def answers_lost(self, commits: int) -> None:
        """The next so many calls of `commit` apply what they can, and raise Retry all the same."""
        self._lost = commits

    async def check(self) -> None:
        self._reach()

    async def positions(self, shards: Sequence[int]) -> dict[int, Position]:
        self._reach()
        held = ((shard, self._shards[shard].position) for shard in shards)
        return {shard: position for shard, position in held if position is not None}

    async def load(self, subjects: Mapping[int, Sequence[Subject]]) -> dict[Subject, bytes]:
        self._reach()
        return {
            subject: self._shards[shard].records[subject]
            for shard, wanted in subjects.items()
            for subject in wanted
            if subject in self._shards[shard].records
        }

    async def commit(self, commits: Sequence[ShardCommit]) -> list[Outcome]:
        check_commits(commits)
        self._reach()
        outcomes = [_apply(self._shards[commit.shard], commit) for commit in commits]
        if self._lost:
            self._lost -= 1
            raise Retry("the answer was lost, as asked for")
        return outcomes

    async def due(self, instants: Mapping[int, int], limit: int) -> dict[int, Due]:
        self._reach()
        return {shard: _due(self._shards[shard], now_ms, limit) for shard, now_ms in instants.items()}

    async def subjects(self, shard: int, cursor: str | None, limit: int) -> SubjectsPage:
        self._reach()
        behind = [subject for subject in sorted(self._shards[shard].records, key=str) if str(subject) > (cursor or "")]
        page = tuple(behind[:limit])
        return SubjectsPage(page, str(page[-1]) if len(behind) > limit else None)

    async def outbox(self, shards: Sequence[int], limit: int) -> dict[int, list[OutboxEntry]]:
        self._reach()
        return {shard: self._shards[shard].outbox[:limit] for shard in shards if self._shards[shard].outbox}

    async def newest_changes(self, shards: Sequence[int]) -> dict[int, bytes]:
        self._reach()
        return {shard: self._shards[shard].outbox[-1].change for shard in shards if self._shards[shard].outbox}

    async def outbox_sizes(self, shards: Sequence[int]) -> dict[int, int]:
        self._reach()
        return {shard: len(self._shards[shard].outbox) for shard in shards}

    async def drop_outbox(self, published: Mapping[int, bytes]) -> None:
        self._reach()
        for shard, last in published.items():
            outbox = self._shards[shard].outbox
            known = [entry.id for entry in outbox]
            if last in known:
                del outbox[: known.index(last) + 1]

    async def persons(self, distinct_ids: Sequence[tuple[int, str]]) -> list[str | None]:
        self._reach()
        held = (self._of(Subject(team, DISTINCT_ID, text)).persons.get((team, text)) for team, text in distinct_ids)
        return [pair[1] or None if pair else None for pair in held]

    async def memberships(self, subjects: Sequence[Subject]) -> list[Membership]:
        self._reach()
        return [_membership(self._of(subject), subject) for subject in subjects]

    async def look_up(
        self, distinct_ids: Sequence[tuple[int, str]], subjects: Sequence[Subject]
    ) -> tuple[list[str | None], list[Membership]]:
        return await self.persons(distinct_ids), await self.memberships(subjects)

    async def look_up_with_records(
        self, distinct_ids: Sequence[tuple[int, str]], subjects: Sequence[Subject], recorded: Sequence[Subject]
    ) -> Looked:
        persons, memberships = await self.look_up(distinct_ids, subjects)
        return Looked(persons, memberships, [self._of(subject).records.get(subject) for subject in recorded])

    async def records(self, subjects: Sequence[Subject]) -> list[bytes | None]:
        self._reach()
        return [self._of(subject).records.get(subject) for subject in subjects]

    async def members(self, handle: int, cursor: str | None, limit: int) -> MembersPage:
        self._reach()
        first, behind = _Place.parse(cursor)
        told: list[str] = []
        limit = min(limit, PAGE_MAX)
        for number in range(first, len(self._shards)):
            for subject in sorted(self._shards[number].listed.get(handle, ()), key=str):
                if number == first and str(subject) <= behind:
                    continue
                told.append(subject.id)
                if len(told) == limit:
                    return MembersPage(tuple(told), f"{number}.{subject}")
        return MembersPage(tuple(told), None)

    async def size(self, handle: int) -> int:
        (size,) = await self.sizes([handle])
        return size

    async def sizes(self, handles: Sequence[int]) -> list[int]:
        self._reach()
        return [sum(len(shard.stored.get(handle, ())) for shard in self._shards) for handle in handles]

    async def aclose(self) -> None:
        """There is nothing to close."""

    def _of(self, subject: Subject) -> _Shard:
        return self._shards[shard_of(subject, len(self._shards))]

    def _reach(self) -> None:
        if self._unreachable:
            self._unreachable -= 1
            raise Retry("unreachable, as asked for")


class _Place(NamedTuple):
    shard: int
    behind: str

    @classmethod
    def parse(cls, cursor: str | None) -> _Place:
        if cursor is None:
            return cls(0, "")
        shard, separator, behind = cursor.partition(".")
        if not (shard.isdecimal() and separator):
            raise ValueError(f"cursor {cursor!r} is not one that a page ended with: start without one")
        return cls(int(shard), behind)


def _apply(shard: _Shard, commit: ShardCommit) -> Outcome:
    present = shard.position.commit_id if shard.position else None
    if present == commit.position.commit_id:
        return Outcome.COMMITTED
    if present != commit.expected:
        return Outcome.FENCED
    for change in commit.changes:
        shard.entries += 1
        shard.outbox.append(OutboxEntry(b"%d" % shard.entries, change))
    for write in commit.records:
        if write.record is None:
            _delete(shard, write.subject)
        else:
            _write(shard, write, write.record, commit.unlisted)
    for pair in commit.distinct_ids:
        key, person = (pair.team, pair.distinct_id), (pair.version, pair.person)
        shard.persons[key] = max(person, shard.persons.get(key, person))
    shard.position = commit.position
    return Outcome.COMMITTED


def _write(shard: _Shard, write: RecordWrite, record: bytes, unlisted: frozenset[int]) -> None:
    subject = write.subject
    for handle in write.joined:
        if handle not in shard.memberships.setdefault(subject, set()):
            shard.memberships[subject].add(handle)
            shard.stored.setdefault(handle, set()).add(subject)
            if handle not in unlisted:
                shard.listed.setdefault(handle, set()).add(subject)
    for handle in write.departed:
        _depart(shard, subject, handle)
    due = inf if write.due_ms is None else write.due_ms
    shard.due[subject] = due if write.rearm else min(due, shard.due.get(subject, inf))
    shard.records[subject] = record


def _delete(shard: _Shard, subject: Subject) -> None:
    for handle in tuple(shard.memberships.get(subject, ())):
        _depart(shard, subject, handle)
    shard.memberships.pop(subject, None)
    shard.due.pop(subject, None)
    shard.records.pop(subject, None)


def _depart(shard: _Shard, subject: Subject, handle: int) -> None:
    if handle in shard.memberships.get(subject, ()):
        shard.memberships[subject].discard(handle)
        shard.stored[handle].discard(subject)
        shard.listed.get(handle, set()).discard(subject)


def _due(shard: _Shard, now_ms: int, limit: int) -> Due:
    timers = sorted((due, str(subject), subject) for subject, due in shard.due.items() if due != inf)
    told = [timer for timer in timers if timer[0] <= now_ms][:limit]
    left = timers[len(told) :]
    return Due(tuple(subject for _, _, subject in told), int(left[0][0]) if left else None)


def _membership(shard: _Shard, subject: Subject) -> Membership:
    position = shard.position
    if position is None:
        return Membership(frozenset(), None, 0, False, 0)
    handles = frozenset(shard.memberships.get(subject, ()))
    return Membership(
        handles, position.ready, position.now_ms, position.stale, position.warm_from_ms, position.readers_from
    )


class RegistryCopy:
    """What mirrors of one registry share."""

    def __init__(self) -> None:
        self.version = 0
        self.registry: bytes | None = None
        self.lists: dict[str, bytes] = {}
        self.notes: dict[str, bytes] = {}
        self.news = asyncio.Condition()


class MemoryMirror:
    """RegistryMirror. Mirrors made with the same copy see each other's registry."""

    def __init__(self, copy: RegistryCopy | None = None) -> None:
        self._copy = copy or RegistryCopy()
        self._fetched = 0

    async def publish(self, registry: bytes, version: int) -> None:
        async with self._copy.news:
            if version >= self._copy.version:
                self._copy.version, self._copy.registry = version, registry
                self._copy.news.notify_all()

    async def fetch(self) -> bytes | None:
        if self._copy.registry is not None:
            self._fetched = self._copy.version
        return self._copy.registry

    async def keep_lists(self, lists: Mapping[str, bytes]) -> None:
        self._copy.lists = dict(lists)

    async def lists(self) -> dict[str, bytes]:
        return dict(self._copy.lists)

    async def keep_note(self, name: str, note: bytes | None) -> None:
        if note is None:
            self._copy.notes.pop(name, None)
        else:
            self._copy.notes[name] = note

    async def note(self, name: str) -> bytes | None:
        return self._copy.notes.get(name)

    async def changed(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s), self._copy.news:
                await self._copy.news.wait_for(lambda: self._copy.version > self._fetched)
        except TimeoutError:
            return False
        return True

    async def aclose(self) -> None:
        """There is nothing to close."""
