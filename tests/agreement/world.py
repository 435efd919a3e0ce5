"""Everything that Muster is made of, in one process and in virtual time, beside all events that ever happened.

Routers, owners, the compiler, control's turns and the filling in are the real ones, on memory twins of their ports.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from cohort_store.clocks import SteppedClock
from cohort_store.definition_files import COHORT, Definitions, Name
from cohort_store.definitions import parse_cohort, to_plain
from cohort_store.freshness import CohortView, Status, member_of, status_of, view_of
from cohort_store.kafka.topics import DELTAS
from cohort_store.memory import MemoryMirror, MemoryStore, RegistryCopy, _Shard
from cohort_store.ports import Membership
from cohort_store.records import decode_record
from cohort_store.registry import Registry, VersionState
from cohort_store.static_lists import digest_of
from cohort_store.subjects import PERSON, Subject
from processors.definition_changes import DefinitionsLog, Message, canonical_values, messages_for
from processors.router.memory import MemoryLog
from processors.router.progress import Source
from processors.topic_log import RememberedLog, RememberedTopic
from tests.agreement.past import Archive, Sent
from tests.agreement.processes import POLL_S, TOPIC, Control, RouterProcess
from tests.membership.hosts import SETTLE_S, Host, Script, Shape
from tests.membership.parts import Log, Snapshots
from tests.oracle.membership import Event, is_member, members_at

START_MS = 1_700_000_000_000
NEVER_STALE_MS = 10**9
AHEAD_MS_MAX = 20_000
"""Further than events are dated ahead of their arrival, and than a router is behind the registry."""
Plain = dict[str, Any]


class World:
    """See the module's docstring."""

    has_history = True

    def __init__(self, seed: int, shape: Shape, *, stutter: float = 0.0) -> None:
        self.random, self.shape, self.stutter = Random(seed), shape, stutter
        self.script = Script(Random(seed + 1))
        self.clock = SteppedClock(START_MS)
        self.places = tuple(Source(TOPIC, number) for number in range(shape.sources))
        self.events = MemoryLog()
        self.sent: dict[Source, list[Sent]] = {place: [] for place in self.places}
        self.archive = Archive(self.sent)
        self.log = Log(shape.partitions, Registry())
        self.store = MemoryStore(shape.shards)
        self.snapshots = Snapshots(self.store)
        self.copy = RegistryCopy()
        self.definitions_topic, self.registry_topic = RememberedTopic(), RememberedTopic()
        self.persons = [f"person-{number}" for number in range(shape.persons)]
        self.known: dict[str, list[Event]] = {person: [] for person in self.persons}
        self.definitions: list[Plain] = []
        self.lists: dict[str, Sequence[str]] = {}
        """By digest, the members of every list that was ever defined."""
        self.hosts: list[Host] = []
        self.routers: list[RouterProcess] = []
        self.controls: list[Control] = []
        self.retried: list[str] = []
        self._applies = 0

    def mirror(self) -> MemoryMirror:
        return MemoryMirror(self.copy)

    async def list_sources(self) -> Mapping[str, tuple[int, ...]]:
        return {TOPIC: tuple(range(self.shape.sources))}

    # What happens.

    def happen(self, person: str, event: Event, place: Source, *, by: str = "both") -> None:
        """An event reaches a source now. `by`: whose it is said to be, `person`, `distinct` or `both`."""
        if event not in self.known[person]:
            self.known[person].append(event)
        self.send(Sent("" if by == "distinct" else person, "" if by == "person" else f"d-{person}", event, 0), place)

    def send(self, sent: Sent, place: Source) -> None:
        now_ms = self.clock.now_ms()
        self.sent[place].append(sent._replace(at_ms=now_ms))
        uuid, name, time_ms, properties = sent.event
        fields: Plain = {"event": name, "timestamp": time_ms, "uuid": uuid, "properties": dict(properties)}
        fields |= {"person_id": sent.person} if sent.person else {}
        fields |= {"distinct_id": sent.distinct_id} if sent.distinct_id else {}
        self.events.append(place, json.dumps(fields).encode(), now_ms)

    def step(self, by_ms: int) -> None:
        self.clock.set(self.clock.now_ms() + by_ms)

    async def apply(self, definitions: Sequence[Plain]) -> None:
        """What `muster apply --prune` writes."""
        self.definitions = list(definitions)
        self.lists |= {digest_of(each["members"]): each["members"] for each in definitions if "members" in each}
        self._applies += 1
        log = DefinitionsLog()
        for record in self.definitions_topic.records:
            log.add(Message(record.key, record.value))
        cohorts = {Name(COHORT, 1, each["key"]): parse_cohort(each) for each in definitions}
        values = canonical_values(Definitions(cohorts))
        messages = messages_for(log, values, f"apply-{self._applies}")
        await RememberedLog(self.definitions_topic).append(messages)

    def flush(self) -> None:
        """All of the store is gone, the registry's mirror and the notes too. Ids of an outbox never come back."""
        for number, shard in enumerate(self.store._shards):
            self.store._shards[number] = _Shard(entries=shard.entries)
        self.copy.version, self.copy.registry = 0, None
        self.copy.lists, self.copy.notes = {}, {}

    # Who works.

    def control(self) -> None:
        if not any(each.is_alive for each in self.controls):
            self.controls.append(Control(self, f"control-{len(self.controls)}"))

    def host(self) -> Host:
        self.hosts.append(Host(self, f"worker-{len(self.hosts)}"))
        self.hosts[-1].consumer.wait_s = POLL_S
        return self.hosts[-1]

    def owners(self, partition: int) -> list[Host]:
        return [host for host in self.hosts if host.is_alive and partition in host.consumer.assigned]

    async def give(self, partition: int, host: Host) -> None:
        await host.assign(partition, self.random.randint(0, len(self.log.deltas[partition])))

    def route(self, count: int, *, telling: bool = True) -> None:
        """Let so many routers share the sources; those of before, where nobody tells them, believe that they do."""
        for each in self.routers:
            if telling and not each.source.is_fenced:
                each.source.move(())
            each.source.is_fenced = True
        alive = [each for each in self.routers if each.is_alive and telling][-count:]
        while len(alive) < count:
            alive.append(RouterProcess(self, f"router-{len(self.routers)}"))
            self.routers.append(alive[-1])
        for number, router in enumerate(alive):
            router.source.is_fenced = False
            router.source.move(self.places[number::count])

    @property
    def routing(self) -> list[RouterProcess]:
        """Those who are in the group."""
        return [each for each in self.routers if each.is_alive and not each.source.is_fenced]

    # What must hold.

    async def drain(self, *, until_ready: bool = False) -> None:
        """No more trouble; returns when all live events are folded, and with `until_ready` nothing is left to do."""
        self.script.is_quiet = True
        self.control()
        if {place for each in self.routing for place in each.source.assigned} != set(self.places):
            self.route(1)
        for partition in range(self.shape.partitions):
            owners = self.owners(partition)
            for other in owners[1:]:
                await other.revoke(partition)
            if not owners:
                await self.give(partition, next((host for host in self.hosts if host.is_alive), None) or self.host())
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_S
        if until_ready:
            self._archive_all()
        while left := [*self._unfolded(), *(self._unready() if until_ready else ())]:
            assert loop.time() < deadline, "\n".join([*left, *self.retried[-3:]])
            await asyncio.sleep(0.1)
            self.look_for_crashes()

    def _archive_all(self) -> None:
        for place, sent in self.sent.items():
            self.archive.read(place, len(sent))

    def _everyone(self) -> list[Host | RouterProcess | Control]:
        return [*self.hosts, *self.routers, *self.controls]

    def look_for_crashes(self) -> None:
        for each in self._everyone():
            if each.task.done() and not each.task.cancelled():
                each.task.result()

    def _unfolded(self) -> list[str]:
        found = [
            f"{place} is routed to {self.events.committed.get(place, 0)} of {len(sent)}"
            for place, sent in self.sent.items()
            if self.events.committed.get(place, 0) < len(sent)
        ]
        for number, shard in enumerate(self.store._shards):
            position, end = shard.position, len(self.log.deltas[number % self.shape.partitions])
            is_read = position is not None and DELTAS in position.offsets and position.offsets[DELTAS].next == end
            if position is None or not is_read or position.now_ms != self.clock.now_ms():
                found.append(f"shard {number} stands at {position}, its input ends at {end}")
        return found

    def _unready(self) -> list[str]:
        registry = self.log.registry
        found = []
        if registry.applied != f"apply-{self._applies}":
            found.append("an apply is not compiled")
        versions = [version for cohort in registry.team(1).cohorts for version in cohort.versions]
        if any(version.state is VersionState.BUILDING for version in versions) or registry.retired_in():
            found.append("a version is building, or retired and still there")
        if not all(version.backfilled for version in versions):
            found.append("a history is not filled in")
        for number, shard in enumerate(self.store._shards):
            if shard.position is None or shard.position.ready < registry.cohorts_version:
                found.append(f"shard {number} is not ready")
            elif shard.position.warm_from_ms or shard.outbox:
                found.append(f"shard {number} may have missed something, or {len(shard.outbox)} changes wait")
        if self.copy.version != registry.version:
            found.append("the mirror is behind")
        return found

    async def check(self, *, all_of_it: bool) -> None:
        """What is OK is right. `all_of_it`: so is every answer, there is one, and it is of what was defined last."""
        registry, now_ms, wrong = self.log.registry, self.clock.now_ms(), []
        if all_of_it:
            assert not registry.refused, registry.refused
            defined = [to_plain(parse_cohort(each)) for each in self.definitions]
            assert [each.source for each in sorted(registry.team(1).cohorts, key=lambda each: each.key)] == sorted(
                defined, key=lambda each: str(each["key"])
            )
        judged = [(cohort, view_of(cohort, registry.version)) for cohort in registry.team(1).cohorts]
        for person in self.persons:
            subject = Subject(1, PERSON, person)
            (membership,), (raw,) = await self.store.memberships([subject]), await self.store.records([subject])
            kept = decode_record(raw).memberships if raw else frozenset()
            if kept != membership.handles:
                wrong.append(f"{person}: the record says {sorted(kept)}, the sets {sorted(membership.handles)}")
            drawn = [each for each in self.definitions if "members" not in each]
            latest = members_at(drawn, self.known[person], now_ms)
            latest |= {each["key"]: person in each["members"] for each in self.definitions if "members" in each}
            for cohort, view in judged:
                status, answer = status_of(view, membership, NEVER_STALE_MS, now_ms), member_of(view, membership)
                if cohort.active is None or not (all_of_it or _is_judged(view, membership)):
                    continue
                expected = self.is_member(cohort.key, cohort.active.when, person, now_ms)
                assert not all_of_it or expected is latest[cohort.key]
                if answer is not expected:
                    wrong.append(f"{person} in {cohort.key}: oracle {expected}, told {answer}, {status}")
        assert not wrong, "\n".join(wrong)

    def is_member(self, key: str, when: Plain, person: str, now_ms: int) -> bool:
        """What the oracle says; a list's members are in it at every instant."""
        if when.get("kind") == "static_list":
            return person in self.lists[when["list"]]
        return is_member({"key": key, "when": when}, self.known[person], now_ms)

    async def stop(self) -> None:
        everyone = self._everyone()
        for each in everyone:
            each.kill()
        await asyncio.gather(*(each.task for each in everyone), return_exceptions=True)


def _is_judged(view: CohortView, membership: Membership) -> bool:
    """Whether the answer has to be right.

    What came before routers read for a version, and is dated later than its compiling, is missing until its history is
    filled in; so without that it is judged as if its window had begun so much later.
    """
    now_ms = membership.now_ms - (0 if view.backfilled else AHEAD_MS_MAX)
    return status_of(view, membership._replace(now_ms=now_ms), NEVER_STALE_MS, now_ms) is Status.OK
