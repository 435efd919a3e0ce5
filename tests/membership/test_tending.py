"""What nothing needs any more goes in the end, and live traffic waits for no more than a bounded share of the time."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from cohort_store.clocks import SteppedClock
from cohort_store.compiling import assign, drop_retired
from cohort_store.definitions import parse_cohort
from cohort_store.deltas import Delta, DeltaEntry, DeltaMessage, Erasure, Mark, by_shard
from cohort_store.memory import MemoryStore
from cohort_store.plans import compile_plan
from cohort_store.ports import RecordWrite, ShardCommit
from cohort_store.records import Forgotten, Record, decode_record, encode_record
from cohort_store.registry import Registry
from cohort_store.subjects import Subject
from processors.membership import sweeping
from processors.membership.owner import Owner, OwnerConfig
from processors.membership.partition import DELTAS, Received
from processors.membership.resume import Bounds, resume
from processors.membership.tending import FIRST_AFTER_MS, ROUND_MS, SHARE, Place, Tending
from tests.membership.shards import MINUTE, person

START_MS = 1_700_000_000_000
BUYERS = {"key": "buyers", "when": {"kind": "performed", "event": "buy", "within": "60m"}}
EVER = {"key": "ever", "when": {"kind": "first_time", "event": "buy", "since": "2020-01-01"}}


def registry_of(*cohorts: Mapping[str, Any], before: Registry | None = None) -> Registry:
    fresh = Registry(sources={"muster.events": (0,)})
    return assign(before or fresh, [parse_cohort(each) for each in cohorts], {}, applied="a", now=0)


class Setting:
    """An owner of one shard, and a clock that it goes by."""

    def __init__(self, *cohorts: Mapping[str, Any], heartbeat_ms: int = 500) -> None:
        self.store, self.clock, self.elapsed = MemoryStore(1), SteppedClock(START_MS), itertools.count()
        self.skipped_ms = 0
        config = OwnerConfig(1, 1, 5_000, 3_600_000, 1_000, heartbeat_ms)
        self.owner = Owner(self.store, self.clock, lambda: next(self.elapsed) + self.skipped_ms, config)
        self.registry = registry_of(*cohorts)
        self.owner.follow(compile_plan(self.registry))
        resumed = resume([0], DELTAS, {}, Bounds(0, 0), self.owner.fresh_position(0), same=True)
        self.owner.adopt(0, resumed, changes_offset=0)
        self.offset = 0

    async def buy(self, *numbers: int) -> None:
        selectors = self.owner.plan.team(1).selectors
        now_ms = self.clock.now_ms()
        entries = tuple(DeltaEntry(selector, now_ms, 7) for selector in selectors)
        await self.receive(DeltaMessage(b"", 1, by_shard([Delta(person(each), entries) for each in numbers], 1)))

    async def receive(self, message: DeltaMessage) -> None:
        marked = message._replace(id=b"%d" % self.offset)
        if message.erasure is None:
            marked = marked._replace(marks=(Mark("muster.events", 0, self.clock.now_ms(), 0),))
        await self.owner.fold({0: [Received(self.offset, marked)]})
        self.offset += 1

    async def put(self, *records: tuple[Subject, Record]) -> None:
        """Store records as other rules may have left them: without a timer, and behind the owner's back."""
        (position,) = (await self.store.positions([0])).values()
        writes = tuple(
            RecordWrite(subject, encode_record(record), tuple(record.memberships), rearm=True)
            for subject, record in records
        )
        await self.store.commit([ShardCommit(0, position.commit_id, position._replace(commit_id=b"x"), records=writes)])
        shard = self.owner.partitions[0].shards[0]
        shard.position = shard.position._replace(commit_id=b"x")

    async def ticks(self, count: int = 10, after_ms: int = FIRST_AFTER_MS) -> None:
        await self.owner.tick()
        self.skipped_ms += after_ms
        for _ in range(count):
            await self.owner.tick()
            self.skipped_ms += 10 * SHARE

    async def stored(self) -> dict[Subject, Record]:
        subjects = (await self.store.subjects(0, None, 1_000)).subjects
        return {subject: decode_record(raw) for subject, raw in (await self.store.load({0: subjects})).items()}


