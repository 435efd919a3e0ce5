"""Every way in which a message can be bad: what it is, its codec, its bytes, and the reason that is given."""

import json
from typing import Any

from processors.codecs.event import Reason

ARRIVAL_MS = 1_750_000_000_000
UUID = "018f3b2a-7c1d-7e4a-9b0c-1d2e3f4a5b6c"


def plain(**changes: Any) -> bytes:
    event = {"uuid": UUID, "event": "purchase", "distinct_id": "d", "person_id": "p", "timestamp": ARRIVAL_MS}
    return _encode(event | {"properties": {"plan": "pro"}} | changes)


def posthog(**changes: Any) -> bytes:
    event = {"uuid": UUID, "event": "purchase", "distinct_id": "d", "person_id": "p", "team_id": 2}
    event |= {"timestamp": "2025-06-15 15:06:40.000000", "properties": '{"plan": "pro"}'}
    return _encode(event | changes)


def _encode(event: dict[str, Any]) -> bytes:
    return json.dumps({key: value for key, value in event.items() if value is not ...}).encode()


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def deep_text(depth: int) -> str:
    return '{"a":' + "[" * depth + "]" * depth + "}"


BAD: list[tuple[str, str, bytes, Reason]] = [
    ("no value at all", "plain", b"", Reason.EMPTY),
    ("not JSON", "plain", b"purchase", Reason.NOT_JSON),
    ("JSON cut off", "plain", plain()[:-1], Reason.NOT_JSON),
    ("something behind the JSON", "plain", plain() + b"x", Reason.NOT_JSON),
    ("a raw NUL byte in a text", "plain", plain(distinct_id="a\x01b").replace(b"\\u0001", b"\0"), Reason.NOT_JSON),
    ("bytes that are no UTF-8", "plain", plain(distinct_id="aXb").replace(b"X", b"\xff"), Reason.NOT_JSON),
    (
        "bytes in properties that are no UTF-8",
        "plain",
        plain(properties={"a": "X"}).replace(b"X", b"\xff"),
        Reason.NOT_JSON,
    ),
    ("half of a surrogate pair", "plain", plain(distinct_id="\ud800"), Reason.NOT_JSON),
    ("a list", "plain", b"[" + plain() + b"]", Reason.WRONG_TYPE),
    ("no event", "plain", plain(event=...), Reason.MISSING_FIELD),
    ("no timestamp", "plain", plain(timestamp=...), Reason.MISSING_FIELD),
    ("nobody", "plain", plain(distinct_id=..., person_id=...), Reason.MISSING_FIELD),
    ("no uuid", "posthog", posthog(uuid=...), Reason.MISSING_FIELD),
    ("no distinct id", "posthog", posthog(distinct_id=...), Reason.MISSING_FIELD),
    ("no team", "posthog", posthog(team_id=...), Reason.MISSING_FIELD),
    ("an event that is a number", "plain", plain(event=7), Reason.WRONG_TYPE),
    ("a distinct id that is a number", "plain", plain(distinct_id=7), Reason.WRONG_TYPE),
    ("a person that is a list", "plain", plain(person_id=["p"]), Reason.WRONG_TYPE),
    ("a time that is true", "plain", plain(timestamp=True), Reason.WRONG_TYPE),
    ("a time with a fraction", "plain", plain(timestamp=1.5), Reason.WRONG_TYPE),
    ("properties that are a text", "plain", plain(properties="{}"), Reason.WRONG_TYPE),
    ("properties that are null", "plain", plain(properties=None), Reason.WRONG_TYPE),
    ("properties that are an object", "posthog", posthog(properties={}), Reason.WRONG_TYPE),
    ("a team that is a text", "plain", plain(team_id="1"), Reason.BAD_TEAM),
    ("team zero", "posthog", posthog(team_id=0), Reason.BAD_TEAM),
    ("a team below zero", "plain", plain(team_id=-1), Reason.BAD_TEAM),
    ("a team beyond 31 bits", "plain", plain(team_id=2**31), Reason.BAD_TEAM),
    ("a team beyond 64 bits", "plain", plain(team_id=2**70), Reason.BAD_TEAM),
    ("no time of day", "plain", plain(timestamp="2025-06-15"), Reason.BAD_TIME),
    ("a 13th month", "plain", plain(timestamp="2025-13-01T00:00:00Z"), Reason.BAD_TIME),
    ("a second 60", "posthog", posthog(timestamp="2025-06-15 15:05:60.000000"), Reason.BAD_TIME),
    ("a fraction in Arabic digits", "posthog", posthog(timestamp="2025-06-15 15:05:59.00000\u0665"), Reason.BAD_TIME),
    ("a fraction with a blank", "posthog", posthog(timestamp="2025-06-15 15:05:59. 00000"), Reason.BAD_TIME),
    ("a text that is no time", "posthog", posthog(timestamp="yesterday"), Reason.BAD_TIME),
    ("the last millisecond of 1999", "plain", plain(timestamp="1999-12-31T23:59:59.999Z"), Reason.BEFORE_2000),
    ("seconds in place of milliseconds", "plain", plain(timestamp=ARRIVAL_MS // 1000), Reason.BEFORE_2000),
    ("a time far below zero", "plain", plain(timestamp=-(2**62)), Reason.BEFORE_2000),
    ("the year 3000", "posthog", posthog(timestamp="3000-01-01 00:00:00"), Reason.IN_THE_FUTURE),
    ("a day and a millisecond ahead", "plain", plain(timestamp=ARRIVAL_MS + 86_400_001), Reason.IN_THE_FUTURE),
    ("two megabytes", "plain", plain(properties={"a": "x" * 2_000_000}), Reason.TOO_LARGE),
    ("an empty name", "plain", plain(event=""), Reason.BAD_NAME),
    ("a name of 201 characters", "plain", plain(event="x" * 201), Reason.BAD_NAME),
    ("a name of 10,000 characters", "posthog", posthog(event="x" * 10_000), Reason.BAD_NAME),
    ("a NUL in the name", "plain", plain(event="a\0b"), Reason.BAD_NAME),
    ("a NUL in the distinct id", "posthog", posthog(distinct_id="a\0b"), Reason.BAD_ID),
    ("a NUL in the person", "plain", plain(person_id="\0"), Reason.BAD_ID),
    ("an empty distinct id", "plain", plain(distinct_id=""), Reason.BAD_ID),
    ("an id of 401 bytes", "plain", plain(distinct_id="x" * 401), Reason.BAD_ID),
    ("an id of 402 bytes in 134 characters", "plain", plain(person_id="€" * 134), Reason.BAD_ID),
    ("a uuid that is a word", "plain", plain(uuid="order-1"), Reason.BAD_UUID),
    ("a uuid without dashes", "posthog", posthog(uuid=UUID.replace("-", "")), Reason.BAD_UUID),
    ("properties nested 1,000 deep", "plain", plain(properties={"a": nested(900)}), Reason.TOO_DEEP),
    ("an unknown key nested 100,000 deep", "plain", b'{"a":' + b"[" * 100_000, Reason.TOO_DEEP),
    ("properties text nested 1,000 deep", "posthog", posthog(properties=deep_text(1_000)), Reason.TOO_DEEP),
    ("an unknown key nested 1,000 deep", "posthog", posthog(person_properties=nested(900)), Reason.TOO_DEEP),
    (
        "no uuid, and properties that cannot be read",
        "plain",
        plain(uuid=..., properties={"a": 1}).replace(b"1}", b"1e999}"),
        Reason.BAD_PROPERTIES,
    ),
]
