"""What is told, and what is kept of it: ids, replay, and the bounds of one listener's stream."""

import asyncio

import msgspec
import pytest

from evaluator.push.events import REPLAY_MAX, Closing, DefinitionsChange, EventLog, Name, event, ofrep, plain
from evaluator.push.stream import Stream

NOTHING = DefinitionsChange(1, [], [])


def _told(number: int = 1) -> DefinitionsChange:
    return DefinitionsChange(number, ["flag"], [])


async def _all(stream: Stream) -> list[bytes]:
    """What a stream that is ended holds, as its events."""
    text = b""
    while chunk := await stream.next():
        text += chunk
    return [each for each in text.split(b"\n\n") if each]


def test_an_event_is_written_with_its_id_its_name_and_one_line_of_data() -> None:
    told = EventLog("word").add(Name.CHANGE, _told())
    assert plain(told) == (
        b'id: word-1\nevent: change\ndata: {"registry_version":1,"changed":["flag"],"removed":[]}\n\n'
    )


def test_a_closing_says_when_to_come_back() -> None:
    assert b"retry: 2000\n" in plain(event(Name.CLOSING, Closing("slow", "why")))


def test_ofrep_is_told_of_changes_only_and_only_to_ask_again() -> None:
    log = EventLog("word")
    assert ofrep(log.add(Name.CHANGE, _told())) == (
        b'id: word-1\nevent: message\ndata: {"type":"refetchEvaluation"}\n\n'
    )
    assert ofrep(event(Name.STATE, NOTHING)) == b":\n\n"
    assert ofrep(event(Name.CLOSING, Closing("slow", "why"))) == b":\n\n"


@pytest.mark.parametrize("missed", [0, 1, REPLAY_MAX - 1, REPLAY_MAX])
def test_as_many_events_as_are_kept_can_be_missed(missed: int) -> None:
    log = EventLog("word")
    seen = log.add(Name.CHANGE, NOTHING).id
    told = [log.add(Name.CHANGE, _told(number)) for number in range(missed)]
    assert log.since(seen) == told


def test_one_more_than_that_is_too_many() -> None:
    log = EventLog("word")
    seen = log.add(Name.CHANGE, NOTHING).id
    for number in range(REPLAY_MAX + 1):
        log.add(Name.CHANGE, _told(number))
    assert log.since(seen) is None


@pytest.mark.parametrize(
    "last_id",
    ["", "other-1", "word", "word-", "word-x", "word-99", "word--1", "word-1e3", "word-²", "word-" + "9" * 90],
)
def test_an_id_that_was_never_given_out_is_not_answered_with_a_replay(last_id: str) -> None:
    log = EventLog("word")
    log.add(Name.CHANGE, NOTHING)
    assert log.since(last_id) is None


async def test_what_is_put_comes_out_together_and_in_order() -> None:
    stream = Stream()
    waiting = asyncio.create_task(stream.next())
    await asyncio.sleep(0)
    for number in range(3):
        stream.put(event(Name.CHANGE, _told(number)))
    assert (await waiting).count(b"event: change") == 3
    stream.beat()
    assert await stream.next() == b":\n\n"


async def test_a_listener_for_whom_too_much_waits_is_let_go_of_with_a_notice() -> None:
    text = plain(event(Name.CHANGE, _told()))
    stream = Stream(waiting_max=3 * len(text))
    for _ in range(5):
        stream.put(event(Name.CHANGE, _told()))
    assert stream.ended == "slow"
    *told, closing = await _all(stream)
    assert len(told) == 3
    assert b'"reason":"slow"' in closing


async def test_a_stream_that_was_given_all_that_it_may_be_asks_its_client_to_come_back() -> None:
    text = plain(event(Name.CHANGE, _told()))
    stream = Stream(sent_max=3 * len(text))
    for _ in range(3):
        stream.put(event(Name.CHANGE, _told()))
        assert await stream.next() == text
    assert not stream.ended
    stream.put(event(Name.CHANGE, _told()))
    (closing,) = await _all(stream)
    assert b'"reason":"full"' in closing
    assert msgspec.json.decode(closing.partition(b"data: ")[2].partition(b"\n")[0])["detail"].endswith("Last-Event-ID")


async def test_nothing_is_kept_for_a_client_that_is_gone() -> None:
    stream = Stream()
    stream.put(event(Name.CHANGE, _told()))
    stream.abandon()
    stream.put(event(Name.CHANGE, _told()))
    assert await stream.next() == b""
    assert stream.ended == "gone"