async def test_a_record_without_a_timer_that_no_definition_needs_goes_with_the_drop_of_the_definition() -> None:
    setting = Setting(EVER, BUYERS)
    await setting.buy(1)
    setting.clock.set(START_MS + 61 * MINUTE)
    await setting.receive(DeltaMessage(b"", 1))
    await setting.owner.tick()
    assert (await setting.store.due({0: 2**60}, 10))[0].subjects == (), "her timer is not due, whenever"
    assert person(1) in await setting.stored()
    without = assign(setting.registry, [parse_cohort(BUYERS)], {}, applied="b", now=0)
    for registry in (without, drop_retired(without, without.version)):
        setting.owner.follow(compile_plan(registry))
        for _ in range(3):
            await setting.owner.tick()
    assert await setting.stored() == {}


async def test_what_older_rules_kept_without_a_timer_goes_and_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweeping, "SWEEP_PAGE", 2)
    setting = Setting(BUYERS)
    await setting.buy(1)
    (cohort,) = setting.owner.plan.team(1).cohorts
    (selector,) = setting.owner.plan.team(1).selectors
    old = ((START_MS - 61 * MINUTE, 7),)
    kept = await setting.stored()
    await setting.put(
        (person(2), Record(timelines={selector + 1_000: old})),
        (person(3), Record(frozenset({cohort.handle}), {selector: old})),
        (person(4), Record(registers={"plan": (1, '"pro"')})),
        (person(5), Record(forgotten=Forgotten(START_MS - 2, START_MS - 1))),
    )
    told = dict(setting.owner.told)
    await setting.ticks()
    assert await setting.stored() == kept
    assert (await setting.store.memberships([person(3)]))[0].handles == frozenset()
    assert setting.owner.told[0] == told[0] + 1


async def test_a_record_that_is_as_it_should_be_is_neither_written_nor_kept_in_memory() -> None:
    setting = Setting(BUYERS, heartbeat_ms=2**60)
    await setting.buy(*range(10))
    kept, (before,) = await setting.stored(), (await setting.store.positions([0])).values()
    setting.owner.partitions[0].records.clear()
    await setting.ticks()
    (after,) = (await setting.store.positions([0])).values()
    assert (await setting.stored(), after) == (kept, before)
    assert setting.owner.partitions[0].records == {}


async def test_a_tombstone_keeps_away_what_came_before_and_goes_by_its_timer() -> None:
    setting = Setting(BUYERS)
    await setting.buy(1)
    erasure = Erasure(START_MS, START_MS + MINUTE)
    await setting.receive(DeltaMessage(b"", 1, by_shard([Delta(person(1))], 1), erasure=erasure))
    assert (await setting.stored())[person(1)] == Record(forgotten=Forgotten(*erasure))
    await setting.buy(1)
    assert (await setting.stored())[person(1)].timelines == {}
    setting.clock.set(START_MS + MINUTE)
    await setting.receive(DeltaMessage(b"", 1))
    await setting.owner.tick()
    assert await setting.stored() == {}


def test_a_page_is_paid_for_by_a_pause_of_a_multiple_of_its_time() -> None:
    tending = Tending()
    assert tending.next([0, 1], 5) is None
    assert tending.next([0, 1], 5 + FIRST_AFTER_MS - 1) is None
    now_ms = 5 + FIRST_AFTER_MS
    assert tending.next([0, 1], now_ms) == Place(0, None)
    tending.done("more", 30, now_ms + 30)
    due_ms = now_ms + 30 + 30 * (SHARE - 1)
    assert tending.next([0, 1], due_ms - 1) is None
    assert tending.next([0, 1], due_ms) == Place(0, "more")
    tending.done(None, 30, due_ms + 30)
    assert tending.next([0, 1], 2 * due_ms) == Place(1, None)


def test_a_round_begins_a_day_after_the_one_before_began_and_goes_over_what_is_owned_then() -> None:
    tending = Tending()
    tending.next([], 0)
    began_ms = FIRST_AFTER_MS
    assert tending.next([3, 4], began_ms) == Place(3, None)
    tending.done(None, 1, began_ms + 1)
    assert tending.next([5], began_ms + ROUND_MS - 1) is None, "of what is owned no more nothing is looked at"
    assert tending.next([5], began_ms + ROUND_MS) == Place(5, None)


def test_an_owner_of_nothing_looks_at_nothing_and_asks_again_later() -> None:
    tending = Tending()
    tending.next([], 0)
    assert tending.next([], FIRST_AFTER_MS) is None
    assert tending.next([1], FIRST_AFTER_MS + ROUND_MS) == Place(1, None)
