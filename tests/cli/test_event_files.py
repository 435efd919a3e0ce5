"""Event files: what a line becomes, and what is refused with its number."""

import gzip
import json
from io import BytesIO
from pathlib import Path

import pytest

from processors.codecs.event import Limits
from processors.codecs.plain import PlainCodec
from processors.codecs.posthog import PostHogCodec
from processors.event_files import EventLine, read_lines
from processors.row_files import BadLine, is_csv, opened

PLAIN = PlainCodec(Limits())


def lines(text: str | bytes, *, as_csv: bool = False) -> list[EventLine | BadLine]:
    raw = text if isinstance(text, bytes) else text.encode()
    return list(read_lines(BytesIO(raw), PLAIN, as_csv=as_csv))


def event(**fields: object) -> str:
    return json.dumps({"event": "purchase", "person_id": "ann", "timestamp": "2026-01-12T12:00:00Z", **fields})


def test_a_json_line_is_sent_byte_for_byte_as_it_stands() -> None:
    text = '{"event":"purchase",  "person_id":"ann","timestamp":1768219200000}'
    (line,) = lines(text + "\n")
    assert isinstance(line, EventLine)
    assert (line.number, line.key, line.time_ms, line.raw) == (1, "ann", 1768219200000, text.encode())


def test_a_csv_row_becomes_a_plain_event_whose_other_columns_are_properties() -> None:
    (line,) = lines(
        "uuid,event,person_id,timestamp,plan,coupon\n"
        "5894a67e-8494-5720-a200-8d64a57f27a0,purchase,ann,2026-01-12T12:00:00Z,pro,\n",
        as_csv=True,
    )
    assert isinstance(line, EventLine)
    assert line.number == 2
    assert json.loads(line.raw) == {
        "uuid": "5894a67e-8494-5720-a200-8d64a57f27a0",
        "event": "purchase",
        "person_id": "ann",
        "timestamp": "2026-01-12T12:00:00Z",
        "properties": {"plan": "pro"},
    }


def test_bad_lines_are_named_by_their_numbers_and_the_others_are_read() -> None:
    found = lines("\n".join([event(), "{", "", event(timestamp="yesterday"), event(person_id=None), event()]))
    assert [(line.number, isinstance(line, EventLine)) for line in found] == [
        (1, True),
        (2, False),
        (4, False),
        (5, False),
        (6, True),
    ]


def test_a_csv_row_of_another_length_than_its_header_is_refused_alone() -> None:
    head = "event,distinct_id,timestamp\n"
    found = lines(head + "a,d,2026-01-12T12:00:00Z\na,d\na,d,2026-01-12T12:00:00Z\n", as_csv=True)
    assert [type(line) for line in found] == [EventLine, BadLine, EventLine]
    assert found[1] == BadLine(3, "2 fields under a header of 3")


def test_a_csv_without_the_columns_of_an_event_is_refused_as_a_whole() -> None:
    (line,) = lines("name,when\na,b\n", as_csv=True)
    assert isinstance(line, BadLine)
    assert "event, timestamp and person_id or distinct_id" in line.problem


def test_text_that_is_not_utf8_is_refused_with_its_line() -> None:
    found = lines(b"event,person_id,timestamp\na,\xff,2026-01-12T12:00:00Z\n", as_csv=True)
    assert found == [BadLine(2, "not UTF-8")]


@pytest.mark.parametrize(
    ("written", "moved"),
    [
        (1768219200000, 1768222800000),
        ("2026-01-12T12:00:00Z", "2026-01-12T13:00:00.000Z"),
        ("2026-01-12T12:00:00.250+02:00", "2026-01-12T11:00:00.250Z"),
        ("2026-01-12 12:00:00.000000", "2026-01-12 13:00:00.000000"),
    ],
)
def test_a_moved_time_keeps_the_notation_in_which_it_was_written(written: object, moved: object) -> None:
    (line,) = lines(event(timestamp=written))
    assert isinstance(line, EventLine)
    assert json.loads(line.moved(3_600_000))["timestamp"] == moved
    (again,) = lines(line.moved(3_600_000))
    assert isinstance(again, EventLine)
    assert again.time_ms == line.time_ms + 3_600_000


def test_an_event_that_is_not_moved_keeps_every_byte() -> None:
    text = event().replace(", ", ",   ")
    (line,) = lines(text)
    assert isinstance(line, EventLine)
    assert line.moved(0) == text.encode()


def test_lines_in_posthogs_shape_are_read_by_its_codec() -> None:
    message = {
        "uuid": "5894a67e-8494-5720-a200-8d64a57f27a0",
        "event": "purchase",
        "properties": "{}",
        "timestamp": "2026-01-12 12:00:00.000000",
        "team_id": 1,
        "distinct_id": "device",
        "person_id": "5894a67e-8494-5720-a200-8d64a57f27a1",
    }
    (line,) = read_lines(BytesIO(json.dumps(message).encode()), PostHogCodec(Limits()), as_csv=False)
    assert isinstance(line, EventLine)
    assert line.key == "5894a67e-8494-5720-a200-8d64a57f27a1"


def test_a_file_is_unzipped_and_read_as_csv_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(b"event,person_id,timestamp\npurchase,ann,2026-01-12T12:00:00Z\n"))
    assert is_csv(path)
    assert not is_csv(tmp_path / "events.jsonl.gz")
    with opened(path) as (source, _):
        (line,) = read_lines(source, PLAIN, as_csv=True)
    assert isinstance(line, EventLine)
