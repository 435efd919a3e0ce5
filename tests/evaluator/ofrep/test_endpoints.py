"""OFREP over HTTP: every answer is what the protocol promises, and says what /flags says."""

import gzip
from typing import Any

import httpx
import msgspec
import pytest

from tests.evaluator.ofrep.conftest import OFREP_FLAGS, PAYLOADS
from tests.evaluator.ofrep.protocol import must_fit
from tests.evaluator.serving import TOKEN, Evaluator

PATH = "/ofrep/v1/evaluate/flags"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
KEYS = [each["key"] for each in OFREP_FLAGS]


def _ask(evaluator: Evaluator, key: str | None = None, targeting_key: str = "ada", **attributes: Any) -> httpx.Response:
    context = {"targetingKey": targeting_key, **attributes}
    path = PATH if key is None else f"{PATH}/{key}"
    return evaluator.client.post(path, json={"context": context}, headers=BEARER)


def _single(evaluator: Evaluator, key: str, targeting_key: str = "ada", **attributes: Any) -> dict[str, Any]:
    response = _ask(evaluator, key, targeting_key, **attributes)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    must_fit(body, "serverEvaluationSuccess")
    return body


def _failure(response: httpx.Response, status: int, schema: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    must_fit(body, schema)
    assert body["errorDetails"]
    return body


def test_one_flag_is_answered_with_value_variant_reason_and_metadata(evaluator: Evaluator) -> None:
    assert _single(evaluator, "for-buyers") == {
        "key": "for-buyers",
        "value": True,
        "variant": "on",
        "reason": "TARGETING_MATCH",
        "metadata": {
            "status": "OK",
            "posthogReason": "condition_match",
            "description": "Matched condition set 1",
            "conditionIndex": 0,
            "flagVersion": 1,
            "payload": '{"size": 3}',
        },
    }


@pytest.mark.parametrize(
    ("key", "person", "value", "variant", "reason"),
    [
        ("for-buyers", "nobody", False, "off", "TARGETING_MATCH"),
        ("everybody", "ada", True, "on", "STATIC"),
        ("nobody", "ada", False, "off", "STATIC"),
        ("a-few", "ada", False, "off", "SPLIT"),
        ("off", "ada", False, "off", "DISABLED"),
        ("words", "ada", "red", "red", "TARGETING_MATCH"),
        ("words", "nobody", None, "off", "TARGETING_MATCH"),
        ("boxes", "ada", PAYLOADS["small"], "small", "TARGETING_MATCH"),
        ("boxes", "nobody", None, "off", "TARGETING_MATCH"),
        ("seconds", "ada", 30, "on", "STATIC"),
        ("ratio", "ada", 0.25, "on", "STATIC"),
    ],
)
def test_a_flags_value_has_the_type_of_its_definition_and_none_while_that_type_has_no_off(
    evaluator: Evaluator, key: str, person: str, value: Any, variant: str, reason: str
) -> None:
    found = _single(evaluator, key, person)
    assert (found.get("value"), found["variant"], found["reason"]) == (value, variant, reason)


def test_a_variant_that_the_hash_chose_is_a_split(evaluator: Evaluator) -> None:
    found = _single(evaluator, "colours")
    assert found["value"] == found["variant"] in ("red", "blue")
    assert found["reason"] == "SPLIT"


def test_the_targeting_key_is_the_distinct_id_and_other_attributes_are_properties(evaluator: Evaluator) -> None:
    assert _single(evaluator, "for-buyers", "browser-ada")["value"] is True
    assert _single(evaluator, "for-pros")["value"] is False
    assert _single(evaluator, "for-pros", plan="PRO")["value"] is True


@pytest.mark.parametrize("groups", [{"account": "acme"}, ["admins"], "admins", None])
def test_groups_that_are_an_object_are_posthogs_and_all_others_a_property(evaluator: Evaluator, groups: Any) -> None:
    assert _single(evaluator, "for-pros", plan="pro", groups=groups)["value"] is True


def test_all_flags_are_answered_at_once_and_agree_with_single_ones_and_with_flags(
    evaluator: Evaluator,
) -> None:
    response = _ask(evaluator, plan="pro")
    assert response.status_code == 200
    must_fit(response.json(), "bulkEvaluationSuccess")
    found = {each["key"]: each for each in response.json()["flags"]}
    assert list(found) == [*KEYS, "from-tomorrow"]
    assert [found[key] for key in KEYS] == [_single(evaluator, key, plan="pro") for key in KEYS]
    flags = evaluator.flags("ada", person_properties={"plan": "pro"})["flags"]
    assert {key: found[key]["metadata"]["posthogReason"] for key in KEYS} == {
        key: flags[key]["reason"]["code"] for key in KEYS
    }


def test_a_flag_that_cannot_be_read_fails_by_itself_and_names_the_reason(evaluator: Evaluator) -> None:
    (bulk,) = (each for each in _ask(evaluator).json()["flags"] if "errorCode" in each)
    assert bulk == _failure(_ask(evaluator, "from-tomorrow"), 400, "evaluationFailure")
    assert (bulk["key"], bulk["errorCode"]) == ("from-tomorrow", "GENERAL")
    assert "on_unavailable" in bulk["errorDetails"]


def test_the_etag_stands_for_the_answer_and_changes_with_it(evaluator: Evaluator) -> None:
    first, again, other = _ask(evaluator), _ask(evaluator), _ask(evaluator, targeting_key="nobody")
    assert first.headers["etag"] == again.headers["etag"] != other.headers["etag"]


@pytest.mark.parametrize(("sent", "status"), [("{}", 304), ("W/{}", 304), ('"x", {}', 304), ("*", 304), ('"x"', 200)])
def test_who_has_the_answer_already_is_told_so_without_a_body(evaluator: Evaluator, sent: str, status: int) -> None:
    etag = _ask(evaluator).headers["etag"]
    headers = {**BEARER, "If-None-Match": sent.format(etag)}
    body = {"context": {"targetingKey": "ada"}}
    response = evaluator.client.post(PATH, json=body, headers=headers)
    assert (response.status_code, response.headers["etag"]) == (status, etag)
    assert (response.content == b"") is (status == 304)


def test_a_flag_that_is_not_there_is_not_found(evaluator: Evaluator) -> None:
    failure = _failure(_ask(evaluator, "ghost"), 404, "flagNotFound")
    assert (failure["key"], failure["errorCode"]) == ("ghost", "FLAG_NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "PARSE_ERROR"),
        (b"{", "PARSE_ERROR"),
        (b"\xff", "PARSE_ERROR"),
        (b"{}", "INVALID_CONTEXT"),
        (b"[]", "INVALID_CONTEXT"),
        (b'{"context": 7}', "INVALID_CONTEXT"),
        (b'{"context": null}', "INVALID_CONTEXT"),
        (b'{"context": {}}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": ""}}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": null}}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": 7}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "%b"}}' % (b"x" * 401), "INVALID_CONTEXT"),
        (b'{"context": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "ada", "plan": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}}", None),
    ],
)
def test_a_bad_context_is_refused_with_openfeatures_code(evaluator: Evaluator, body: bytes, code: str | None) -> None:
    bulk = evaluator.client.post(PATH, content=body, headers=BEARER)
    single = evaluator.client.post(f"{PATH}/for-buyers", content=body, headers=BEARER)
    failures = _failure(bulk, 400, "bulkEvaluationFailure"), _failure(single, 400, "evaluationFailure")
    assert {failure["errorCode"] for failure in failures} == {code or "INVALID_CONTEXT"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"Authorization": f"bearer {TOKEN}"}, 200),
        ({"X-API-Key": TOKEN}, 200),
        ({}, 401),
        ({"Authorization": "Bearer who"}, 401),
        ({"X-API-Key": "who"}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
    ],
)
def test_a_token_comes_as_a_bearer_or_as_an_api_key(evaluator: Evaluator, headers: dict[str, str], status: int) -> None:
    response = evaluator.client.post(PATH, json={"context": {"targetingKey": "ada"}}, headers=headers)
    assert response.status_code == status
    if status == 401:
        assert response.json()["type"] == "authentication_error"


def test_another_teams_token_sees_no_flag_of_this_one(evaluator: Evaluator) -> None:
    other = {"X-API-Key": "phc_other"}
    body = {"context": {"targetingKey": "ada"}}
    assert evaluator.client.post(PATH, json=body, headers=other).json() == {"flags": []}
    assert evaluator.client.post(f"{PATH}/for-buyers", json=body, headers=other).status_code == 404


def test_a_packed_body_is_read_and_an_unknown_packing_refused(evaluator: Evaluator) -> None:
    body = gzip.compress(msgspec.json.encode({"context": {"targetingKey": "ada"}}))
    for encoding, status in (("gzip", 200), ("zstd", 415)):
        headers = {**BEARER, "Content-Encoding": encoding}
        assert evaluator.client.post(PATH, content=body, headers=headers).status_code == status
