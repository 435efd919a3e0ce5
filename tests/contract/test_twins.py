"""Two routes to one state: whatever is done, the twin and the server answer alike."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from random import Random

import pytest

from cohort_store.memory import MemoryStore
from cohort_store.ports import DistinctIdWrite, MembershipReader, MembershipStore, RecordWrite, ShardCommit
from cohort_store.redis.wiring import connect_reader, connect_store
from cohort_store.settings import Settings
from cohort_store.subjects import DISTINCT_ID, Subject, shard_of
from tests.contract.building import START_MS, View, position

SHARDS = 4
STEPS = 5_000 if os.environ.get("MUSTER_TEST_PROFILE") == "long" else 120
HANDLES_OF_TEAM = {1: range(1, 6), 2: range(6, 11)}
HANDLES = range(1, 11)
TEXTS = [*(f"{number:08x}-0000-4000-8000-000000000000" for number in range(150)), "a", "b:c", "x" * 15, "\x00"]
TEAMS_AND_KINDS = [(1, 0), (1, 0), (1, 1), (2, 0), (1, DISTINCT_ID)]


@pytest.fixture
async def pair(view_url: str) -> AsyncIterator[tuple[View, View]]:
    settings = Settings(redis=view_url, shards=SHARDS)
    async with AsyncExitStack() as stack:
        store, reader = connect_store(settings), connect_reader(settings)
        stack.push_async_callback(store.aclose)
        stack.push_async_callback(reader.aclose)
        twin = MemoryStore(SHARDS)
        yield View(twin, twin, ""), View(store, reader, view_url)


class Chance:
    """Draws commits: joins and departures that may be there already, deletions, stale owners, all kinds of timers."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.subjects = [Subject(team, kind, text) for team, kind in set(TEAMS_AND_KINDS) for text in TEXTS]
        self.known: dict[int, bytes] = {}

    def commits(self) -> list[ShardCommit]:
        drawn = {
            shard: self.commit(shard) for shard in self.random.sample(range(SHARDS), self.random.randint(1, SHARDS))
        }
        return list(drawn.values())

    def commit(self, shard: int) -> ShardCommit:
        mine = [subject for subject in self.subjects if shard_of(subject, SHARDS) == shard]
        chosen = self.random.sample(mine, self.random.choice([0, 1, 5, 30]))
        stale = self.random.random() < 0.1
        return ShardCommit(
            shard,
            b"stale" if stale else self.known.get(shard),
            position(ready=self.random.randrange(9), now_ms=START_MS + self.random.randrange(100)),
            records=tuple(self.write(subject) for subject in chosen),
            distinct_ids=tuple(self.pair(subject) for subject in chosen if subject.kind == DISTINCT_ID),
            changes=tuple(self.random.randbytes(20) for _ in range(self.random.randrange(4))),
            unlisted=frozenset({5}),
        )

    def write(self, subject: Subject) -> RecordWrite:
        if self.random.random() < 0.15:
            return RecordWrite(subject, None, departed=tuple(HANDLES_OF_TEAM[subject.team]))
        handles = HANDLES_OF_TEAM[subject.team]
        joined = self.random.sample(handles, self.random.randrange(4))
        left = [handle for handle in handles if handle not in joined and self.random.random() < 0.3]
        due_ms = self.random.choice([None, START_MS + self.random.randrange(50)])
        record = self.random.randbytes(self.random.randrange(1, 90))
        return RecordWrite(subject, record, tuple(joined), tuple(left), due_ms, self.random.random() < 0.5)

    def pair(self, subject: Subject) -> DistinctIdWrite:
        person = self.random.choice(["a", "b", "é", ""])
        return DistinctIdWrite(subject.team, subject.id, person, self.random.randrange(3), 0 if person else 600_000)


async def everything(view: View, subjects: list[Subject]) -> dict[str, object]:
    """All that the ports tell, in a form that forgets the orders they leave open."""
    store, reader = view.store, view.reader
    shards = range(SHARDS)
    by_shard = {shard: [subject for subject in subjects if shard_of(subject, SHARDS) == shard] for shard in shards}
    outbox = await store.outbox(shards, 100_000)
    due = await store.due(dict.fromkeys(shards, START_MS + 25), 1_000)
    return {
        "positions": await store.positions(shards),
        "records": await store.load(by_shard),
        "memberships": await reader.memberships(subjects),
        "sizes": await reader.sizes(HANDLES),
        "members": [sorted(await everyone_listed(reader, handle)) for handle in HANDLES],
        "subjects": [await everyone_recorded(store, shard) for shard in shards],
        "due": {shard: (set(told.subjects), told.next_due_ms) for shard, told in due.items()},
        "outbox": {shard: [entry.change for entry in entries] for shard, entries in outbox.items()},
        "persons": await reader.persons([(subject.team, subject.id) for subject in subjects]),
    }


async def everyone_listed(reader: MembershipReader, handle: int) -> list[str]:
    told: list[str] = []
    cursor = None
    while True:
        page = await reader.members(handle, cursor, 64)
        told += page.ids
        if (cursor := page.cursor) is None:
            return told


async def everyone_recorded(store: MembershipStore, shard: int) -> set[Subject]:
    told: set[Subject] = set()
    cursor = None
    while True:
        page = await store.subjects(shard, cursor, 100)
        told.update(page.subjects)
        if (cursor := page.cursor) is None:
            return told


@pytest.mark.fault
async def test_the_twin_and_the_server_agree_after_any_commits(pair: tuple[View, View], seed: int) -> None:
    twin, server = pair
    chance = Chance(seed)
    for step in range(STEPS):
        commits = chance.commits()
        outcomes = await twin.store.commit(commits)
        assert await server.store.commit(commits) == outcomes
        for commit, outcome in zip(commits, outcomes, strict=True):
            if outcome.name == "COMMITTED":
                chance.known[commit.shard] = commit.position.commit_id
        if step % 20 == 19:
            assert await everything(twin, chance.subjects) == await everything(server, chance.subjects)
