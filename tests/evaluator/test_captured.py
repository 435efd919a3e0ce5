"""One event of an SDK: what is taken, what is refused, and that the write path reads what was taken."""

import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_store.errors import BadEvent
from evaluator.capture.captured import Captured, EventBody, Shape, captured, message_of
from processors.codecs.codec import EventCodec
from processors.codecs.event import Event, Limits
from processors.codecs.plain import PlainCodec
from processors.codecs.posthog import PostHogCodec
from tests.examples import aside

NOW = 1_768_222_800_000
DAY_MS = 86_400_000
UUID = "0199AAAA-0000-7000-8000-000000000001"
CODECS: dict[Shape, EventCodec] = {Shape.PLAIN: PlainCodec(Limits()), Shape.POSTHOG: PostHogCodec(Limits())}


def taken(**fields: Any) -> Captured:
    raw = msgspec.json.encode({"event": "search", "distinct_id": "ada", **fields})
    return captured(msgspec.json.decode(raw, type=EventBody), 3, NOW, DAY_MS)


def read_back(event: Captured, shape: Shape) -> Event:
    return CODECS[shape].decode(message_of(event, shape, 1_048_576), NOW)


@pytest.mark.parametrize("shape", Shape)
@aside()
@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=200),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.integers(NOW - DAY_MS, NOW + DAY_MS),
    st.dictionaries(
        st.text(max_size=5), st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=9)
    ),
)
def test_the_write_path_reads_what_was_taken(
    shape: Shape, name: str, distinct_id: str, time_ms: int, properties: dict[str, Any]
) -> None:
    event = captured(EventBody(name, distinct_id, UUID, time_ms, properties), 3, NOW, DAY_MS)
    read = read_back(event, shape)
    assert (read.event, read.distinct_id, read.time_ms, read.team) == (name, distinct_id, time_ms, 3)
    assert read.uuid == UUID.lower()
    assert read.properties() == event.properties


def test_a_number_as_distinct_id_is_the_text_of_its_digits() -> None:
    assert taken(distinct_id=7).distinct_id == "7"


def test_a_distinct_id_among_the_properties_counts_where_there_is_none_beside_them() -> None:
    event = taken(distinct_id=None, properties={"distinct_id": "grace", "token": "phc_x", "a": 1})
    assert (event.distinct_id, event.properties) == ("grace", {"a": 1})
    assert taken(properties={"distinct_id": "grace"}).distinct_id == "ada"


def test_what_stands_beside_the_properties_goes_among_them() -> None:
    event = taken(
        **{"$set": {"plan": "pro", "age": 1}, "$unset": ["old"], "session_id": "s1"},
        properties={"$set": {"age": 2}},
    )
    assert event.properties == {"$set": {"plan": "pro", "age": 2}, "$unset": ["old"], "$session_id": "s1"}
    for shape in Shape:
        assert read_back(event, shape).properties() == event.properties


@pytest.mark.parametrize(
    ("sent", "time_ms"),
    [
        ("2026-01-12T13:00:00.123Z", 1_768_222_800_123),
        ("2026-01-12T13:00:00.123999+00:00", 1_768_222_800_123),
        ("2026-01-12T14:00:00.123456789+01:00", 1_768_222_800_123),
        ("2026-01-12T13:00:00", 1_768_222_800_000),
        (1_768_222_800_123, 1_768_222_800_123),
        (None, NOW),
        ("", NOW),
    ],
)
def test_a_time_is_taken_as_it_was_sent(sent: Any, time_ms: int) -> None:
    assert taken(timestamp=sent).time_ms == time_ms


@pytest.mark.parametrize("ahead_ms", [-1, 0, 1])
def test_a_time_too_far_ahead_is_refused(ahead_ms: int) -> None:
    if ahead_ms <= 0:
        assert taken(timestamp=NOW + DAY_MS + ahead_ms).time_ms == NOW + DAY_MS + ahead_ms
    else:
        with pytest.raises(BadEvent, match="86400001 ms ahead"):
            taken(timestamp=NOW + DAY_MS + ahead_ms)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"event": ""}, "bad_name"),
        ({"event": "a" * 201}, "bad_name"),
        ({"event": "a\0"}, "bad_name"),
        ({"distinct_id": ""}, "missing_field"),
        ({"distinct_id": "a\0"}, "bad_id"),
        ({"distinct_id": "ü" * 4_000}, "bad_id"),
        ({"distinct_id": None, "properties": {"distinct_id": ["x"]}}, "wrong_type"),
        ({"uuid": "mine"}, "bad_uuid"),
        ({"timestamp": "yesterday"}, "bad_time"),
        ({"timestamp": 1_768_222_800}, "before_2000"),
    ],
)
def test_what_the_write_path_would_refuse_is_refused_at_once(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadEvent) as refused:
        taken(**fields)
    assert refused.value.reason == reason
    assert len(refused.value.detail) > 20


def test_an_event_that_comes_again_without_a_uuid_is_the_same_event_where_it_has_a_time() -> None:
    first, again, other = (taken(timestamp=NOW, properties={"n": n}) for n in (1, 1, 2))
    assert first.uuid == again.uuid != other.uuid


def test_two_events_with_neither_uuid_nor_time_are_two() -> None:
    first, second = taken(), taken()
    assert first.uuid != second.uuid
    assert uuid.UUID(first.uuid).version == 4


def test_an_event_that_is_too_long_is_refused_with_the_limit() -> None:
    event = taken(properties={"a": "x" * 1_000})
    with pytest.raises(BadEvent, match="at most 1000"):
        message_of(event, Shape.PLAIN, 1_000)
