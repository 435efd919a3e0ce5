"""What a message says of a person: beside an event's properties, and as PostHog's state of her."""

import json
from typing import Any

import pytest

from cohort_store.errors import BadEvent
from cohort_store.person_updates import STATE_VERSION_MAX, state_of
from processors.codecs.event import Limits, Reason
from processors.codecs.plain import PlainCodec
from processors.codecs.posthog import PostHogCodec
from processors.codecs.posthog_person import PersonState, PostHogPersonCodec
from processors.codecs.telling import may_tell_of_person, text_may_tell_of_person
from tests.codecs.bad_messages import ARRIVAL_MS, deep_text, plain, posthog


def person(**changes: Any) -> bytes:
    state = {"id": "018f3b2a-0000-4000-8000-000000000001", "team_id": 2, "version": 3, "is_deleted": 0}
    state |= {"created_at": "2025-06-15 15:06:39.500", "properties": '{"plan": "pro"}', "is_identified": 1}
    return json.dumps({key: value for key, value in (state | changes).items() if value is not ...}).encode()


def read(raw: bytes) -> PersonState:
    return PostHogPersonCodec(Limits()).decode(raw)


def test_a_state_has_all_properties_and_the_persons_first_day_among_them() -> None:
    state = read(person())
    assert (state.team, state.person_id, state.version) == (2, "018f3b2a-0000-4000-8000-000000000001", 3)
    assert state.properties == {"plan": "pro", "created_at": "2025-06-15T15:06:39.500Z"}


def test_a_deleted_person_has_no_property() -> None:
    assert read(person(is_deleted=1)).properties == {}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"{", Reason.NOT_JSON),
        (person(id=...), Reason.MISSING_FIELD),
        (person(version=...), Reason.MISSING_FIELD),
        (person(id=""), Reason.BAD_ID),
        (person(team_id=0), Reason.BAD_TEAM),
        (person(version=-1), Reason.BAD_VERSION),
        (person(version=STATE_VERSION_MAX + 1), Reason.BAD_VERSION),
        (person(version="3"), Reason.WRONG_TYPE),
        (person(properties="[]"), Reason.BAD_PROPERTIES),
        (person(properties=deep_text(101)), Reason.TOO_DEEP),
        (person(created_at="yesterday"), Reason.BAD_TIME),
    ],
)
def test_a_message_that_is_no_state_is_refused_with_its_reason(raw: bytes, reason: Reason) -> None:
    with pytest.raises(BadEvent) as refused:
        read(raw)
    assert refused.value.reason == reason


def test_a_state_unsets_what_it_does_not_have_unless_nothing_came_before_it() -> None:
    def values(version: int) -> dict[str, str]:
        return {write.name: write.value for write in state_of({"plan": "pro"}, version, {"plan", "age"}).writes}

    assert values(0) == {"plan": '"pro"'}
    assert values(1) == {"plan": '"pro"', "age": "null"}


def test_a_state_beats_whatever_events_say_and_the_newer_state_the_older() -> None:
    versions = [state_of({"plan": 1}, version, {"plan"}).writes[0].version for version in (0, 1, 2, STATE_VERSION_MAX)]
    assert versions == sorted(versions)
    assert 253_402_300_799_000 < versions[0] <= versions[-1] < 2**63


@pytest.mark.parametrize("properties", [..., {}, {"n": {"m": 1}}])
def test_what_stands_beside_a_plain_events_properties_is_read_as_one_of_them(properties: Any) -> None:
    said = {"$set": {"plan": "pro"}, "$set_once": {"first": 1}, "$unset": ["age"]}
    event = PlainCodec(Limits()).decode(plain(properties=properties, **said), ARRIVAL_MS)
    assert event.properties() == {**said, **({} if properties is ... else properties)}


def test_what_is_said_of_a_person_in_both_places_is_refused() -> None:
    raw = plain(properties={"$set": {"plan": "pro"}}, **{"$set": {"plan": "free"}})
    with pytest.raises(BadEvent) as refused:
        PlainCodec(Limits()).decode(raw, ARRIVAL_MS)
    assert refused.value.reason == Reason.WRONG_TYPE
    assert "$set stands beside the properties and among them" in refused.value.detail


def test_a_posthog_event_brings_a_snapshot_of_its_person() -> None:
    codec = PostHogCodec(Limits())
    assert codec.decode(posthog(), ARRIVAL_MS).person_properties() == {}
    assert codec.decode(posthog(person_properties='{"plan":"x"}'), ARRIVAL_MS).person_properties() == {"plan": "x"}


@pytest.mark.parametrize(
    ("raw", "may"),
    [
        (plain(), False),
        (plain(properties={"set": 1, "unset": 2, "$sent": 3, "é": "ü".encode().decode()}), True),
        (plain(properties={"set": 1, "unset": 2, "$sent": 3}), False),
        (plain(properties={"$set": {}}), True),
        (plain(properties={"$set_once": {}}), True),
        (plain(properties={"$unset": []}), True),
        (plain(properties={"$set": {}}).replace(b"$", rb"\u0024"), True),
        (posthog(properties='{"$set":{}}'), True),
        (posthog(properties=r'{"\u0024set":{}}'), True),
        (posthog(person_properties="{}"), True),
    ],
)
def test_no_message_that_may_say_anything_of_a_person_is_overlooked(raw: bytes, may: bool) -> None:
    """An escaped letter is reason enough to look."""
    assert may_tell_of_person(raw) is may


@pytest.mark.parametrize(("text", "may"), [('{"a":1}', False), ('{"$unset":1}', True), (r'{"\u0024set":1}', True)])
def test_neither_are_properties_that_may(text: str, may: bool) -> None:
    assert text_may_tell_of_person(text) is may
