"""PostHog's state of a distinct id."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_store.errors import BadEvent
from cohort_store.person_updates import STATE_VERSION_MAX
from processors.codecs.event import Limits, Reason
from processors.codecs.posthog_distinct_id import PairState, PostHogDistinctIdCodec
from tests.examples import aside

ANN = "018f3b2a-0000-4000-8000-000000000001"


def pair(**changes: Any) -> bytes:
    state = {"team_id": 2, "distinct_id": "d", "person_id": ANN, "version": 3, "is_deleted": 0, "_timestamp": "x"}
    return json.dumps({key: value for key, value in (state | changes).items() if value is not ...}).encode()


def read(raw: bytes) -> PairState:
    return PostHogDistinctIdCodec(Limits()).decode(raw)


def test_a_state_tells_the_person_of_a_distinct_id_and_its_version() -> None:
    assert read(pair()) == PairState(2, "d", ANN, 3)
    assert read(pair(version=0, is_deleted=...)) == PairState(2, "d", ANN, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"is_deleted": 1},
        {"is_deleted": True, "person_id": ...},
        {"person_id": ""},
        {"person_id": "00000000-0000-0000-0000-000000000000"},
    ],
)
def test_a_deleted_distinct_id_and_one_of_no_person_is_nobodys(changes: dict[str, Any]) -> None:
    assert read(pair(**changes)) == PairState(2, "d", "", 3)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"{", Reason.NOT_JSON),
        (b"[]", Reason.WRONG_TYPE),
        (pair(distinct_id=...), Reason.MISSING_FIELD),
        (pair(version=...), Reason.MISSING_FIELD),
        (pair(person_id=...), Reason.MISSING_FIELD),
        (pair(team_id=...), Reason.MISSING_FIELD),
        (pair(distinct_id=""), Reason.BAD_ID),
        (pair(distinct_id="a\0b"), Reason.BAD_ID),
        (pair(person_id="x" * 401), Reason.BAD_ID),
        (pair(team_id=0), Reason.BAD_TEAM),
        (pair(team_id="2"), Reason.BAD_TEAM),
        (pair(version=-1), Reason.BAD_VERSION),
        (pair(version=STATE_VERSION_MAX + 1), Reason.BAD_VERSION),
        (pair(version="3"), Reason.WRONG_TYPE),
        (pair(padding="x" * 1_048_576), Reason.TOO_LARGE),
    ],
)
def test_a_message_that_is_no_pair_is_refused_with_its_reason(raw: bytes, reason: Reason) -> None:
    with pytest.raises(BadEvent) as refused:
        read(raw)
    assert refused.value.reason == reason


@aside()
@given(st.binary())
def test_of_whatever_bytes_come_nothing_but_a_bad_event_is_raised(raw: bytes) -> None:
    with pytest.raises(BadEvent):
        read(raw)
