"""Filling in, with the world in memory and the owner real: order, resuming, and when it says that nothing lacks."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_store.clocks import SteppedClock
from cohort_store.compiling import backfill
from cohort_store.deltas import Delta, DeltaMessage, Mark, by_shard, decode_message
from cohort_store.errors import Retry
from cohort_store.kafka.topics import DELTAS
from cohort_store.memory import MemoryMirror, MemoryStore
from cohort_store.plans import TeamPlan, compile_plan
from cohort_store.ports import Position
from cohort_store.registry import Registry
from cohort_store.subjects import PERSON, Subject
from processors.backfill import filling_in, owners, pace, traffic
from processors.backfill.asking import PAUSED_NOTE
from processors.backfill.filling_in import FillingIn, FillingParts, noted_status
from processors.backfill.ports import FillingStatus, Pair, Part, Reading, Seed
from processors.backfill.turns import Filled
from processors.backfill.wanted import Wanted, wanted
from processors.membership.owner import Owner, OwnerConfig
from processors.membership.partition import Received
from processors.membership.resume import Bounds, resume
from processors.router.packing import Packed
from processors.router.progress import Source
from tests.domain.roll import delta_of, registry_of
from tests.domain.strategies import HORIZON, LAST, START, Cohorts, cohort_sets, histories
from tests.examples import lots_of
from tests.oracle.membership import Event, members_at

SHARDS, PARTITIONS = 4, 2
SOURCE = Source("muster.events", 0)
PEOPLE = 3
BUYERS: Cohorts = [{"key": "buyers", "when": {"kind": "count", "event": "a", "n": 2, "within": "12ms"}}]


def subject(number: int) -> Subject:
    return Subject(1, PERSON, f"person-{number}")


class World:
    """An owner of all shards, the log that it folds at once, and a history. Implements the ports of a filling in."""

    def __init__(self, cohorts: Cohorts, people: Sequence[Sequence[Event]], now: int = START + LAST) -> None:
        self.registry = with_sources(registry_of(cohorts))
        self.people = people
        self.clock, self.store, self.notes = SteppedClock(now), MemoryStore(SHARDS), MemoryMirror()
        self.wall = SteppedClock(now)
        self.offsets = dict.fromkeys(range(PARTITIONS), 0)
        self.plan: TeamPlan = compile_plan(self.registry).team(1)
        self.owner = self._owner()
        self.has_history = True
        self.behind = 2
        """How many looks the archive is behind."""
        self.beside: list[Callable[[], DeltaMessage]] = []
        """Live messages, of which one comes after each of seeds."""
        self.parts_read: list[int] = []
        self.pairs_read = 0
        """How often whose each distinct id is was asked."""
        self.begun: list[int] = []
        """From which place on each part was read."""
        self.breaks: set[int] = set()
        """Reads that break off in the middle, by their number."""
        self.sent: list[DeltaMessage] = []
        self.reading = Reading()
        self.read: list[Reading] = []
        """How each part was read."""
        self.elapsed_s = itertools.count(step=0.1)

    def _owner(self) -> Owner:
        elapsed = itertools.count(step=1_000)
        owner = Owner(
            self.store,
            self.clock,
            lambda: next(elapsed),
            OwnerConfig(SHARDS, PARTITIONS, 5_000, 3_600_000, 1_000),
        )
        owner.follow(compile_plan(self.registry))
        return owner

    async def adopt(self, *, is_new: bool = True, partitions: Iterable[int] = range(PARTITIONS)) -> None:
        for number in partitions:
            shards = self.owner.shards_of(number)
            positions = await self.store.positions(shards)
            bounds = Bounds(0, self.offsets[number])
            fresh = self.owner.fresh_position(number)
            resumed = resume(shards, DELTAS, positions, bounds, fresh, same=True, is_new=is_new)
            self.owner.adopt(number, resumed, changes_offset=0)
            await self.fold(number, DeltaMessage(b"mark", 1, (), (self.mark(),)))
        await self.owner.tick()

    def mark(self) -> Mark:
        return Mark(*SOURCE, self.clock.now_ms(), 0)

    async def fold(self, partition: int, message: DeltaMessage) -> None:
        self.offsets[partition] += 1
        await self.owner.fold({partition: [Received(self.offsets[partition] - 1, message)]})
        await self.owner.tick()

    async def live(self, deltas: Iterable[Delta]) -> None:
        for group in by_shard(deltas, SHARDS):
            await self.fold(group.shard % PARTITIONS, DeltaMessage(b"live", 1, (group,), (self.mark(),)))

    def filling_in(self) -> FillingIn:
        parts = FillingParts(
            self,
            self,
            self,
            self,
            self.notes,
            self.store,
            self.wall,
            SHARDS,
            PARTITIONS,
            part_persons=1,
            elapsed_s=lambda: next(self.elapsed_s),
        )
        return FillingIn(parts)

    async def fill(self) -> dict[int, int | None]:
        """As control does, with a process that begins anew after each failure."""
        while True:
            try:
                return dict((await self.filling_in().fill(self.registry)).begins_ms)
            except Retry:
                continue

    def delta(self, number: int, events: Sequence[Event]) -> Delta:
        return delta_of(self.plan, events)._replace(subject=subject(number))

    async def handles(self, number: int) -> frozenset[int]:
        (membership,) = await self.store.memberships([subject(number)])
        return membership.handles

    async def members(self, number: int) -> dict[str, bool]:
        stored = await self.handles(number)
        return {cohort.key: (cohort.handle in stored) is not cohort.complemented for cohort in self.plan.cohorts}

    # What a filling in asks of the world.

    def read_as(self, reading: Reading) -> World:
        self.reading = reading
        return self

    async def is_there(self) -> bool:
        return self.has_history

    async def begins_ms(self, team: int) -> int | None:
        assert team == 1
        return min((event.time_ms for events in self.people for event in events), default=None)

    async def persons(self, team: int) -> int:
        assert team == 1
        return len(self.people)

    async def seeds(self, wanted: Wanted, pruned_ms: int, part: Part) -> AsyncGenerator[Sequence[Seed], None]:
        """The whole history, which is as good as what has to be kept of it."""
        assert wanted.team == 1
        assert pruned_ms <= self.clock.now_ms()
        assert self.behind == 0, "read before it was complete"
        self.parts_read.append(part.number)
        self.begun.append(part.begins)
        self.read.append(self.reading)
        since_ms = self.reading.since_ms
        for number, events in enumerate(self.people):
            if number % part.of == part.number and number >= part.begins:
                known = [each for each in events if since_ms is None or each.time_ms >= since_ms]
                delta = self.delta(number, known)
                if delta.entries or delta.registers:
                    yield [Seed(delta.subject.id, delta.entries, delta.registers, number)]
        if len(self.parts_read) in self.breaks:
            raise Retry("broken off")

    async def pairs(self, team: int) -> AsyncGenerator[Sequence[Pair], None]:
        assert team == 1
        self.pairs_read += 1
        yield [Pair(f"distinct-{number}", f"person-{number}", START) for number in range(len(self.people))]

    async def of(self, registry_version: int, sources: Iterable[Source]) -> dict[Source, int]:
        assert registry_version == self.registry.version
        return dict.fromkeys(sources, 10)

    async def awaited(self, activations: Mapping[Source, int], since_ms: int) -> str:
        assert activations == {SOURCE: 10}
        assert since_ms == self.wall.now_ms()
        if self.behind:
            self.behind -= 1
            return "the archive"
        return ""

    async def send(self, messages: Sequence[Packed]) -> dict[int, int]:
        behind: dict[int, int] = {}
        for partition, value in messages:
            message = decode_message(value)
            assert message.is_seeds
            self.sent.append(message)
            await self.fold(partition, message)
            behind[partition] = self.offsets[partition]
            if self.beside:
                await self.live(self.beside.pop()().deltas)
        return behind

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        return {partition: self.offsets[partition] for partition in partitions}


class Behind(World):
    """An owner who folds one message after the other, each a while after it was sent."""

    def __init__(self, cohorts: Cohorts, people: Sequence[Sequence[Event]]) -> None:
        super().__init__(cohorts, people)
        self.log: list[tuple[int, DeltaMessage]] = []
        self.most = 0
        """Messages that were not folded yet, at most."""

    async def send(self, messages: Sequence[Packed]) -> dict[int, int]:
        self.log += [(partition, decode_message(value)) for partition, value in messages]
        self.most = max(self.most, len(self.log))
        return await self.ends({partition for partition, _ in messages})

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        waiting = [partition for partition, _ in self.log]
        return {partition: self.offsets[partition] + waiting.count(partition) for partition in partitions}

    async def work(self) -> None:
        """For ever."""
        while True:
            for _ in range(20):
                await asyncio.sleep(0)
            if self.log:
                await self.fold(*self.log.pop(0))


def with_sources(registry: Registry) -> Registry:
    return msgspec.structs.replace(registry, sources={SOURCE.topic: (SOURCE.partition,)})


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling_in, "LOOK_S", 0.0)
    monkeypatch.setattr(owners, "FOLDED_LOOK_S", 0.0)
    monkeypatch.setattr(pace, "PIECE_PERSONS", 1)


@pytest.mark.usefixtures("_no_waiting")
@lots_of(PEOPLE)
@given(
    cohort_sets(),
    st.lists(histories(), min_size=PEOPLE, max_size=PEOPLE),
    st.data(),
)
def test_live_and_backfilled_and_half_of_each_are_the_oracles_at_all_later_times(
    cohorts: Cohorts, people: list[list[Event]], data: st.DataObject
) -> None:
    live = [[event for event in events if data.draw(st.booleans())] for events in people]
    breaks = data.draw(st.sets(st.integers(1, 4), max_size=2))

    async def story() -> None:
        world = World(cohorts, people)
        world.breaks = breaks
        await world.adopt()
        told = [world.delta(number, [event]) for number, events in enumerate(live) for event in events]
        half = len(told) // 2
        await world.live(told[:half])
        world.beside = [lambda delta=delta: DeltaMessage(b"", 1, by_shard([delta], SHARDS)) for delta in told[half:]]  # type: ignore[misc]
        begins = await world.fill()
        while world.beside:
            await world.live(world.beside.pop()().deltas)
        assert set(begins) == {cohort.handle for cohort in world.plan.cohorts}
        for now in range(START + LAST, HORIZON):
            world.clock.set(now)
            for partition in range(PARTITIONS):
                await world.fold(partition, DeltaMessage(b"mark", 1, (), (world.mark(),)))
            found = [await world.members(number) for number in range(PEOPLE)]
            assert found == [members_at(cohorts, events, now) for events in people], f"at {now}"

    asyncio.run(story())


def bought(*times: int) -> list[Event]:
    return [Event(f"{time}", "a", START + time) for time in times]


async def test_what_was_done_is_not_read_again_and_a_part_that_broke_off_is() -> None:
    world = World(BUYERS, [bought(20, 21), bought(20, 22), bought(20, 23)])
    world.breaks = {2, 3}
    await world.adopt()
    begins = await world.fill()
    assert world.parts_read == [0, 1, 1, 1, 2]
    assert begins == {2: START + 20}
    assert [await world.members(number) for number in range(3)] == [{"buyers": True}] * 3
    assert await world.notes.note("backfill") is None


async def test_within_a_part_it_goes_on_behind_what_was_sent_and_counts_nobody_twice() -> None:
    world = World(BUYERS, [bought(20, 21) for _ in range(7)])
    world.breaks = {1, 2}
    await world.adopt()
    asked = world.filling_in()
    asked._parts = asked._parts._replace(part_persons=7, gathered_max=3)
    for _ in world.breaks:
        with pytest.raises(Retry, match="broken off"):
            await asked.fill(world.registry)
    assert (await asked.fill(world.registry)).persons == 7
    assert world.begun == [0, 5, 5]
    assert [await world.members(number) for number in range(7)] == [{"buyers": True}] * 7


async def test_a_note_of_other_versions_or_of_another_topic_is_not_gone_by() -> None:
    for change in ("versions", "topic"):
        world = World(BUYERS, [bought(20, 21), bought(20, 22), bought(20, 23)])
        world.breaks = {3}
        await world.adopt()
        with pytest.raises(Retry):
            await world.filling_in().fill(world.registry)
        assert world.parts_read == [0, 1, 2]
        if change == "versions":
            both = [*BUYERS, {"key": "again", "when": {**BUYERS[0]["when"], "n": 1}}]
            world.registry = with_sources(registry_of(both, world.registry))
            world.owner.follow(compile_plan(world.registry))
        else:
            ends = world.ends

            async def fewer(partitions: Iterable[int], ends: Any = ends) -> dict[int, int]:
                return {partition: min(1, end) for partition, end in (await ends(partitions)).items()}

            world.ends = fewer  # type: ignore[method-assign]
        await world.filling_in().fill(world.registry)
        assert world.parts_read == [0, 1, 2, 0, 1, 2]


async def test_what_has_its_history_is_not_asked_for_again() -> None:
    world = World(BUYERS, [bought(20, 21)])
    await world.adopt()
    begins = await world.fill()
    assert wanted(world.registry)
    filled = backfill(world.registry, begins)
    assert not wanted(filled)
    for began, complete_from in ((None, 0), (START, 0), (-5, -5)):
        (version,) = backfill(world.registry, {2: began}).team(1).cohorts[0].versions
        assert (version.activated_ms, version.backfilled) == (complete_from, True), "compiled at 0"
    assert await world.filling_in().fill(filled) == Filled()
    assert backfill(filled, begins) is filled
    assert world.parts_read == [0]


async def test_before_a_teams_first_history_it_is_told_whose_each_distinct_id_is_and_then_not_again() -> None:
    world = World(BUYERS, [bought(20, 21)])
    await world.adopt()
    begins = await world.fill()
    assert (await world.store.persons([(1, "distinct-0")]), world.pairs_read) == (["person-0"], 1)
    both = [*BUYERS, {"key": "often", "when": {**BUYERS[0]["when"], "n": 9}}]
    world.registry = with_sources(registry_of(both, backfill(world.registry, begins)))
    world.owner.follow(compile_plan(world.registry))
    await world.fill()
    assert world.pairs_read == 1


async def test_a_change_of_what_was_filled_in_has_that_for_its_cause() -> None:
    world = World(BUYERS, [bought(20, 21), bought(22)])
    await world.adopt()
    await world.live([world.delta(1, bought(23))])
    await world.fill()
    outbox = await world.store.outbox(range(SHARDS), 100)
    told = [entry.change for entries in outbox.values() for entry in entries]
    assert sorted((b'"backfill"' in each, b'"entered"' in each) for each in told) == [(True, True), (True, True)]


async def test_shards_that_began_anew_get_everything_again_and_are_told_that_they_are_whole() -> None:
    world = World(BUYERS, [bought(20, 21), bought(20, 22)])
    await world.adopt(is_new=False)
    world.registry = backfill(world.registry, {2: START})
    positions = await world.store.positions(range(SHARDS))
    assert {position.warm_from_ms for position in positions.values()} == {world.clock.now_ms()}
    assert await world.fill() == {2: START + 20}
    assert [await world.members(number) for number in range(2)] == [{"buyers": True}] * 2
    assert (await world.store.persons([(1, "distinct-1")])) == ["person-1"]
    positions = await world.store.positions(range(SHARDS))
    assert {position.warm_from_ms for position in positions.values()} == {0}
    assert {reading.hurries for reading in world.read} == {True}, "they answer nothing until then"
    assert await world.filling_in().fill(world.registry) == Filled()


async def test_shards_that_began_anew_are_reminded_by_the_positions_by_which_they_are_told_to_be_whole() -> None:
    """Some of them have no position yet when the turn begins: what is sent by then they may lack."""
    world = World(BUYERS, [bought(20, 21)])
    world.registry = backfill(world.registry, {2: START})
    reminded: list[Mapping[int, Position]] = []

    async def remind(positions: Mapping[int, Position]) -> None:
        assert not world.sent, "before its history, and so before it is told"
        reminded.append(positions)

    await world.adopt(is_new=False, partitions=[0])
    filling = asyncio.create_task(world.filling_in().fill(world.registry, remind=remind))
    for _ in range(20):
        await asyncio.sleep(0)
    assert (reminded, world.sent) == ([], [])
    await world.adopt(is_new=False, partitions=[1])
    await filling
    (positions,) = reminded
    whole = [each for message in world.sent for each in message.restored]
    assert sorted(whole) == [(shard, positions[shard].warm_from_ms) for shard in range(SHARDS)]


async def test_what_was_read_long_ago_is_read_once_more_from_where_it_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling_in, "READ_S_MAX", 0.0)
    world = World(BUYERS, [bought(20, 21) for _ in range(7)])
    await world.adopt()
    filling = world.filling_in()
    filling._parts = filling._parts._replace(part_persons=7, gathered_max=3)
    assert (await filling.fill(world.registry)).persons == 7
    assert world.begun == [0, 2, 4, 6]
    assert [await world.members(number) for number in range(7)] == [{"buyers": True}] * 7


async def test_how_long_it_settles_counts_from_the_newest_loss() -> None:
    """What came right before the second one is behind where its shard begins, and settles as late as that."""
    world = World(BUYERS, [bought(20, 21)])
    await world.adopt(is_new=False)
    world.registry = backfill(world.registry, {2: START})
    world.behind = 10**9
    filling = asyncio.create_task(world.filling_in().fill(world.registry))
    await until_noted(world, lambda status: bool(status.since_ms))
    filling.cancel()
    await asyncio.gather(filling, return_exceptions=True)
    lost = world.owner.partitions[0].shards[2]
    lost.position = lost.position._replace(warm_from_ms=lost.position.warm_from_ms + 5)
    for shard in (0, 1):
        await world.fold(shard, DeltaMessage(b"mark", 1, (), (world.mark(),)))
    world.clock.set(world.clock.now_ms() + 1_000)
    await world.fold(0, DeltaMessage(b"mark", 1, (), (world.mark(),)))
    world.wall.set(world.wall.now_ms() + 60_000)
    world.behind = 0
    # `awaited` says that since_ms is the wall's instant.
    await world.fill()


async def until_noted(world: World, wanted: Callable[[FillingStatus], bool]) -> None:
    async with asyncio.timeout(10):
        while (status := await noted_status(world.notes)) is None or not wanted(status):
            await asyncio.sleep(0)


async def test_who_takes_over_in_the_midst_of_the_parts_tells_no_pair_once_more() -> None:
    world = World(BUYERS, [bought(20, 21), bought(20, 22), bought(20, 23)])
    world.breaks = {2}
    await world.adopt()
    await world.fill()
    assert (world.parts_read, world.pairs_read) == ([0, 1, 1, 2], 1)
    assert (await world.store.persons([(1, "distinct-2")])) == ["person-2"]


@pytest.mark.parametrize(("hurries", "most"), [(True, 1 + pace.PIECES_AHEAD), (False, 1)])
async def test_owners_have_the_next_pieces_before_they_folded_one_and_no_more_where_live_events_wait(
    hurries: bool, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One part is one piece here: were each part's alone counted, all would be sent at once."""
    monkeypatch.setattr(traffic, "LIVE_MESSAGES_A_S", 0.0)
    world = Behind(BUYERS, [bought(20, 21)] * 20)
    await world.adopt(is_new=not hurries)
    working = asyncio.create_task(world.work())
    await world.fill()
    working.cancel()
    assert [await world.members(number) for number in range(20)] == [{"buyers": True}] * 20
    assert world.most == most


