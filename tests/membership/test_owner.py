"""An owner against a store: fences, gaps, caches and unknown fates, without worker or log."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import pytest

from cohort_store.changes import decode_change
from cohort_store.clocks import SteppedClock
from cohort_store.compiling import assign
from cohort_store.definitions import parse_cohort
from cohort_store.deltas import Delta, DeltaEntry, DeltaMessage, Mark, by_shard
from cohort_store.errors import Retry
from cohort_store.memory import MemoryStore
from cohort_store.plans import compile_plan
from cohort_store.ports import COMMIT_RECORDS_MAX, Offset, Outcome, Position, ShardCommit
from cohort_store.records import decode_record
from cohort_store.registry import Registry
from cohort_store.subjects import Subject
from processors.membership import owner as owner_module
from processors.membership import sweeping
from processors.membership.owner import Owner, OwnerConfig
from processors.membership.partition import DELTAS, Received
from processors.membership.resume import Bounds, resume
from tests.membership.parts import Snapshots

START_MS = 1_700_000_000_000
MINUTE = 60_000
BUYERS = {"key": "buyers", "when": {"kind": "performed", "event": "buy", "within": "60m"}}
VIEWERS = {"key": "viewers", "when": {"kind": "count", "event": "buy", "op": "gte", "n": 1, "within": "30m"}}


def _registry(*cohorts: Mapping[str, object], before: Registry | None = None) -> Registry:
    fresh = Registry(sources={"muster.events": (0,)})
    return assign(before or fresh, [parse_cohort(each) for each in cohorts], {}, applied="a", now=0)


class Setting:
    """One owner of the one partition, its store, and a log that is made up."""

    def __init__(self, *, records_cached_max: int = 1_000) -> None:
        self.store = MemoryStore(1)
        self.clock = SteppedClock(START_MS)
        self.elapsed = itertools.count(step=1_000)
        self.records_cached_max = records_cached_max
        self.registry = _registry(BUYERS)
        self.offset = 0

    async def owner(self) -> Owner:
        """A new owner, from where the store says that the shard stands."""
        config = OwnerConfig(1, 1, 5_000, 3_600_000, self.records_cached_max)
        owner = Owner(self.store, self.clock, lambda: next(self.elapsed), config)
        owner.follow(compile_plan(self.registry))
        positions = await self.store.positions([0])
        bounds = Bounds(0, self.offset)
        owner.adopt(0, resume([0], DELTAS, positions, bounds, owner.fresh_position(0), same=True), changes_offset=0)
        return owner

    def received(self, deltas: Iterable[Delta] = (), *, skip: int = 0) -> dict[int, list[Received]]:
        """The next message, with a mark of now."""
        mark = Mark("muster.events", 0, self.clock.now_ms(), 0)
        message = DeltaMessage(b"%d" % self.offset, 1, by_shard(deltas, 1), (mark,))
        self.offset += 1 + skip
        return {0: [Received(self.offset - 1, message)]}

    def bought(self, *numbers: int) -> list[Delta]:
        (selector,) = compile_plan(self.registry).team(1).selectors
        now_ms = self.clock.now_ms()
        return [Delta(_person(number), (DeltaEntry(selector, now_ms, number),)) for number in numbers]

    async def handles(self, number: int) -> frozenset[int]:
        (membership,) = await self.store.memberships([_person(number)])
        return membership.handles

    async def position(self) -> Position:
        return (await self.store.positions([0]))[0]


def _person(number: int) -> Subject:
    return Subject(1, 0, f"person-{number}")


async def _written_by_another(setting: Setting) -> None:
    position = await setting.position()
    other = position._replace(commit_id=b"another")
    await setting.store.commit([ShardCommit(0, position.commit_id, other)])


async def test_an_owner_whose_commit_is_fenced_gives_the_partition_up_and_writes_nothing() -> None:
    setting = Setting()
    owner = await setting.owner()
    await owner.fold(setting.received(setting.bought(1)))
    await _written_by_another(setting)
    await owner.fold(setting.received(setting.bought(2)))
    assert owner.lost == {0}
    assert await setting.handles(2) == frozenset()


async def test_a_lost_partition_moves_no_further_even_if_the_store_goes_back_to_what_its_owner_knew() -> None:
    setting = Setting()
    owner = await setting.owner()
    await owner.fold(setting.received(setting.bought(1)))
    snapshots = Snapshots(setting.store)
    known = snapshots.take(0)
    await _written_by_another(setting)
    await owner.fold(setting.received(setting.bought(2)))
    snapshots.restore(0, known)
    setting.clock.set(START_MS + MINUTE)
    await owner.tick()
    await owner.fold(setting.received(setting.bought(3)))
    assert (await setting.position()).offsets[DELTAS].next == 1, "the message of the second person was not folded"


async def test_messages_that_expired_between_two_fetches_of_one_fold_make_the_partition_lost() -> None:
    setting = Setting()
    owner = await setting.owner()
    fetched = [setting.received(setting.bought(number), skip=number == 2)[0] for number in (1, 2)]
    await owner.fold({0: [*fetched[0], *fetched[1]]})
    assert owner.lost == {0}
    assert await setting.handles(2) == frozenset()


async def test_messages_that_expired_unread_make_the_partition_lost_before_anything_behind_them_is_folded() -> None:
    setting = Setting()
    owner = await setting.owner()
    await owner.fold(setting.received(setting.bought(1)))
    await owner.fold(setting.received(setting.bought(2), skip=1))
    assert owner.lost == {0}
    assert (await setting.position()).offsets[DELTAS].next == 1


async def test_the_first_messages_after_a_look_up_may_begin_later_than_asked_for() -> None:
    setting = Setting()
    owner = await setting.owner()
    await owner.fold(setting.received(setting.bought(1), skip=5))
    assert owner.lost == set()
    assert (await setting.position()).offsets[DELTAS] == Offset(6, b"0")


async def test_messages_that_come_again_take_the_partition_no_step_back() -> None:
    setting = Setting()
    owner = await setting.owner()
    first = setting.received(setting.bought(1))
    await owner.fold(first)
    await owner.fold(setting.received(setting.bought(2)))
    await owner.fold(first)
    assert owner.partitions[0].offset == Offset(2, b"1")
    await owner.fold(setting.received(setting.bought(3)))
    assert owner.lost == set()


@pytest.mark.parametrize("records_cached_max", [0, 1, 1_000])
async def test_the_records_kept_in_memory_never_change_what_is_written(records_cached_max: int) -> None:
    setting = Setting(records_cached_max=records_cached_max)
    owner = await setting.owner()
    everybody = range(2 * COMMIT_RECORDS_MAX + 1)
    await owner.fold(setting.received(setting.bought(*everybody)))
    setting.clock.set(START_MS + MINUTE)
    await owner.fold(setting.received(setting.bought(*everybody)))
    await owner.tick()
    for number in everybody:
        (raw,) = await setting.store.records([_person(number)])
        assert raw is not None
        (timeline,) = decode_record(raw).timelines.values()
        assert timeline[-1] == (START_MS + MINUTE, number)
    assert len(owner.partitions[0].records) <= records_cached_max


async def test_history_that_is_filled_in_takes_no_memory_from_whom_live_events_tell() -> None:
    setting = Setting()
    owner = await setting.owner()
    await owner.fold(setting.received(setting.bought(1)))
    ((received,),) = setting.received(setting.bought(2)).values()
    seeds = received._replace(message=received.message._replace(is_seeds=True, marks=()))
    await owner.fold({0: [seeds, *setting.received(setting.bought(3))[0]]})
    assert await setting.handles(2), "she was filled in"
    assert set(owner.partitions[0].records) == {_person(1), _person(3)}


@pytest.mark.parametrize("records_cached_max", [0, 1_000])
async def test_a_sweep_in_several_commits_keeps_every_record(
    records_cached_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "SWEEP_PAGE", 50)
    setting = Setting(records_cached_max=records_cached_max)
    owner = await setting.owner()
    await owner.fold(setting.received(setting.bought(*range(120))))
    setting.registry = _registry(BUYERS, VIEWERS, before=setting.registry)
    plan = compile_plan(setting.registry)
    owner.follow(plan)
    while (await setting.position()).ready < plan.version:
        owner.partitions[0].shards[0].records_max = 7
        await owner.tick()
    for number in range(120):
        assert await setting.handles(number) == {cohort.handle for cohort in plan.team(1).cohorts}


async def test_a_shard_says_that_it_is_ready_with_the_last_record_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweeping, "SWEEP_PAGE", 50)
    monkeypatch.setattr(sweeping, "SWEEP_IDLE_MS_MAX", 0)
    setting = Setting()
    owner = await setting.owner()
    await owner.fold(setting.received(setting.bought(*range(120))))
    before = await setting.position()
    setting.registry = _registry(BUYERS, VIEWERS, before=setting.registry)
    plan = compile_plan(setting.registry)
    owner.follow(plan)
    for _ in range(2):
        await owner.tick()
        assert (await setting.position()).ready == before.ready
    await owner.tick()
    assert (await setting.position()).ready == plan.version


async def test_an_idle_shards_position_follows_offset_and_time() -> None:
    setting = Setting()
    owner = await setting.owner()
    await owner.fold(setting.received())
    await owner.tick()
    position = await setting.position()
    assert (position.now_ms, position.offsets[DELTAS].next) == (START_MS, 1)
    setting.clock.set(START_MS + 4_000)
    await owner.tick()
    assert (await setting.position()).now_ms == START_MS + 4_000


async def test_idle_positions_keep_up_a_share_of_them_a_tick_and_all_at_once_where_they_are_late() -> None:
    """Input waits for a tick: for a commit of every idle shard, twice a second, it waited long."""
    partitions, shards, every_ms = 8, 256, 500
    store, clock, elapsed = MemoryStore(shards), SteppedClock(START_MS), SteppedClock(every_ms)
    config = OwnerConfig(shards, partitions, 5_000, 3_600_000, 1_000, every_ms)
    owner = Owner(store, clock, elapsed.now_ms, config)
    owner.follow(compile_plan(_registry(BUYERS)))
    message = DeltaMessage(b"mark", 1, (), (Mark("muster.events", 0, START_MS, 0),))
    for number in range(partitions):
        numbers = list(owner.shards_of(number))
        fresh = resume(numbers, DELTAS, {}, Bounds(0, 1), owner.fresh_position(number), same=True)
        owner.adopt(number, fresh, changes_offset=0)
        await owner.fold({number: [Received(0, message)]})

    async def kept_up(at_ms: int) -> int:
        elapsed.set(at_ms)
        clock.set(START_MS + at_ms)
        await owner.tick()
        positions = await store.positions(range(shards))
        return sum(position.now_ms == clock.now_ms() for position in positions.values())

    each = [await kept_up(at_ms) for at_ms in range(every_ms, 2 * every_ms, 20)]
    assert (max(each), sum(each)) == (shards // 8, shards)
    assert await kept_up(4 * every_ms) == shards


async def test_numbers_of_a_telling_that_was_interrupted_are_below_all_that_another_owner_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Published in their order they would stand above its changes for ever, where its clock is behind."""
    monkeypatch.setattr(owner_module, "TELL_MAX", 1)
    setting = Setting()
    first = await setting.owner()
    await first.fold(setting.received(setting.bought(1, 2)))
    lost = [decode_change(entry.change) for entry in (await setting.store.outbox([0], 10))[0]]
    lost = [msgspec.structs.replace(change, sequence=change.sequence + MINUTE * 1_000) for change in lost]
    commit = setting.store.commit

    async def once(commits: Sequence[ShardCommit]) -> list[Outcome]:
        setting.store.commit = unreachable  # type: ignore[method-assign]
        return await commit(commits)

    async def unreachable(commits: Sequence[ShardCommit]) -> list[Outcome]:  # noqa: ARG001 - as the store has it
        raise Retry("away")

    setting.clock.set(START_MS + 2 * MINUTE)
    setting.store.commit = once  # type: ignore[method-assign]
    with pytest.raises(Retry):
        await first.reconcile(0, lost, {})
    setting.store.commit = commit  # type: ignore[method-assign]
    setting.clock.set(START_MS + MINUTE)
    waiting = {shard: decode_change(raw).sequence for shard, raw in (await setting.store.newest_changes([0])).items()}
    assert waiting[0] > (START_MS + 2 * MINUTE) * 1_000
    second = await setting.owner()
    await second.reconcile(0, lost, waiting)
    await second.fold(setting.received(setting.bought(3)))
    numbers = [decode_change(entry.change).sequence for entry in (await setting.store.outbox([0], 20))[0]]
    assert numbers == sorted(set(numbers))
