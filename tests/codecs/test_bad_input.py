"""Every way in which an event can be bad, and what is said of it."""

import json

import pytest

from cohort_store.errors import BadEvent
from processors.codecs.codec import EventCodec
from processors.codecs.event import Limits, Reason
from processors.codecs.plain import PlainCodec
from processors.codecs.posthog import PostHogCodec
from tests.codecs.bad_messages import ARRIVAL_MS, BAD, deep_text, nested, plain, posthog

LIMITS = Limits(future_ms_max=86_400_000, event_bytes_max=1_048_576)
CODECS: dict[str, EventCodec] = {"plain": PlainCodec(LIMITS), "posthog": PostHogCodec(LIMITS)}


@pytest.mark.parametrize(("codec", "raw", "reason"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_message_is_refused_with_its_reason(codec: str, raw: bytes, reason: Reason) -> None:
    with pytest.raises(BadEvent) as refused:
        CODECS[codec].decode(raw, ARRIVAL_MS)
    assert refused.value.reason == reason
    assert len(refused.value.detail) < 500


@pytest.mark.parametrize(
    ("codec", "raw"),
    [
        ("plain", plain()),
        ("posthog", posthog()),
        ("plain", plain(timestamp=ARRIVAL_MS + 86_400_000)),
        ("plain", plain(timestamp="2000-01-01T00:00:00Z")),
        ("plain", plain(event="x" * 200)),
        ("plain", plain(event="€" * 200)),
        ("plain", plain(distinct_id="x" * 400)),
        ("plain", plain(person_id="€" * 133)),
        ("plain", plain(team_id=2**31 - 1)),
        ("plain", plain(properties={"a": nested(97)})),
        ("plain", plain(properties={"a": "[" * 5_000})),
        ("posthog", posthog(properties=deep_text(99))),
        ("posthog", posthog(unknown={"keys": "are ignored"})),
    ],
)
def test_what_lies_just_within_every_limit_is_accepted(codec: str, raw: bytes) -> None:
    assert CODECS[codec].decode(raw, ARRIVAL_MS).event


def test_a_message_of_the_longest_size_is_accepted_and_one_byte_more_is_not() -> None:
    codec = PlainCodec(Limits(event_bytes_max=len(plain())))
    assert codec.decode(plain(), ARRIVAL_MS).event == "purchase"
    with pytest.raises(BadEvent, match="too_large"):
        codec.decode(plain() + b" ", ARRIVAL_MS)


@pytest.mark.timeout(20)
def test_a_long_message_that_is_cut_off_within_a_string_is_refused_at_once() -> None:
    whole = posthog(properties=json.dumps({f"key {number}": ["value"] for number in range(15_000)}))
    with pytest.raises(BadEvent, match="not_json"):
        CODECS["posthog"].decode(whole[:-50], ARRIVAL_MS)


@pytest.mark.parametrize("text", ["[1]", "7", "{", "null", '{"a": 1} x', '{"a": 1e999}'])
def test_properties_that_are_no_object_are_refused_when_somebody_reads_them(text: str) -> None:
    event = CODECS["posthog"].decode(posthog(properties=text), ARRIVAL_MS)
    with pytest.raises(BadEvent, match="bad_properties"):
        event.properties()
