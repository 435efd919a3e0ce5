"""Bodies: unpacked within their limit, decoded into typed values, and refused with the field that is wrong."""

import gzip
import zlib
from typing import Any

import msgspec
import pytest

from evaluator.http.bodies import BODY_BYTES_MAX, decode_body, plain_body
from evaluator.http.flag_request import FlagsRequest
from evaluator.http.messages import Problem, Request

DECODER = msgspec.json.Decoder(FlagsRequest)
GOOD = b'{"token": "t", "distinct_id": "ada", "geoip_disable": true, "groups": {}}'

WRONG = [
    (b"", "malformed_json", None),
    (b"not json", "malformed_json", None),
    (b'{"token": "t", "distinct_id": "a"', "malformed_json", None),
    (b'{"distinct_id": "\xff"}', "malformed_json", None),
    (b'{"person_properties": {"x": ' + b"[" * 100_000, "too_deep", None),
    (b'{"distinct_id": "\\ud800"}', "malformed_json", None),
    (b"[]", "invalid_input", None),
    (b"null", "invalid_input", None),
    (b'{"token": "t"}', "required", "distinct_id"),
    (b'{"distinct_id": 7.5, "token": "t"}', "invalid_input", "distinct_id"),
    (b'{"distinct_id": true, "token": "t"}', "invalid_input", "distinct_id"),
    (b'{"distinct_id": null}', "invalid_input", "distinct_id"),
    (b'{"distinct_id": "a", "token": ["t"]}', "invalid_input", "token"),
    (b'{"distinct_id": "a", "person_properties": "x"}', "invalid_input", "person_properties"),
    (b'{"distinct_id": "a", "flag_keys_to_evaluate": ["a", 1]}', "invalid_input", "flag_keys_to_evaluate[1]"),
]


def _request(body: bytes, query: str = "", **headers: str) -> Request:
    return Request(query, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize(("body", "code", "attr"), WRONG)
def test_a_wrong_body_is_refused_with_its_field(body: bytes, code: str, attr: str | None) -> None:
    with pytest.raises(Problem) as refused:
        decode_body(_request(body), DECODER)
    assert refused.value.status == 400
    assert (refused.value.body.type, refused.value.body.code, refused.value.body.attr) == (
        "validation_error",
        code,
        attr,
    )


def test_fields_that_are_not_known_are_left_alone() -> None:
    assert decode_body(_request(GOOD), DECODER).distinct_id == "ada"


@pytest.mark.parametrize(
    "request_",
    [
        _request(gzip.compress(GOOD), content_encoding="gzip"),
        _request(gzip.compress(GOOD), "v=2&compression=gzip"),
        _request(gzip.compress(GOOD), "compression=gzip-js", content_encoding="gzip"),
    ],
)
def test_a_gzip_body_is_unpacked(request_: Request) -> None:
    assert plain_body(request_) == GOOD


@pytest.mark.parametrize(
    ("query", "headers", "attr"),
    [("compression=lz64", {}, "compression"), ("", {"content_encoding": "br"}, "content-encoding")],
)
def test_an_unknown_packing_is_refused_by_name(query: str, headers: dict[str, str], attr: str) -> None:
    with pytest.raises(Problem) as refused:
        plain_body(_request(GOOD, query, **headers))
    assert (refused.value.status, refused.value.body.attr) == (415, attr)


@pytest.mark.parametrize(
    "packed", [b"not gzip", gzip.compress(GOOD)[:-9], zlib.compress(GOOD)], ids=["no gzip", "cut short", "zlib"]
)
def test_a_broken_gzip_body_is_refused(packed: bytes) -> None:
    with pytest.raises(Problem) as refused:
        plain_body(_request(packed, content_encoding="gzip"))
    assert refused.value.body.code == "malformed_gzip"


@pytest.mark.parametrize(("extra", "refused"), [(-1, False), (0, False), (1, True)])
def test_a_body_is_limited_as_it_is_unpacked(extra: int, refused: bool) -> None:
    packed = _request(gzip.compress(b" " * (BODY_BYTES_MAX + extra)), content_encoding="gzip")
    if not refused:
        assert len(plain_body(packed)) == BODY_BYTES_MAX + extra
        return
    with pytest.raises(Problem) as problem:
        plain_body(packed)
    assert problem.value.status == 413


def test_a_problem_is_json_with_type_code_detail_and_field() -> None:
    with pytest.raises(Problem) as refused:
        decode_body(_request(b"{}"), DECODER)
    shown: dict[str, Any] = msgspec.json.decode(refused.value.response().body)
    said = "distinct_id is required"
    assert shown == {"type": "validation_error", "code": "required", "detail": said, "attr": "distinct_id"}
