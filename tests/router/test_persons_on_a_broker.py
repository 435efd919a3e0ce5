"""PostHog's topic of persons on a real broker, beside its topic of events."""

import json
from typing import Any

from cohort_store.deltas import RegisterWrite
from cohort_store.kafka import clients
from cohort_store.kafka.topics import DEAD_LETTERS, DELTAS, REGISTRY, TopicSpec, ensure_topics, muster_topics
from cohort_store.registry import encode_registry
from cohort_store.subjects import PERSON, Subject
from tests.router.test_on_a_broker import PARTITIONS, decoded, read_until, reading, routing
from tests.router.test_person_updates import BUY, PLAN, registry

EVENTS, PERSONS = "clickhouse_events_json", "clickhouse_person"
ANN, BOB = "018f3b2a-7c1d-7e4a-9b0c-000000000001", "018f3b2a-7c1d-7e4a-9b0c-000000000002"


def person(who: str, version: int, properties: dict[str, Any], **more: Any) -> bytes:
    """As PostHog's ingestion writes it."""
    fields = {"id": who, "team_id": 1, "properties": json.dumps(properties), "is_identified": 1, "version": version}
    return json.dumps({"created_at": "2026-01-12 12:00:00.000", "is_deleted": 0, **fields, **more}).encode()


def event(who: str, plan: str) -> bytes:
    """One that nobody wants by name, with what it says of its person."""
    fields = {"uuid": who, "event": "view", "properties": json.dumps({"$set": {"plan": plan}}), "team_id": 1}
    more = {"timestamp": "2026-01-12 12:00:00.000000", "distinct_id": f"d-{who}", "person_id": who}
    return json.dumps({**fields, **more, "person_properties": json.dumps({"plan": plan})}).encode()


async def test_a_topic_of_persons_tells_their_properties_and_what_events_say_of_them_counts_no_more(
    fresh_broker: str,
) -> None:
    await ensure_topics(fresh_broker, muster_topics(PARTITIONS))
    await ensure_topics(fresh_broker, [TopicSpec(EVENTS, 2), TopicSpec(PERSONS, 2)])
    settings = reading(fresh_broker, {EVENTS: "posthog", PERSONS: "posthog_person"})
    told = [
        event(ANN, "an event's"),
        person(ANN, 1, {"plan": "pro", "city": "Łódź"}),
        b'{"id": "no version"}',
        person(ANN, 0, {"plan": "free"}),
        person(BOB, 7, {"plan": "pro"}),
        person(BOB, 8, {}, is_deleted=1),
    ]
    async with clients.producer(fresh_broker) as producer:
        await producer.send_and_wait(REGISTRY, encode_registry(registry(BUY, PLAN)), key=b"registry")
        for raw in told:
            topic = EVENTS if b"distinct_id" in raw else PERSONS
            await producer.send_and_wait(topic, raw, partition=0)
    async with routing(settings):
        (letter,) = await read_until(settings, DEAD_LETTERS, bool)
        found = await read_until(settings, DELTAS, lambda all_of_it: len(_writes(all_of_it)) >= 4)
    assert dict(letter.headers)["reason"] == b"missing_field"
    assert letter.value == b'{"id": "no version"}'
    assert _writes(found) == {
        (Subject(1, PERSON, who), RegisterWrite("plan", 2**53 + version, value))
        for who, version, value in [(ANN, 1, '"pro"'), (ANN, 0, '"free"'), (BOB, 7, '"pro"'), (BOB, 8, "null")]
    }


def _writes(messages: list[Any]) -> set[tuple[Subject, RegisterWrite]]:
    deltas = [delta for message in decoded(messages) for delta in message.deltas]
    return {(delta.subject, write) for delta in deltas for write in delta.registers if delta.subject.kind == PERSON}
