"""Whose flags are looked at when, and who is told: the hub over a store in memory."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from cohort_store.changes import RESET
from cohort_store.clocks import SteppedClock
from cohort_store.memory import MemoryStore
from cohort_store.ports import RecordWrite, ShardCommit
from cohort_store.records import Record, encode_record
from cohort_store.subjects import PERSON, Subject, shard_of
from evaluator.definitions.catalog import Catalog, compile_catalog
from evaluator.push import hub as push
from evaluator.push.channels import context_of
from evaluator.push.events import ChangesStatus
from evaluator.push.feed import RememberedFeed, follow
from evaluator.push.hub import Hub, Refusal, Refused
from evaluator.push.looking import StoreLooker
from evaluator.push.stream import Stream
from evaluator.reading.coalescing import CoalescingReader
from tests.evaluator.building import DAY_MS, NOW_MS, SHARDS, flag, in_cohort, person_is, registry_of, store_people
from tests.evaluator.push.test_feed import change

FLAGS = (flag("for-buyers", {"properties": [in_cohort("buyers")]}), flag("for-all", {}))
REGISTRY = registry_of(FLAGS)
BUYERS = REGISTRY.team(1).cohorts[0].versions[-1].handle
POSITION = {"now_ms": NOW_MS + 31 * DAY_MS, "ready": REGISTRY.version}
DEADLINE_S = 10.0
STREAMS_MAX = 5


class Defined:
    """Definitions that are replaced by hand."""

    def __init__(self) -> None:
        self.catalog: Catalog = compile_catalog(REGISTRY)


class Bench:
    """A hub that runs, over a store whose calls are counted."""

    def __init__(self) -> None:
        self.store = MemoryStore(SHARDS)
        self.defined = Defined()
        self.feed = RememberedFeed()
        self.ended: list[str] = []
        reads = CoalescingReader(self.store, lambda *_: None)
        look = StoreLooker(reads, self.defined, SteppedClock(NOW_MS + 31 * DAY_MS), DAY_MS)
        self.hub = Hub(look, self.defined, SHARDS, streams_max=STREAMS_MAX, report=self.ended.append)

    async def store_them(self, people: dict[str, Iterable[int]], pairs: dict[str, str] | None = None) -> None:
        await store_people(self.store, people, pairs=pairs, position=POSITION)

    async def put(self, person: str, *, member: bool) -> None:
        """Store her anew, and publish that she changed."""
        subject = Subject(1, PERSON, person)
        shard = shard_of(subject, SHARDS)
        held = (await self.store.positions([shard]))[shard]
        write = RecordWrite(
            subject,
            encode_record(Record(frozenset([BUYERS] if member else []), {})),
            joined=(BUYERS,) if member else (),
            departed=() if member else (BUYERS,),
        )
        await self.store.commit([ShardCommit(shard, held.commit_id, held._replace(commit_id=os.urandom(16)), (write,))])
        self.feed.publish(change(person))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    running = [asyncio.create_task(bench.hub.run()), asyncio.create_task(follow(bench.feed, bench.hub))]
    yield bench
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


class Told:
    """A stream's events, one by one."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._waiting: list[tuple[str, dict[str, Any], str]] = []

    async def next(self) -> tuple[str, dict[str, Any], str]:
        async with asyncio.timeout(DEADLINE_S):
            while not self._waiting:
                text = await self._stream.next()
                assert text, "the stream ended"
                self._waiting += [_parsed(each) for each in text.decode().split("\n\n") if "data: " in each]
        return self._waiting.pop(0)

    async def on(self) -> bool:
        """What is told next of the flag for buyers."""
        _, data, _ = await self.next()
        return bool(data["flags"]["for-buyers"]["enabled"])


def _parsed(text: str) -> tuple[str, dict[str, Any], str]:
    fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    return fields["event"], msgspec.json.decode(fields["data"]), fields.get("id", "")


async def test_the_state_is_told_first_and_then_what_changed(bench: Bench) -> None:
    await bench.store_them({"ada": []})
    told = Told(bench.hub.listen_to_person(1, "ada"))
    name, data, _ = await told.next()
    assert (name, set(data["flags"])) == ("state", {"for-buyers", "for-all"})
    await bench.put("ada", member=True)
    name, data, _ = await told.next()
    assert (name, set(data["flags"])) == ("change", {"for-buyers"})
    await bench.put("ada", member=False)
    assert await told.on() is False


async def test_a_persons_distinct_ids_are_all_told_whichever_came_first(bench: Bench) -> None:
    await bench.store_them({"ada": []}, pairs={"browser": "ada"})
    told = [Told(bench.hub.listen_to_person(1, each)) for each in ("browser", "ada")]
    assert [await each.on() for each in told] == [False, False]
    await bench.put("ada", member=True)
    assert [await each.on() for each in told] == [True, True]


async def test_a_reset_has_everybody_of_the_shard_looked_at(bench: Bench) -> None:
    await bench.store_them({"ada": []})
    told = Told(bench.hub.listen_to_person(1, "ada"))
    assert await told.on() is False
    await bench.store_them({"ada": [BUYERS]})
    bench.feed.publish(change("", status=RESET, shard=shard_of(Subject(1, PERSON, "ada"), SHARDS)))
    assert await told.on() is True