async def test_only_the_shards_that_began_anew_get_it() -> None:
    people = [bought(20, 21) for _ in range(20)]
    world = World(BUYERS, people)
    await world.adopt()
    world.registry = backfill(world.registry, {2: START})
    lost = world.owner.partitions[0].shards[2]
    lost.position = lost.position._replace(warm_from_ms=5)
    await world.fold(0, DeltaMessage(b"mark", 1, (), (world.mark(),)))
    world.clock.set(world.clock.now_ms() + 1_000)
    await world.fold(0, DeltaMessage(b"mark", 1, (), (world.mark(),)))
    await world.fill()
    assert {shard for message in world.sent for shard, _ in message.shards} == {2}
    assert [each for message in world.sent for each in message.restored] == [(2, 5)]


async def test_a_shard_that_began_anew_once_more_in_the_meantime_is_not_whole() -> None:
    world = World(BUYERS, [bought(20, 21)])
    await world.adopt(is_new=False)
    send = world.send

    async def losing(messages: Sequence[Packed]) -> dict[int, int]:
        for partition in world.owner.partitions.values():
            for shard in partition.shards.values():
                shard.position = shard.position._replace(warm_from_ms=shard.position.warm_from_ms + 1)
        return await send(messages)

    world.send = losing  # type: ignore[method-assign]
    await world.fill()
    positions = await world.store.positions(range(SHARDS))
    assert 0 not in {position.warm_from_ms for position in positions.values()}


