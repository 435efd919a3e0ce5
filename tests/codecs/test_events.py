"""What a good message becomes."""

import json
from typing import Any
from zlib import crc32

import pytest

from cohort_store.settings import Settings
from processors.codecs.codec import codecs_of
from processors.codecs.event import Event, Limits
from processors.codecs.plain import PlainCodec
from processors.codecs.posthog import PostHogCodec

ARRIVAL_MS = 1_750_000_000_000
UUID = "018f3b2a-7c1d-7e4a-9b0c-1d2e3f4a5b6c"
PLAIN = {"event": "purchase", "distinct_id": "d", "timestamp": ARRIVAL_MS}


def read(event: dict[str, Any]) -> Event:
    return PlainCodec(Limits()).decode(json.dumps(event).encode(), ARRIVAL_MS)


def read_posthog(**changes: Any) -> Event:
    event = {"uuid": UUID, "event": "$pageview", "team_id": 7, "distinct_id": "d", "person_id": "p"}
    event |= {"timestamp": "2025-06-15 15:06:39.123456", "properties": '{"n": 1}', "elements_chain": ""}
    return PostHogCodec(Limits()).decode(json.dumps(event | changes).encode(), ARRIVAL_MS)


def test_a_plain_event_needs_only_name_time_and_somebody() -> None:
    event = read(PLAIN)
    assert (event.event, event.team, event.distinct_id, event.person_id) == ("purchase", 1, "d", None)
    assert (event.time_ms, event.properties()) == (ARRIVAL_MS, {})


def test_a_posthog_message_is_read_in_its_own_time_format() -> None:
    event = read_posthog()
    assert event.time_ms == 1_749_999_999_123
    assert (event.team, event.distinct_id, event.person_id, event.properties()) == (7, "d", "p", {"n": 1})


@pytest.mark.parametrize("nobody", ["", "00000000-0000-0000-0000-000000000000", None])
def test_a_posthog_person_of_zeros_or_nothing_is_nobody(nobody: str | None) -> None:
    assert read_posthog(person_id=nobody).person_id is None


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("2025-06-15T15:06:40Z", 1_750_000_000_000),
        ("2025-06-15 15:06:40", 1_750_000_000_000),
        ("2025-06-15T17:06:40+02:00", 1_750_000_000_000),
        ("2025-06-15T12:36:40.5-0230", 1_750_000_000_500),
        ("2025-06-15T15:06:40.001999999Z", 1_750_000_000_001),
        ("2025-06-15T15:06:39.999999999Z", 1_749_999_999_999),
        ("2024-02-29T00:00:00.02Z", 1_709_164_800_020),
        ("2025-06-15 15:06:40.001999", 1_750_000_000_001),
        ("2025-06-15 15:06:39.999999", 1_749_999_999_999),
        ("2025-06-15 15:05:59.999999", 1_749_999_959_999),
    ],
)
def test_times_are_utc_and_floored_to_the_millisecond(text: str, time_ms: int) -> None:
    assert read(PLAIN | {"timestamp": text}).time_ms == time_ms


def test_a_tag_is_the_crc32_of_the_lower_case_uuid() -> None:
    event = read(PLAIN | {"uuid": UUID.upper()})
    assert (event.uuid, event.tag) == (UUID, crc32(UUID.encode()))


def test_an_event_without_uuid_gets_the_same_one_whatever_its_spelling() -> None:
    one = read(PLAIN | {"properties": {"a": 1, "b": [{"c": 2, "d": 3}]}})
    other = read(
        {"properties": {"b": [{"d": 3, "c": 2}], "a": 1}, "timestamp": "2025-06-15T15:06:40Z"}
        | {"distinct_id": "d", "event": "purchase", "team_id": 1}
    )
    assert one.uuid == other.uuid


CHANGES: list[dict[str, Any]] = [
    {"event": "x"},
    {"distinct_id": "x"},
    {"person_id": "x"},
    {"timestamp": ARRIVAL_MS + 1},
    {"team_id": 2},
    {"properties": {"a": 1}},
]


def test_an_event_without_uuid_gets_a_uuid_that_later_versions_give_too() -> None:
    event = read(PLAIN | {"properties": {"b": 1.5, "a": "ä"}})
    assert event.uuid == "228f9393-68c8-5a0e-8e7f-8e803b3929fc"


@pytest.mark.parametrize("change", CHANGES)
def test_events_without_uuid_that_differ_in_anything_are_two(change: dict[str, Any]) -> None:
    assert read(PLAIN | change).uuid != read(PLAIN).uuid


def test_every_topic_is_read_with_the_codec_that_the_settings_name() -> None:
    codecs = codecs_of(Settings(sources={"a": "plain", "b": "posthog"}))
    assert isinstance(codecs["a"], PlainCodec)
    assert isinstance(codecs["b"], PostHogCodec)
