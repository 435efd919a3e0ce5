"""Wherever a store goes back to after somebody was forgotten, its owner forgets her again and nothing comes back."""

import itertools

import pytest

from cohort_store.clocks import SteppedClock
from cohort_store.deltas import Delta, DeltaEntry, DeltaMessage, Erasure, Mark, RegisterWrite, Stretch, by_shard
from cohort_store.memory import MemoryStore, _Shard
from cohort_store.plans import compile_plan
from cohort_store.records import Forgotten, Record, decode_record
from cohort_store.registry import Registry
from cohort_store.subjects import DISTINCT_ID, Subject
from processors.membership.owner import Owner, OwnerConfig
from processors.membership.partition import DELTAS, Received
from processors.membership.resume import Bounds, resume
from tests.membership.parts import Snapshots
from tests.membership.shards import BUYERS, MINUTE, QUIET, registry_of

START_MS = 1_700_000_000_000
ERASURE = Erasure(START_MS, START_MS + 1_000 * MINUTE)
PLAN = compile_plan(registry_of(BUYERS, QUIET, before=Registry(sources={"muster.events": (0,)})))
(SELECTOR,) = PLAN.team(1).selectors
SHE, HER_ID, OTHER = Subject(1, 0, "ann"), Subject(1, DISTINCT_ID, "d"), Subject(1, 0, "bob")


def bought(who: Subject, minutes: int) -> Delta:
    return Delta(who, (DeltaEntry(SELECTOR, START_MS + minutes * MINUTE, 7),))


def paired(minutes: int) -> Delta:
    return Delta(HER_ID, (), (RegisterWrite("person", START_MS + minutes * MINUTE, "ann"),))


def message(number: int, *deltas: Delta) -> DeltaMessage:
    mark = Mark("muster.events", 0, START_MS + number, 0)
    return DeltaMessage(b"%d" % number, PLAN.version, by_shard(deltas, 1), (mark,))


def without_marks(told: DeltaMessage) -> DeltaMessage:
    return told._replace(marks=())


OLD = (bought(SHE, -20), bought(SHE, -1), paired(-1), bought(OTHER, -1))
MESSAGES = [
    message(0, *OLD[:2]),
    message(1, *OLD[2:]),
    without_marks(message(2, Delta(SHE), Delta(HER_ID)))._replace(erasure=ERASURE),
    message(3, *OLD),
    without_marks(message(4, *OLD))._replace(is_seeds=True),
    without_marks(message(5, *OLD[:2]))._replace(mended=Stretch(0, START_MS)),
    message(6, *OLD),
]


async def owner_of(store: MemoryStore) -> Owner:
    """A new owner, from where the store says that the one shard stands."""
    clock, elapsed = SteppedClock(START_MS + 10), itertools.count()
    owner = Owner(store, clock, lambda: next(elapsed), OwnerConfig(1, 1, 5_000, 3_600_000, 100))
    owner.follow(PLAN)
    held = await store.positions([0])
    resumed = resume([0], DELTAS, held, Bounds(0, len(MESSAGES)), owner.fresh_position(0), same=True)
    owner.adopt(0, resumed, changes_offset=0)
    return owner


async def fold_from(store: MemoryStore, owner: Owner, snapshots: list[_Shard] | None = None) -> None:
    """Everything that the store has not folded, a message at a time."""
    for offset in range(owner.partitions[0].offset.next, len(MESSAGES)):
        await owner.fold({0: [Received(offset, MESSAGES[offset])]})
        assert owner.lost == set()
        if snapshots is not None:
            snapshots.append(Snapshots(store).take(0))


async def standing(store: MemoryStore) -> tuple[dict[Subject, Record], list[str | None], list[frozenset[int]]]:
    subjects = (await store.subjects(0, None, 100)).subjects
    records = {subject: decode_record(raw) for subject, raw in (await store.load({0: subjects})).items()}
    memberships = await store.memberships([SHE, OTHER])
    return records, await store.persons([(1, "d")]), [each.handles for each in memberships]


async def test_she_stays_forgotten_through_whatever_is_read_again() -> None:
    store = MemoryStore(1)
    await fold_from(store, await owner_of(store))
    records, persons, (hers, others) = await standing(store)
    assert records[SHE] == Record(forgotten=Forgotten(*ERASURE))
    assert persons == [None]
    assert hers == frozenset()
    assert others == {cohort.handle for cohort in PLAN.team(1).cohorts}, "in the one, and an exception of the other"


@pytest.mark.parametrize("kept", range(len(MESSAGES)))
async def test_a_store_that_lost_its_last_seconds_comes_to_the_same(kept: int) -> None:
    store, snapshots = MemoryStore(1), list[_Shard]()
    await fold_from(store, await owner_of(store), snapshots)
    expected = await standing(store)
    Snapshots(store).restore(0, snapshots[kept])
    await fold_from(store, await owner_of(store))
    assert await standing(store) == expected
