"""A deterministic run of routers, owners, failovers and edits in one process, and what must hold after it.

Everything but time and trouble is real: `Worker`, `Owner` and `Relay` run as they are, on `parts.py`.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from cohort_store.changes import ENTERED, decode_change
from cohort_store.clocks import SteppedClock
from cohort_store.compiling import activate, assign, drop_retired
from cohort_store.definitions import parse_cohort
from cohort_store.deltas import Delta, DeltaEntry, DeltaMessage, Mark, by_shard
from cohort_store.memory import MemoryStore, _Shard
from cohort_store.records import decode_record
from cohort_store.registry import Cohort, Registry, VersionState
from cohort_store.subjects import Subject, shard_of
from processors.membership.partition import DELTAS
from tests.membership.hosts import SETTLE_S, USUAL, Host, Script, Shape
from tests.membership.parts import Log, Snapshots
from tests.oracle.membership import Event, members_at

START_MS = 1_700_000_000_000
SECOND = 1_000
SOURCE = "muster.events"
RETIRED_LOOKS = 3
"""After so many looks of control's, what was retired is dropped."""

Plain = dict[str, Any]


class Arrival(NamedTuple):
    """An event as a source holds it."""

    person: str
    event: Event
    at_ms: int


class Router:
    """Reads sources, appends deltas, then says how far it has read."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.sources: list[list[Arrival]] = [[] for _ in range(world.shape.sources)]
        self.next = [0] * world.shape.sources
        self.through_ms: list[int | None] = [None] * world.shape.sources

    def read(self, source: int, count: int) -> None:
        """Route the next few events of a source, in one message a partition."""
        world, arrivals = self.world, self.sources[source]
        taken = arrivals[self.next[source] : self.next[source] + count]
        deltas: dict[int, list[Delta]] = {}
        for person, event, at_ms in taken:
            subject = Subject(1, 0, person)
            entries = self._entries(event)
            arrival_ms = at_ms if event.time_ms > at_ms else None
            partition = shard_of(subject, world.shape.shards) % world.shape.partitions
            deltas.setdefault(partition, []).append(Delta(subject, entries, (), arrival_ms))
            through_ms = min(at_ms, world.clock.now_ms())
            self.through_ms[source] = max(through_ms, self.through_ms[source] or 0)
        for partition, of_partition in deltas.items():
            world.append(partition, of_partition, ())
        self.next[source] += len(taken)

    def mark(self) -> None:
        """Tell every partition how far each source has been read."""
        world = self.world
        marks = []
        for source, arrivals in enumerate(self.sources):
            if self.next[source] == len(arrivals):
                self.through_ms[source] = max(world.clock.now_ms(), self.through_ms[source] or 0)
            through_ms = self.through_ms[source]
            if through_ms is not None:
                marks.append(Mark(SOURCE, source, through_ms, self.next[source]))
        for partition in range(world.shape.partitions):
            world.append(partition, (), marks)

    def fall_back(self, source: int, offset: int) -> None:
        """A router that starts anew where the group remembers."""
        self.next[source] = min(offset, self.next[source])
        self.through_ms[source] = None

    def _entries(self, event: Event) -> tuple[DeltaEntry, ...]:
        selectors = self.world.log.plan.team(1).selectors
        return tuple(
            DeltaEntry(handle, event.time_ms, event.tag)
            for handle, selector in selectors.items()
            if selector.holds(event.event, event.properties)
        )


class World:
    """See the module's docstring. `definitions` are in force from the start."""

    has_history = False

    def __init__(
        self,
        seed: int,
        definitions: Sequence[Plain],
        shape: Shape = USUAL,
        *,
        stutter: float = 0.0,
        script: Script | None = None,
    ) -> None:
        self.random = Random(seed)
        self.shape = shape
        self.stutter = stutter
        self.clock = SteppedClock(START_MS)
        self.definitions = list(definitions)
        sources = {SOURCE: tuple(range(shape.sources))}
        registry = assigned(Registry(sources=sources), self.definitions, START_MS)
        self.log = Log(shape.partitions, registry)
        self.store = MemoryStore(shape.shards)
        self.snapshots = Snapshots(self.store)
        self.script = script or Script(Random(seed + 1))
        self.router = Router(self)
        self.hosts: list[Host] = []
        self.persons = [f"person-{number}" for number in range(shape.persons)]
        self.events: dict[str, list[Event]] = {person: [] for person in self.persons}
        self._messages = 0
        self._looks: dict[int, int] = {}

    def append(
        self, partition: int, deltas: Sequence[Delta], marks: Sequence[Mark], made_with: int | None = None
    ) -> None:
        """Append a message, made with the newest registry version or with `made_with`."""
        self._messages += 1
        message_id = self._messages.to_bytes(8, "big")
        groups = by_shard(deltas, self.shape.shards)
        self.log.append(
            partition, DeltaMessage(message_id, made_with or self.log.registry.version, groups, tuple(marks))
        )

    def happen(self, person: str, name: str, time_ms: int | None = None, *, source: int = 0) -> None:
        """An event reaches a source now; `time_ms` is when it says that it happened."""
        now_ms = self.clock.now_ms()
        known = self.events[person]
        event = Event(f"{person}-{len(known)}", name, now_ms if time_ms is None else time_ms)
        known.append(event)
        self.router.sources[source].append(Arrival(person, event, now_ms))

    def step(self, by_ms: int) -> None:
        self.clock.set(self.clock.now_ms() + by_ms)

    def host(self) -> Host:
        self.hosts.append(Host(self, f"worker-{len(self.hosts)}"))
        return self.hosts[-1]

    def owners(self, partition: int) -> list[Host]:
        """Whoever believes to own a partition."""
        return [host for host in self.hosts if host.is_alive and partition in host.consumer.assigned]

    async def give(self, partition: int, host: Host) -> None:
        """Let a host own a partition, whoever else believes to own it."""
        await host.assign(partition, self.random.randint(0, len(self.log.deltas[partition])))

    def define(self, definitions: Sequence[Plain]) -> None:
        """Apply an edit; it takes force when every shard has folded it."""
        self.log.define(assigned(self.log.registry, definitions, self.clock.now_ms()))
        self.definitions = list(definitions)

    async def activate(self) -> None:
        """What control does when shards are ready, and some time after."""
        positions = await self.store.positions(range(self.shape.shards))
        ready = min((position.ready for position in positions.values()), default=0)
        if len(positions) == self.shape.shards:
            self.log.define(activate(self.log.registry, ready))
        self._looks = {each: self._looks.get(each, 0) + 1 for each in self.log.registry.retired_in()}
        through = max((each for each, looks in self._looks.items() if looks >= RETIRED_LOOKS), default=0)
        self.log.define(drop_retired(self.log.registry, through))

    def snapshot(self, shards: Iterable[int] | None = None) -> dict[int, _Shard]:
        chosen = range(self.shape.shards) if shards is None else shards
        return {shard: self.snapshots.take(shard) for shard in chosen}

    def fail_over(self, taken: Mapping[int, _Shard]) -> None:
        """These shards lose what was written since."""
        for shard, copy in taken.items():
            self.snapshots.restore(shard, copy)

    async def settle(self) -> None:
        """No more trouble: one owner a partition, everything routed; returns when nothing is left to be done."""
        self.script.is_quiet = True
        for partition in range(self.shape.partitions):
            owners = self.owners(partition)
            for other in owners[1:]:
                await other.revoke(partition)
            if not owners:
                alive = [host for host in self.hosts if host.is_alive] or [self.host()]
                await self.give(partition, alive[0])
        deadline = asyncio.get_running_loop().time() + SETTLE_S
        while not await self._is_settled():
            assert asyncio.get_running_loop().time() < deadline, self._unsettled()
            for source in range(self.shape.sources):
                self.router.read(source, 1_000)
            self.router.mark()
            await asyncio.sleep(0.3)
            await self.activate()

    async def _is_settled(self) -> bool:
        for host in self.hosts:
            if host.task.done() and not host.task.cancelled():
                host.task.result()
        positions = await self.store.positions(range(self.shape.shards))
        has_read = all(
            next_ == len(source) for next_, source in zip(self.router.next, self.router.sources, strict=True)
        )
        return has_read and len(positions) == self.shape.shards and not self._unsettled()

    def _unsettled(self) -> list[str]:
        found = []
        for number, shard in enumerate(self.store._shards):
            position = shard.position
            end = len(self.log.deltas[number % self.shape.partitions])
            is_read = position is not None and DELTAS in position.offsets and position.offsets[DELTAS].next == end
            if position is None or not is_read or position.now_ms != self.clock.now_ms():
                found.append(
                    f"shard {number} stands at {position}, its input ends at {end}, it is {self.clock.now_ms()}"
                )
            elif position.ready != self.log.registry.version or shard.outbox:
                found.append(f"shard {number} is ready for {position.ready}, {len(shard.outbox)} changes wait")
        if any(v.state is VersionState.BUILDING for c in self.cohorts() for v in c.versions):
            found.append("a version is building")
        if self.log.registry.retired_in():
            found.append("a version is retired and still there")
        return found

    def cohorts(self) -> tuple[Cohort, ...]:
        return self.log.registry.team(1).cohorts

    async def stop(self) -> None:
        for host in self.hosts:
            host.kill()
        await asyncio.gather(*(host.task for host in self.hosts), return_exceptions=True)

    async def check(self) -> None:
        """Sets, records and the change stream say what the oracle says of all events, for everybody, now."""
        told = self.told()
        now_ms = self.clock.now_ms()
        wrong = []
        for person in self.persons:
            subject = Subject(1, 0, person)
            (membership,) = await self.store.memberships([subject])
            assert membership.now_ms == now_ms
            (raw,) = await self.store.records([subject])
            kept = decode_record(raw).memberships if raw else frozenset()
            if kept != membership.handles:
                wrong.append(f"{person}: the record says {sorted(kept)}, the sets {sorted(membership.handles)}")
            expected = members_at(self.definitions, self.events[person], now_ms)
            for cohort in self.cohorts():
                active = cohort.active
                assert active is not None
                stored = (active.handle in membership.handles) is not active.complemented
                heard = told.get((cohort.id, person), ENTERED if active.complemented else "left") == ENTERED
                if not stored is heard is expected[cohort.key]:
                    wrong.append(f"{person} in {cohort.key}: oracle {expected[cohort.key]}, set {stored}, told {heard}")
        assert not wrong, "\n".join(wrong)

    def told(self) -> dict[tuple[int, str], str]:
        """What a consumer holds that keeps the highest sequence for each (cohort, subject)."""
        highest: dict[tuple[int, str], tuple[int, str]] = {}
        numbered: dict[tuple[int, int], tuple[int, str, str]] = {}
        for partition in self.log.changes:
            for raw in partition:
                change = decode_change(raw)
                key, what = (change.cohort_id, change.person_id), (change.sequence, change.status)
                content = (change.cohort_id, change.person_id, change.status)
                assert numbered.setdefault((change.shard, change.sequence), content) == content, (
                    "one number, two changes"
                )
                highest[key] = max(what, highest.get(key, what))
        return {key: status for key, (_, status) in highest.items()}


def assigned(registry: Registry, definitions: Sequence[Plain], now_ms: int) -> Registry:
    return assign(registry, [parse_cohort(each) for each in definitions], {}, applied="edit", now=now_ms)
