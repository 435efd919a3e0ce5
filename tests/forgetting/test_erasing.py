"""The flow of an erasure: in which order it goes, and whose distinct ids are hers."""

import asyncio
from collections.abc import Collection, Iterable, Sequence

import pytest

from cohort_store.deltas import Erasure, decode_message
from cohort_store.errors import Retry
from cohort_store.hash_keys import MemoryHashKeys
from cohort_store.kafka.topics import DELTAS
from cohort_store.memory import MemoryStore
from cohort_store.ports import DistinctIdWrite, Offset, Position, ShardCommit
from cohort_store.subjects import PERSON, Subject
from processors.backfill import owners
from processors.forgetting import erasing
from processors.forgetting.erasing import ErasingParts, Hers, erase, hers
from processors.forgetting.ports import ErasedRows
from processors.router.packing import Packed

SHE = Subject(1, PERSON, "ann")
ERASURE = Erasure(1_000, 2_000)


class World:
    """A history, a log and an archive in memory, each of which notes what it was asked for, in order."""

    def __init__(self, rows: Sequence[ErasedRows] = (), *, settles: bool = True, folds: bool = True) -> None:
        self.said: list[str] = []
        self.store = MemoryStore(1)
        self.hash_keys = MemoryHashKeys()
        self._rows = list(rows)
        self._settles = settles
        self._folds = folds

    def parts(self, *, with_past: bool = True) -> ErasingParts:
        return ErasingParts(self.store, self, self if with_past else None, self, 1, 1, self.hash_keys)

    async def is_there(self) -> bool:
        return True

    async def distinct_ids(self, person: Subject) -> list[str]:
        return ["d-1", "d-2", person.id]

    async def keep_away(self, subjects: Collection[Subject], erasure: Erasure) -> None:
        self.said.append(f"keep away {', '.join(map(str, subjects))} at {erasure.at_ms}")

    async def send(self, messages: Sequence[Packed]) -> dict[int, int]:
        for each in messages:
            message = decode_message(each.value)
            assert message.erasure == ERASURE
            self.said.append(f"send {', '.join(str(delta.subject) for delta in message.deltas)}")
        if self._folds:
            await self.fold_to(1)
        return {0: 1}

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, 1)

    async def settled(self) -> None:
        if not self._settles:
            await asyncio.Event().wait()
        self.said.append("settled")

    async def erase(self, person: Subject, distinct_ids: Sequence[str], at_ms: int) -> ErasedRows:
        self.said.append(f"erase {person.id}, {', '.join(distinct_ids)} at {at_ms}")
        return self._rows.pop(0) if self._rows else ErasedRows()

    async def fold_to(self, offset: int, *pairs: DistinctIdWrite) -> None:
        held = await self.store.positions([0])
        last = held[0].commit_id if held else None
        position = Position(b"%d" % offset, 0, 1, 0, 1, {DELTAS: Offset(offset, b"")})
        await self.store.commit([ShardCommit(0, last, position, distinct_ids=pairs)])


async def test_her_distinct_ids_are_those_of_the_history_and_those_named_but_for_anothers() -> None:
    world = World()
    pairs = (DistinctIdWrite(1, "d-1", "ann", 5), DistinctIdWrite(1, "d-2", "bob", 6))
    await world.fold_to(0, *pairs)
    assert await hers(world.parts(), SHE, ["d-3"]) == Hers(SHE, ["ann", "d-1", "d-3"])
    assert await hers(world.parts(with_past=False), SHE, ["d-2", "d-3"]) == Hers(SHE, ["d-3"])


async def test_writers_know_before_owners_do_and_the_history_is_erased_when_all_that_came_is_written() -> None:
    world = World([ErasedRows(3, 2, 1), ErasedRows(1)])
    rows = await erase(world.parts(), Hers(SHE, ["d"]), 1, ERASURE)
    assert rows == ErasedRows(4, 2, 1)
    assert world.said == [
        "keep away 1:0:ann, 1:15:d at 1000",
        "send 1:0:ann, 1:15:d",
        "settled",
        *["erase ann, d at 1000"] * 3,
    ]


async def test_without_a_history_her_owners_are_all_there_is_to_tell() -> None:
    world = World()
    assert await erase(world.parts(with_past=False), Hers(SHE, []), 1, ERASURE) == ErasedRows()
    assert world.said == ["send 1:0:ann"]


async def test_an_archive_that_is_behind_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "SETTLED_S", 0.01)
    world = World([ErasedRows(3)], settles=False)
    assert await erase(world.parts(), Hers(SHE, []), 1, ERASURE) == ErasedRows(3)


async def test_rows_that_keep_coming_are_said_to_be_written_by_something_else() -> None:
    with pytest.raises(Retry, match="does something else than this version of Muster write there"):
        await erase(World([ErasedRows(1)] * 9).parts(), Hers(SHE, []), 1, ERASURE)


async def test_owners_that_do_not_run_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "WITHIN_S", 0.05)
    world = World(folds=False)
    with pytest.raises(Retry, match=r"the erasure was not folded within 0\.05 s: let muster membership run"):
        await erase(world.parts(), Hers(SHE, ["d"]), 1, ERASURE)
    assert not any(each.startswith("erase") for each in world.said)


async def test_in_whose_place_she_came_is_let_go_by_person_and_by_distinct_id() -> None:
    world = World()
    for each in ("ann", "d", "bob"):
        await world.hash_keys.keep(Subject(1, PERSON, each), {"f": "anon"})
    await erase(world.parts(with_past=False), Hers(SHE, ["d"]), 1, ERASURE)
    kept = await world.hash_keys.read([Subject(1, PERSON, each) for each in ("ann", "d", "bob")])
    assert kept == [{}, {}, {"f": "anon"}]
