"""Bodies as SDKs in browsers pack them: base64, forms, and gzip around them."""

import base64
import gzip
from urllib.parse import quote_plus

import pytest

from evaluator.http.bodies import BODY_BYTES_MAX, plain_body
from evaluator.http.messages import Problem, Request
from evaluator.http.packed_bodies import FORM

GOOD = '{"token": "t", "distinct_id": "zoë>>>???"}'.encode()
PACKED = base64.b64encode(GOOD)
FORM_TYPE = {"content-type": FORM}


def _plain(body: bytes, query: str = "", headers: dict[str, str] | None = None) -> bytes:
    return plain_body(Request(query, headers or {}, body))


@pytest.mark.parametrize(
    "body",
    [
        PACKED,
        PACKED.rstrip(b"="),
        base64.urlsafe_b64encode(GOOD),
        PACKED[:10] + b"\r\n" + PACKED[10:] + b"\n",
    ],
)
def test_base64_is_undone_in_either_alphabet_with_and_without_padding(body: bytes) -> None:
    assert _plain(body, "v=2&compression=base64") == GOOD


@pytest.mark.parametrize(
    "body",
    [
        b"data=" + quote_plus(PACKED.decode()).encode(),
        b"data=" + PACKED,
        b"compression=base64&data=" + quote_plus(PACKED.decode()).encode() + b"&ver=1",
        b"data=" + quote_plus(GOOD.decode()).encode(),
        GOOD,
    ],
)
@pytest.mark.parametrize("query", ["", "compression=base64"])
def test_a_forms_data_is_taken_out_whether_base64_or_json(body: bytes, query: str) -> None:
    assert _plain(body, query, FORM_TYPE | {}) == GOOD
    assert _plain(body, query, {"content-type": f"{FORM}; charset=utf-8"}) == GOOD


def test_gzip_is_undone_before_a_form() -> None:
    body = gzip.compress(b"data=" + PACKED)
    assert _plain(body, "", FORM_TYPE | {"content-encoding": "gzip"}) == GOOD


@pytest.mark.parametrize("body", [b"%%%", b"data=%25%25", b"abcde", "größe".encode()])
def test_what_is_no_base64_is_refused(body: bytes) -> None:
    for query, headers in (("compression=base64", {}), ("", FORM_TYPE)):
        if headers and not body.startswith(b"data="):
            continue
        with pytest.raises(Problem) as refused:
            _plain(body, query, headers)
        assert refused.value.status == 400


def test_a_form_of_nothing_but_separators_is_looked_through_once() -> None:
    body = b"&" * BODY_BYTES_MAX
    assert _plain(body, "", FORM_TYPE) == body
