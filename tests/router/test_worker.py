"""The router's loop, on memory."""

import asyncio
from typing import Any

from cohort_store.deltas import Delta, DeltaEntry, RegisterWrite
from cohort_store.subjects import DISTINCT_ID, Subject, shard_of
from processors.router.memory import MemoryLog
from tests.router.building import CONFIG, FIRST, NOW_MS, SECOND, bench, event, handles, registry

BUY = {"event": "buy"}


def persons_in(deltas: list[Delta]) -> list[str]:
    return [delta.subject.id for delta in deltas]


async def test_a_wanted_event_becomes_a_delta_in_the_partition_of_its_shard() -> None:
    on = bench(registry(BUY))
    on.log.append(FIRST, event("buy"), NOW_MS)
    await on.router.step()
    ((partition, message), *_) = on.sink.messages
    (delta,) = message.deltas
    assert delta.subject == Subject(1, 0, "ann")
    assert [entry.selector for entry in delta.entries] == [handles(registry(BUY))["buy"]]
    assert partition == shard_of(delta.subject, CONFIG.shards) % CONFIG.partitions


async def test_what_nobody_wants_is_dropped_unread_even_if_it_is_broken() -> None:
    on = bench()
    on.log.append(FIRST, b'{"event":"view","timestamp":"broken"}', NOW_MS)
    on.log.append(FIRST, event("buy", team_id=99), NOW_MS)
    await on.router.step()
    assert (on.sink.deltas(), on.letters.letters) == ([], [])


async def test_bad_messages_are_buried_with_their_place_and_their_neighbours_go_on() -> None:
    on = bench()
    values: list[bytes | None] = [event("buy", person_id="a"), b"{", None, event("buy", person_id="b")]
    for value in values:
        on.log.append(SECOND, value, NOW_MS)
    await on.router.step()
    assert persons_in(on.sink.deltas()) == ["a", "b"] or persons_in(on.sink.deltas()) == ["b", "a"]
    letters = [(each.partition, each.offset, each.reason, each.value) for each in on.letters.letters]
    assert letters == [(1, 1, "not_json", b"{"), (1, 2, "empty", b"")]


async def test_a_wanted_event_with_both_ids_tells_the_distinct_ids_own_shard_its_person() -> None:
    on = bench()
    on.log.append(FIRST, event("buy", distinct_id="d"), NOW_MS)
    on.log.append(FIRST, event("buy", distinct_id="d", timestamp=NOW_MS + 1), NOW_MS)
    await on.router.step()
    pairs = [delta for delta in on.sink.deltas() if delta.subject.kind == DISTINCT_ID]
    assert pairs == [Delta(Subject(1, DISTINCT_ID, "d"), (), (RegisterWrite("person", NOW_MS, "ann"),))]


async def test_an_event_without_person_goes_to_the_person_of_its_distinct_id() -> None:
    on = bench()
    on.persons.known[1, "d"] = "bob"
    for distinct_id in ("d", "stranger", "d"):
        on.log.append(FIRST, event("buy", person_id=..., distinct_id=distinct_id), NOW_MS)
    await on.router.step()
    assert sorted(persons_in(on.sink.deltas())) == ["bob", "bob", "stranger"]
    assert on.persons.asked == [[(1, "d"), (1, "stranger")]]


async def test_a_pair_in_the_same_batch_spares_the_question() -> None:
    on = bench()
    on.log.append(FIRST, event("buy", person_id=..., distinct_id="d"), NOW_MS)
    on.log.append(SECOND, event("buy", person_id="ann", distinct_id="d"), NOW_MS)
    await on.router.step()
    entries = [delta.subject.id for delta in on.sink.deltas() if delta.entries]
    assert (entries, on.persons.asked) == (["ann", "ann"], [])


async def test_only_an_event_dated_later_than_its_arrival_carries_the_arrival() -> None:
    on = bench()
    for ahead_ms in (-1, 0, 1):
        on.log.append(FIRST, event("buy", timestamp=NOW_MS + ahead_ms), NOW_MS)
    on.log.append(FIRST, event("buy", person_id=..., distinct_id="d", timestamp=NOW_MS + 2), NOW_MS)
    await on.router.step()
    arrivals = {delta.entries[0].time_ms - NOW_MS: delta.arrival_ms for delta in on.sink.deltas()}
    assert arrivals == {-1: None, 0: None, 1: NOW_MS, 2: NOW_MS}


async def test_a_log_that_gives_no_time_of_arrival_leaves_it_to_the_clock() -> None:
    on = bench()
    on.log.append(FIRST, event("buy", timestamp=NOW_MS + 86_400_000), -1)
    on.log.append(FIRST, event("buy", timestamp=NOW_MS + 86_400_001), -1)
    await on.router.step()
    assert [len(on.sink.deltas()), [letter.reason for letter in on.letters.letters]] == [1, ["in_the_future"]]