async def test_where_events_came_and_the_history_has_none_no_shard_is_called_whole() -> None:
    world = World(BUYERS, [])
    await world.adopt(is_new=False)
    filling = world.filling_in()
    assert await filling.fill(world.registry) == Filled({2: None})
    positions = await world.store.positions(range(SHARDS))
    assert 0 not in {position.warm_from_ms for position in positions.values()}
    world.registry = backfill(world.registry, {2: None})
    assert await filling.fill(world.registry) == Filled(), "and that is not tried again and again"


async def test_without_a_history_nothing_waits_and_nothing_is_called_filled_in() -> None:
    world = World(BUYERS, [bought(20, 21)])
    world.has_history = False
    await world.adopt(is_new=False)
    filling = world.filling_in()
    assert (await filling.fill(world.registry), filling.has_history, world.behind) == (Filled(), False, 2)
    world.has_history = True
    assert (await filling.fill(world.registry), filling.has_history) == (Filled({2: START + 20}, persons=1), True)


async def test_a_process_that_ended_while_it_was_paused_leaves_none_that_seems_to_wait_still() -> None:
    world = World(BUYERS, [bought(20, 21), bought(20, 22)])
    await world.adopt()
    await world.notes.keep_note(PAUSED_NOTE, b"1")
    first = asyncio.create_task(world.filling_in().fill(world.registry))
    while (status := await filling_in.noted_status(world.notes)) is None or "resume" not in status.waits_for:
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    await world.notes.keep_note(PAUSED_NOTE, None)
    seen: list[str] = []
    keep = world.notes.keep_note

    async def watched(name: str, note: bytes | None) -> None:
        if note is not None:
            seen.append(msgspec.json.decode(note).get("waits_for", ""))
        await keep(name, note)

    world.notes.keep_note = watched  # type: ignore[method-assign]
    await world.filling_in().fill(world.registry)
    assert set(seen) == {""}
    assert await world.members(1) == {"buyers": True}