async def test_what_happened_while_changes_were_away_is_told_when_they_are_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluator.push.feed.RETRY_S", 0.01)
    await bench.store_them({"ada": []})
    told = Told(bench.hub.listen_to_person(1, "ada"))
    assert await told.on() is False
    bench.feed.away(True)
    name, data, _ = await told.next()
    assert (name, data["live"]) == ("status", False)
    later = Told(bench.hub.listen_to_team(1))
    assert (await later.next())[0] == "status", "whoever comes meanwhile is told so too"
    await bench.put("ada", member=True)
    bench.feed.away(False)
    found = [await told.next(), await told.next()]
    assert {name for name, _, _ in found} == {"status", "change"}
    assert bench.hub.status == ChangesStatus(True, bench.hub.status.detail)


async def test_a_person_who_changes_while_she_is_looked_at_for_the_first_time_is_looked_at_again(
    bench: Bench,
) -> None:
    await bench.store_them({"ada": []}, pairs={"browser": "ada"})
    look = bench.hub.look

    async def while_it_changes(team: int, distinct_id: str) -> Any:
        found = await look(team, distinct_id)
        bench.hub.look = look
        await bench.store_them({"ada": [BUYERS]})
        bench.hub.subject_changed(Subject(1, PERSON, "ada"))
        return found

    bench.hub.look = while_it_changes
    told = Told(bench.hub.listen_to_person(1, "browser"))
    assert [await told.on(), await told.on()] == [False, True]


async def test_a_distinct_id_that_is_given_to_another_person_is_noticed_by_the_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(push, "SWEEP_S", 0.01)
    bench = Bench()
    running = asyncio.create_task(bench.hub.run())
    await bench.store_them({"ada": [BUYERS]})
    told = Told(bench.hub.listen_to_person(1, "browser"))
    assert await told.on() is False
    await bench.store_them({}, pairs={"browser": "ada"})
    assert await told.on() is True
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_store_that_is_away_changes_no_value_and_is_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "RETRY_S", 0.01)
    await bench.store_them({"ada": [BUYERS]})
    told = Told(bench.hub.listen_to_person(1, "ada"))
    assert await told.on() is True
    bench.store.unreachable_for(3)
    bench.hub.subject_changed(Subject(1, PERSON, "ada"))
    async with asyncio.timeout(DEADLINE_S):
        while bench.store._unreachable:
            await asyncio.sleep(0.01)
    await bench.put("ada", member=False)
    name, data, _ = await told.next()
    assert data["flags"]["for-buyers"]["reason"]["code"] == "no_condition_match", (name, data)


async def test_a_provider_is_told_of_memberships_of_the_persons_whom_it_watches(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "WATCHED_MAX", 2)
    await bench.store_them({"ada": [], "bea": [], "cleo": []})
    stream = bench.hub.listen_to_team(1)
    told = Told(stream)
    assert (await told.next())[0] == "state"
    assert bench.hub.watch(stream.id, 1, "ada")
    assert not bench.hub.watch(stream.id, 2, "ada"), "a stream tells of its own team only"
    assert not bench.hub.watch("no stream", 1, "ada")
    name, data, _ = await told.next()
    assert (name, data["distinct_id"], data["cohorts"]["buyers"]["member"]) == ("context", "ada", False)
    await bench.put("ada", member=True)
    assert (await told.next())[1]["cohorts"]["buyers"]["member"] is True
    bench.hub.watch(stream.id, 1, "bea")
    assert (await told.next())[1]["distinct_id"] == "bea"
    bench.hub.watch(stream.id, 1, "cleo")
    name, data, _ = await told.next()
    assert (name, data) == ("unwatched", {"distinct_id": "ada"}), "she was asked for longest ago"


async def test_properties_that_are_kept_of_a_person_decide_her_flags_and_are_told_to_a_provider(
    bench: Bench,
) -> None:
    bench.defined.catalog = compile_catalog(
        registry_of([flag("for-pros", {"properties": [person_is("plan", "exact", "pro")]})])
    )
    await store_people(bench.store, {"ada": []}, registers={"ada": {"plan": (NOW_MS, '"pro"')}}, position=POSITION)
    _, data, _ = await Told(bench.hub.listen_to_person(1, "ada")).next()
    assert data["flags"]["for-pros"]["enabled"] is True
    stream = bench.hub.listen_to_team(1)
    told = Told(stream)
    assert (await told.next())[0] == "state"
    bench.hub.watch(stream.id, 1, "ada")
    context = context_of("ada", await bench.hub.look(1, "ada"))
    assert (context.properties, context.unread) == ({"plan": "pro"}, [])


async def test_streams_beyond_a_limit_are_refused_and_what_is_left_makes_room(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "STREAMS_A_PERSON_MAX", 2)
    first = bench.hub.listen_to_person(1, "ada")
    bench.hub.listen_to_person(1, "ada")
    with pytest.raises(Refused) as refused:
        bench.hub.listen_to_person(1, "ada")
    assert (refused.value.why, refused.value.limit) == (Refusal.PERSON, 2)
    for number in range(3):
        bench.hub.listen_to_person(1, f"other-{number}")
    with pytest.raises(Refused) as refused:
        bench.hub.listen_to_team(1)
    assert (refused.value.why, refused.value.limit) == (Refusal.STREAMS, STREAMS_MAX)
    bench.hub.left(first)
    bench.hub.listen_to_team(1)
    assert bench.ended == ["gone"]


async def test_nobody_is_told_anything_more_once_the_evaluator_ends(bench: Bench) -> None:
    stream = bench.hub.listen_to_team(1)
    bench.hub.end_all()
    assert stream.ended == "stopping"
    with pytest.raises(Refused):
        bench.hub.listen_to_team(1)
