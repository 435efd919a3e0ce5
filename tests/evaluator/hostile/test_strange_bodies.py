"""JSON that is deep, wide or strange is answered at once, with a client's error or with flags."""

import time

import pytest

from tests.evaluator.serving import TOKEN, Evaluator

DEADLINE_S = 5.0
BEARER = {"Authorization": f"Bearer {TOKEN}"}
ENDPOINTS = {
    "/flags": b'{"token": "phc_test", "distinct_id": "ada", "person_properties": {"plan": %b}}',
    "/ofrep/v1/evaluate/flags": b'{"context": {"targetingKey": "ada", "plan": %b}}',
    "/ofrep/v1/evaluate/flags/for-pros": b'{"context": {"targetingKey": "ada", "plan": %b}}',
}
STRANGE = {
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep enough to be read": b"[" * 900 + b"]" * 900,
    "deep and not ended": b"[" * 500_000,
    "wide": b"{" + b",".join(b'"%d": 1' % number for number in range(60_000)) + b"}",
    "the same key again and again": b"{" + b",".join([b'"a": 1'] * 60_000) + b"}",
    "a number of many digits": b"9" * 100_000,
    "an exponent beyond all floats": b"1e999999999",
    "a number close to nothing": b"1e-999999999",
    "half a surrogate pair": b'"\\ud800"',
    "a null character": b'"\\u0000"',
    "not a number": b"NaN",
    "bytes that are no text": b'"\xff\xfe"',
    "a long text": b'"%b"' % (b"x" * 900_000),
    "a long list": b"[" + b",".join([b'"pro"'] * 100_000) + b"]",
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_strange_property_is_answered_in_time_and_never_with_a_servers_error(
    evaluator: Evaluator, path: str, name: str
) -> None:
    began = time.monotonic()
    answer = evaluator.client.post(path, content=ENDPOINTS[path] % STRANGE[name], headers=BEARER)
    assert answer.status_code in (200, 400), answer.text
    assert time.monotonic() - began < DEADLINE_S
    assert evaluator.client.get("/health").status_code == 200


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("path", ENDPOINTS)
def test_the_same_in_place_of_the_whole_body(evaluator: Evaluator, path: str, name: str) -> None:
    began = time.monotonic()
    answer = evaluator.client.post(path, content=STRANGE[name], headers=BEARER)
    assert answer.status_code == 400, answer.text
    assert time.monotonic() - began < DEADLINE_S
