"""What the router makes of what events and sources of persons say of a person."""

import json
from dataclasses import replace
from typing import Any

from cohort_store.compiling import assign
from cohort_store.definitions import parse_cohort
from cohort_store.deltas import Delta, RegisterWrite
from cohort_store.person_updates import state_of
from cohort_store.records import VALUE_BYTES_MAX
from cohort_store.registry import Registry
from cohort_store.subjects import PERSON, Subject
from processors.codecs.event import Limits
from processors.codecs.posthog_person import PostHogPersonCodec
from processors.router.progress import Source
from processors.router.worker import Router
from tests.router.building import CONFIG, FIRST, NOW_MS, TOPIC, Bench, bench, event, handles

BUY = {"kind": "performed", "event": "buy", "within": "1h"}
PLAN = {"kind": "person_property", "property": "plan", "value": "pro"}
PERSONS = Source("clickhouse_person", 0)


def registry(*trees: dict[str, Any], team: int = 1) -> Registry:
    cohorts = [parse_cohort({"key": f"c{index}", "team": team, "when": tree}) for index, tree in enumerate(trees)]
    return assign(Registry(), cohorts, {}, applied="", now=0)


async def deltas_of(on: Bench, *events: bytes) -> list[Delta]:
    for raw in events:
        on.log.append(FIRST, raw, NOW_MS)
    await on.router.step()
    return on.sink.deltas()


def to(plan: Any, **more: Any) -> dict[str, Any]:
    return {"$set": {"plan": plan, **more}}


async def test_an_event_that_no_selector_wants_still_sets_the_properties_that_definitions_name() -> None:
    on = bench(registry(BUY, PLAN))
    found = await deltas_of(on, event("view", properties=to("pro", city="Łódź")), event("view"))
    assert found == [Delta(Subject(1, PERSON, "ann"), (), (RegisterWrite("plan", NOW_MS, '"pro"'),))]


async def test_an_event_may_both_count_and_say_something_of_its_person() -> None:
    on = bench(registry(BUY, PLAN))
    (delta,) = await deltas_of(on, event("buy", **{"$unset": ["plan"]}))
    assert [entry.selector for entry in delta.entries] == [handles(registry(BUY))["buy"]]
    assert delta.registers == (RegisterWrite("plan", NOW_MS, "null"),)


async def test_a_team_with_properties_of_persons_alone_is_routed_too() -> None:
    on = bench(registry(PLAN))
    found = await deltas_of(on, event("view", properties=to("pro")), event("view", team_id=2, properties=to("pro")))
    assert [delta.subject.team for delta in found] == [1]


async def test_a_team_that_names_no_property_has_its_events_updates_left_alone() -> None:
    on = bench(registry(BUY))
    assert await deltas_of(on, event("view", properties=to("pro"))) == []
    (delta,) = await deltas_of(on, event("buy", properties=to("pro")))
    assert delta.registers == ()


async def test_an_update_goes_to_the_person_of_its_distinct_id() -> None:
    on = bench(registry(PLAN))
    on.persons.known[1, "d"] = "bob"
    (delta,) = await deltas_of(on, event("view", person_id=..., distinct_id="d", properties=to("pro")))
    assert (delta.subject.id, len(delta.registers)) == ("bob", 1)


async def test_a_value_too_large_is_buried_with_its_message_and_the_rest_of_it_is_routed() -> None:
    on = bench(registry(BUY, PLAN, {**PLAN, "property": "city"}))
    raw = event("buy", properties=to("x" * VALUE_BYTES_MAX, city="Rome"))
    (delta,) = await deltas_of(on, raw)
    assert len(delta.entries) == 1
    assert [write.name for write in delta.registers] == ["city"]
    (letter,) = on.letters.letters
    assert (letter.reason, letter.value) == ("bad_person_properties", raw)
    assert "'plan'" in letter.detail
    assert str(VALUE_BYTES_MAX) in letter.detail


def with_persons(defined: Registry) -> Bench:
    """A router with a source of persons beside that of events."""
    on = bench(defined)
    on.source.move([FIRST, PERSONS])
    codecs = {PERSONS.topic: PostHogPersonCodec(Limits())}
    on.router = Router(replace(on.router._parts, person_codecs=codecs), CONFIG)
    return on


def state(**changes: Any) -> bytes:
    return json.dumps({"id": "ann", "team_id": 1, "version": 2, "properties": '{"plan":"pro"}'} | changes).encode()


async def test_a_source_of_persons_sets_registers_by_its_own_versions() -> None:
    on = with_persons(registry(PLAN, {**PLAN, "property": "city"}))
    for raw in (state(), state(team_id=2), b"{"):
        on.log.append(PERSONS, raw, NOW_MS)
    await on.router.step()
    expected = state_of({"plan": "pro"}, 2, registry_names := {"plan", "city"}).writes
    (delta,) = on.sink.deltas()
    assert sorted(delta.registers) == sorted(expected)
    assert {write.name for write in delta.registers} == registry_names
    assert [(letter.topic, letter.reason) for letter in on.letters.letters] == [(PERSONS.topic, "not_json")]


async def test_where_a_source_tells_persons_states_events_tell_nothing_of_them() -> None:
    on = with_persons(registry(BUY, PLAN))
    found = await deltas_of(on, event("buy", properties=to("pro")), event("view", properties=to("pro")))
    assert [delta.registers for delta in found] == [()]


async def test_progress_is_marked_of_a_source_of_persons_as_of_any_other() -> None:
    on = with_persons(registry(PLAN))
    on.log.append(PERSONS, state(), NOW_MS)
    await on.router.step()
    await on.router.mark()
    marked = {(mark.topic, mark.partition) for _, message in on.sink.messages for mark in message.marks}
    assert (PERSONS.topic, 0) in marked
    assert (TOPIC, 0) in marked
