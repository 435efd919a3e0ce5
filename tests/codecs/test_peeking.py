"""The cheap look never says anything that a full decode would contradict."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.codecs.peeking import peek_name
from tests.examples import aside

names = st.one_of(st.sampled_from(["purchase", "event", '"event"', "a\\b", "ä", "💥", "x" * 300, ""]), st.text())
keys = st.one_of(
    st.sampled_from(
        ["event", "e", "properties", '"event":"x"', "events", "\\event", '\\"event'],
    ),
    st.text(max_size=8),
)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=12), names),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=12,
)
blanks = st.text(alphabet=" \t\r\n", max_size=3)


@st.composite
def encoded(draw: st.DrawFn) -> tuple[bytes, dict[str, Any]]:
    """A message with its fields in any order, written with any encoder's whitespace and escapes."""
    fields = draw(st.dictionaries(keys, values, max_size=5))
    if draw(st.booleans()):
        fields["properties"] = json.dumps(draw(st.dictionaries(keys, values, max_size=3)))
    if draw(st.integers(0, 4)):
        fields["event"] = draw(names)
    fields = dict(draw(st.permutations(list(fields.items()))))
    return _write(draw, fields), fields


def _write(draw: st.DrawFn, fields: dict[str, Any]) -> bytes:
    """An object member by member, so that blanks and escapes may differ from one to the next."""
    ascii_only = draw(st.booleans())
    members = []
    for key, value in fields.items():
        before, behind, between = draw(blanks), draw(blanks), draw(blanks)
        text = json.dumps(value, ensure_ascii=ascii_only, indent=draw(st.sampled_from([None, 1])))
        if isinstance(value, str) and draw(st.integers(0, 5)) == 0:
            text = '"' + "".join(f"\\u{unit:04x}" for unit in _units(value)) + '"'
        members.append(f"{before}{json.dumps(key, ensure_ascii=ascii_only)}{behind}:{between}{text}{draw(blanks)}")
    return (draw(blanks) + "{" + ",".join(members) + "}" + draw(blanks)).encode("utf-8", "surrogatepass")


def _units(text: str) -> list[int]:
    packed = text.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(packed[i : i + 2], "big") for i in range(0, len(packed), 2)]


@aside()
@given(encoded())
def test_a_name_that_is_told_is_the_name_that_a_full_decode_finds(message: tuple[bytes, dict[str, Any]]) -> None:
    raw, fields = message
    name = peek_name(raw)
    if name is not None:
        assert name == fields["event"] == json.loads(raw)["event"]


@aside()
@given(st.lists(st.tuples(st.sampled_from(["event", "e", "properties"]), values), max_size=6))
def test_of_a_repeated_key_the_one_is_told_that_a_full_decode_finds(members: list[tuple[str, Any]]) -> None:
    raw = "{" + ",".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in members) + "}"
    name = peek_name(raw.encode())
    if name is not None:
        assert json.loads(raw)["event"] == name


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b'{"event":"purchase","distinct_id":"d"}', "purchase"),
        (b'{"uuid": "u", "event": "purchase", "properties": "{\\"event\\": \\"x\\"}"}', "purchase"),
        (b'{\n  "event" :\t"sch\xc3\xb6n"\n}', "schön"),
        (b'{"properties":{"event":"nested"},"event":"behind an object"}', "behind an object"),
        (b'{"type":"event","event":"a"}', "a"),
        (b'{"event":"\\u0070urchase"}', "purchase"),
        (b'{"\\u0065vent":"escaped"}', "escaped"),
        (b'{"event":"' + b"x" * 200 + b'"}', "x" * 200),
    ],
)
def test_a_name_is_seen_however_it_is_written(raw: bytes, name: str) -> None:
    assert peek_name(raw) == name


def test_a_message_that_can_be_no_event_is_left_to_a_full_decode() -> None:
    for raw in (
        b"",
        b"event",
        b"[]",
        b'{"properties":{"event":"nested"}}',
        b'{"event":null}',
        b'{"event":7}',
        b'{"event":""}',
        b'{"event":"a\x00b"}',
        b'{"event":"a\\u0000b"}',
        b'{"event":"' + b"x" * 201 + b'"}',
        b'{"event":"cut',
        b'{"event":"cut","properties":{',
        b'{"event":"deep","properties":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ):
        assert peek_name(raw) is None