async def test_an_event_of_the_year_3000_is_refused_though_its_message_is_stamped_so_too() -> None:
    on = bench()
    year_3000_ms = 32_503_680_000_000
    on.log.append(FIRST, event("buy", timestamp=year_3000_ms), year_3000_ms)
    await on.router.step()
    assert [len(on.sink.deltas()), [letter.reason for letter in on.letters.letters]] == [0, ["in_the_future"]]


async def test_marks_follow_the_deltas_that_they_cover_and_go_to_every_partition() -> None:
    on = bench()
    on.log.append(FIRST, event("buy"), NOW_MS - 5)
    await on.router.step()
    kinds = ["deltas" if message.deltas else "marks" for _, message in on.sink.messages]
    assert kinds == ["deltas", *["marks"] * CONFIG.partitions]
    assert [tuple(mark) for mark in on.sink.marks(3)] == [(*FIRST, NOW_MS - 5, 1), (*SECOND, NOW_MS, 0)]


async def test_nothing_is_committed_and_no_mark_goes_out_alone_while_the_deltas_are_not_acknowledged() -> None:
    on = bench()
    on.log.append(FIRST, event("buy"), NOW_MS)
    on.sink.failing_first(1_000_000)
    step = asyncio.create_task(on.router.step())
    while not on.sink.messages:
        await asyncio.sleep(0)
    assert all(message.deltas for _, message in on.sink.messages)
    assert on.log.committed == {}
    step.cancel()
    await asyncio.wait([step])
    await on.router.commit()
    assert on.log.committed == {}


async def test_a_batch_whose_acknowledgement_is_lost_is_sent_again_and_then_committed() -> None:
    on = bench()
    on.log.append(FIRST, event("buy"), NOW_MS)
    on.sink.failing_first(1)
    await on.router.step()
    assert persons_in(on.sink.deltas()) == ["ann", "ann"]
    assert on.sink.messages[0] == on.sink.messages[1]
    assert on.log.committed == {FIRST: 1}


async def test_a_router_that_dies_before_its_commit_leaves_the_same_deltas_to_the_next() -> None:
    log = MemoryLog()
    for number in range(20):
        log.append(FIRST, event("buy", uuid=..., timestamp=NOW_MS + number), NOW_MS)
    first = bench(log=log, limit=5)
    await first.router.step()
    log.committed.clear()
    second = bench(log=log, limit=7)
    for _ in range(4):
        await second.router.step()
    assert {*first.sink.deltas()} <= {*second.sink.deltas()}
    assert len({*second.sink.deltas()}) == 20


async def test_a_partition_moves_to_a_router_that_has_not_seen_the_new_selector_yet() -> None:
    """Its events between would be in no delta, and in no seed either, had the router gone on with what it knew."""
    old = registry(BUY)
    new = registry(BUY, {"event": "sign"}, before=old)
    log = MemoryLog()
    left, right = bench(old, log=log), bench(old, log=log)
    left.source.move([FIRST])
    right.source.move([SECOND])
    await right.router.step()
    left.plans.define(new)
    right.plans.define(new, seen=False)
    log.append(FIRST, event("sign"), NOW_MS)
    await left.router.step()
    left.source.move([])
    log.append(FIRST, event("sign", person_id="bob"), NOW_MS)
    right.source.move([FIRST, SECOND])
    assert right.plans.plan.version < new.version
    await right.router.step()
    (delta,) = right.sink.deltas()
    assert delta == Delta(Subject(1, 0, "bob"), (DeltaEntry(handles(new)["sign"], NOW_MS, delta.entries[0].tag),))
    assert {message.registry_version for _, message in right.sink.messages if message.deltas} == {new.version}


async def test_the_plan_in_use_never_goes_back_to_an_older_one() -> None:
    old = registry(BUY)
    on = bench(registry(BUY, {"event": "sign"}, before=old))
    on.log.append(FIRST, event("sign"), NOW_MS)
    await on.router.step()
    on.plans.define(old)
    on.log.append(FIRST, event("sign"), NOW_MS)
    await on.router.step()
    assert len(on.sink.deltas()) == 2


async def test_an_owner_that_lost_its_partition_marks_and_commits_it_no_more() -> None:
    on = bench()
    on.log.append(FIRST, event("buy"), NOW_MS)
    await on.router.step()
    on.source.move([SECOND])
    on.clock.set(NOW_MS + 1_000)
    marks_before: list[Any] = on.sink.marks()
    await on.router.step()
    assert {(mark.topic, mark.partition) for mark in on.sink.marks()[len(marks_before) :]} == {SECOND}
