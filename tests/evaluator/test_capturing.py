"""Events of one request: good ones to the source topic, bad ones whole to the dead letters."""

from typing import Any

import msgspec
import pytest

from cohort_store.errors import Retry
from cohort_store.settings import Settings
from evaluator.capture.capturing import KEPT_BYTES_MAX, Capturing, capturing_of
from evaluator.capture.event_sink import RememberedEvents
from processors.kafka.dead_letters import DeadLetter

NOW = 1_768_222_800_000
GOOD = {"event": "search", "distinct_id": "ada", "timestamp": NOW}
NAMELESS = {"event": "", "distinct_id": "ada", "uuid": "0199aaaa-0000-7000-8000-000000000001"}


def capturing(sink: RememberedEvents, **settings: Any) -> Capturing:
    found = capturing_of(Settings(**settings), sink)
    assert found is not None
    return found


def raws(*events: Any) -> list[msgspec.Raw]:
    return [msgspec.Raw(msgspec.json.encode(each)) for each in events]


async def test_good_events_are_kept_and_bad_ones_are_dead_letters_with_the_reason() -> None:
    sink = RememberedEvents()
    verdicts = await capturing(sink).take(raws(GOOD, NAMELESS, GOOD | {"event": 7}, 5), 1, NOW, "/batch")
    assert [each.problem.reason if each.problem else None for each in verdicts] == [
        None,
        "bad_name",
        "wrong_type",
        "wrong_type",
    ]
    assert verdicts[1].uuid == NAMELESS["uuid"]
    kept, *letters = sink.messages
    assert kept.topic == "muster.events"
    assert {each.topic for each in letters} == {"muster.dlq"}
    assert msgspec.json.decode(letters[0].value) == NAMELESS


async def test_a_dead_letter_has_the_headers_that_the_write_path_gives() -> None:
    sink = RememberedEvents()
    (verdict,) = await capturing(sink).take(raws(NAMELESS), 1, NOW, "/batch")
    assert verdict.problem is not None
    known = DeadLetter("/batch", -1, -1, verdict.problem.reason, verdict.problem.detail, b"", NOW)
    assert list(sink.messages[0].headers) == known.headers()


async def test_events_go_to_the_first_source_of_events_in_its_shape() -> None:
    sink = RememberedEvents()
    sources = {"persons": "posthog_person", "theirs": "posthog", "muster.events": "plain"}
    await capturing(sink, sources=sources).take(raws(GOOD), 2, NOW, "/batch")
    (kept,) = sink.messages
    assert (kept.topic, kept.key) == ("theirs", b"2:ada")
    assert msgspec.json.decode(kept.value)["timestamp"] == "2026-01-12 13:00:00.000000"


def test_without_a_source_of_events_nothing_is_captured() -> None:
    assert capturing_of(Settings(sources={"persons": "posthog_person"}), RememberedEvents()) is None


async def test_an_event_that_the_topic_refuses_as_too_long_becomes_a_dead_letter() -> None:
    sink = RememberedEvents(bytes_max=KEPT_BYTES_MAX + 1_000)
    long = GOOD | {"properties": {"a": "x" * 2 * KEPT_BYTES_MAX}}
    verdicts = await capturing(sink).take(raws(GOOD, long), 1, NOW, "/batch")
    assert [each.problem.reason if each.problem else None for each in verdicts] == [None, "too_large"]
    (_, letter) = sink.messages
    assert (letter.topic, len(letter.value)) == ("muster.dlq", KEPT_BYTES_MAX)
    assert dict(letter.headers)["original_bytes"] == str(len(msgspec.json.encode(long))).encode()


async def test_a_log_that_is_away_is_told_and_nothing_is_kept() -> None:
    sink = RememberedEvents(failing=1)
    with pytest.raises(Retry):
        await capturing(sink).take(raws(GOOD), 1, NOW, "/batch")
    assert sink.messages == []
