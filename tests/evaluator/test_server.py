"""The evaluator as its callers meet it: a real server, over a real view."""

import asyncio
import gzip
from typing import Any

import httpx
import msgspec
import pytest

from cohort_store.registry import Registry
from evaluator.http.bodies import BODY_BYTES_MAX
from tests.evaluator.building import SHARDS
from tests.evaluator.conftest import FLAGS, PEOPLE
from tests.evaluator.serving import BEARER, TOKEN, Evaluator


def _values(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: each["variant"] or each["enabled"] for key, each in answer["flags"].items()}


def _problem(response: httpx.Response, status: int) -> tuple[str, str, str | None]:
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"type", "code", "detail", "attr"}
    assert body["detail"]
    return body["type"], body["code"], body["attr"]


def test_flags_answer_in_posthogs_shape_with_reasons(evaluator: Evaluator) -> None:
    answer = evaluator.flags("ada")
    assert set(answer) == {"flags", "errorsWhileComputingFlags", "requestId", "evaluatedAt"}
    assert answer["errorsWhileComputingFlags"] is False
    assert answer["flags"]["for-buyers"] == {
        "key": "for-buyers",
        "enabled": True,
        "variant": None,
        "reason": {"code": "condition_match", "condition_index": 0, "description": "Matched condition set 1"},
        "metadata": {"id": 0, "version": 1, "description": None, "payload": '{"size": 3}'},
    }
    assert answer["flags"]["off"]["reason"]["code"] == "flag_disabled"


def test_membership_properties_and_the_hash_decide_over_http(evaluator: Evaluator) -> None:
    values = _values(evaluator.flags("ada", person_properties={"plan": "PRO"}))
    assert values.pop("colours") in ("red", "blue")
    assert values == {"for-buyers": True, "not-sleeping": True, "for-pros": True, "off": False}
    assert _values(evaluator.flags("nobody"))["for-buyers"] is False
    assert _values(evaluator.flags("nobody"))["not-sleeping"] is False


def test_a_distinct_id_that_is_a_number_is_the_text_of_its_digits(evaluator: Evaluator) -> None:
    numbered, written = (
        evaluator.client.post("/flags", json={"token": TOKEN, "distinct_id": i}).json() for i in (7, "7")
    )
    assert numbered["flags"] == written["flags"]


def test_a_distinct_id_answers_for_its_person_but_is_hashed_itself(evaluator: Evaluator) -> None:
    answer = evaluator.flags("browser-ada", params={"muster": "1"})
    assert answer["muster"]["person"] == "ada"
    assert answer["flags"]["for-buyers"]["enabled"] is True
    assert _values(evaluator.flags("browser-grace"))["for-buyers"] is False


def test_the_muster_block_says_how_good_the_answer_is(evaluator: Evaluator, registry: Registry) -> None:
    assert "muster" not in evaluator.flags("ada")
    body = {"token": TOKEN, "distinct_id": "ada"}
    block = evaluator.client.post("/flags?v=2", json=body, headers={"X-Muster": "1"}).json()["muster"]
    assert (block["registry_version"], block["data_age_ms"]) == (registry.version, 2_000)
    assert block["cohorts"] == {
        "buyers": {"id": 1, "key": "buyers", "version": 1, "status": "OK", "member": True},
        "sleepers": {"id": 2, "key": "sleepers", "version": 1, "status": "OK", "member": False},
    }
    assert block["flags"]["not-sleeping"] == {"status": "OK", "sets": [{"index": 0, "holds": True}]}
    failed = {"index": 0, "holds": False, "failed": ["person plan exact"]}
    assert block["flags"]["for-pros"] == {"status": "OK", "sets": [failed]}
    brought = evaluator.flags("ada", person_properties={"plan": "pro", "age": 7}, params={"muster": "1"})
    assert brought["muster"]["properties"] == ["plan"]


def test_only_the_flags_asked_for_are_evaluated(evaluator: Evaluator) -> None:
    asked = evaluator.flags("ada", flag_keys_to_evaluate=["colours", "colours", "ghost"], params={"muster": "1"})
    assert list(asked["flags"]) == ["colours"]
    assert asked["muster"] == {
        "registry_version": 1,
        "definitions_from": "mirror",
        "flags": {"colours": {"status": "OK", "sets": [{"index": 0, "holds": True}]}},
    }


@pytest.mark.parametrize("path", ["/flags", "/flags/", "/flags?v=2", "/flags/?v=4&compression=gzip"])
def test_every_way_in_which_sdks_ask_is_answered(evaluator: Evaluator, path: str) -> None:
    body = msgspec.json.encode({"api_key": TOKEN, "distinct_id": "ada", "geoip_disable": True, "groups": {}})
    packed = gzip.compress(body) if "gzip" in path else body
    assert evaluator.client.post(path, content=packed).json()["flags"]["for-buyers"]["enabled"] is True


def test_a_chunked_body_is_read_and_limited_too(evaluator: Evaluator) -> None:
    good = [b'{"token": "%b", ' % TOKEN.encode(), b'"distinct_id": "ada"}']
    assert evaluator.client.post("/flags", content=iter(good)).status_code == 200
    endless = (b" " * 65_536 for _ in range(BODY_BYTES_MAX // 65_536 + 2))
    # Refused before it is read to its end, so that the server closes this connection: none that others share.
    with httpx.Client(base_url=evaluator.url) as client:
        assert _problem(client.post("/flags", content=endless), 413)[1] == "body_too_large"


@pytest.mark.parametrize(
    ("body", "status", "code", "attr"),
    [
        (b"", 400, "malformed_json", None),
        (b"{", 400, "malformed_json", None),
        (b'{"distinct_id": "ada"}', 400, "required", "token"),
        (b'{"token": "phc_test"}', 400, "required", "distinct_id"),
        (b'{"token": "phc_test", "distinct_id": [7]}', 400, "invalid_input", "distinct_id"),
        (b'{"token": "phc_test", "distinct_id": %b}' % (b"7" * 401), 400, "too_long", "distinct_id"),
        (b'{"token": "phc_test", "distinct_id": ""}', 400, "required", "distinct_id"),
        (b'{"token": "phc_test", "distinct_id": "%b"}' % (b"x" * 401), 400, "too_long", "distinct_id"),
        (
            b'{"token": "phc_test", "distinct_id": "a", "person_properties": 1}',
            400,
            "invalid_input",
            "person_properties",
        ),
        (b'{"token": "who", "distinct_id": "ada"}', 401, "invalid_api_key", "token"),
        (b'{"api_key": "who", "distinct_id": "ada"}', 401, "invalid_api_key", "api_key"),
        (b" " * (BODY_BYTES_MAX + 1), 413, "body_too_large", None),
    ],
)
def test_a_bad_request_is_refused_and_its_field_named(
    evaluator: Evaluator, body: bytes, status: int, code: str, attr: str | None
) -> None:
    assert _problem(evaluator.client.post("/flags?v=2", content=body), status)[1:] == (code, attr)


@pytest.mark.parametrize(("path", "status"), [("/flags", 413), ("/nowhere", 404)])
def test_who_is_refused_before_the_body_is_read_is_told_that_the_connection_ends(
    evaluator: Evaluator, path: str, status: int
) -> None:
    for body, closes in ((b" " * (BODY_BYTES_MAX + 1), True), (b"{}", status == 404)):
        answer = evaluator.client.post(path, content=body)
        assert answer.headers.get("connection", "") == ("close" if closes else "")
        assert (answer.status_code == status) is closes


@pytest.mark.parametrize(("path", "person"), [("/persons/a%2541", "a%41"), ("/persons/caf%C3%A9", "café")])
def test_an_id_in_a_path_is_decoded_once(evaluator: Evaluator, path: str, person: str) -> None:
    assert evaluator.get(path)["person"] == person


@pytest.mark.parametrize("path", ["/cohorts", "/cohorts/buyers/members", "/persons/ada", "/persons?distinct_id=ada"])
def test_management_needs_a_key_that_is_known(evaluator: Evaluator, path: str) -> None:
    assert _problem(evaluator.client.get(path), 401)[1] == "not_authenticated"
    wrong = evaluator.client.get(path, headers={"Authorization": "Bearer who"})
    assert _problem(wrong, 401)[1:] == ("invalid_api_key", "authorization")
    assert evaluator.client.get(path, headers=BEARER).status_code == 200


def test_what_is_not_served_is_404_and_a_wrong_method_405(evaluator: Evaluator) -> None:
    assert _problem(evaluator.client.get("/nothing"), 404)[0] == "not_found"
    refused = evaluator.client.get("/flags")
    assert _problem(refused, 405)[0] == "method_not_allowed"
    assert refused.headers["allow"] == "POST"


def test_cohorts_are_listed_with_version_status_and_size(evaluator: Evaluator) -> None:
    rows = {row["key"]: row for row in evaluator.get("/cohorts")["cohorts"]}
    assert rows["buyers"] == {
        "id": 1,
        "key": "buyers",
        "name": "Buyers",
        "version": 1,
        "status": "OK",
        "complemented": False,
        "listed": True,
        "shards_ready": 8,
        "shards": 8,
        "stored": PEOPLE + 1,
    }
    assert (rows["sleepers"]["complemented"], rows["sleepers"]["stored"]) == (True, 2)


def test_members_come_in_pages_and_nobody_twice(evaluator: Evaluator) -> None:
    seen: list[str] = []
    params = {"limit": "7"}
    while True:
        page = evaluator.get("/cohorts/buyers/members", **params)
        assert len(page["members"]) <= 7
        seen += page["members"]
        if page["cursor"] is None:
            break
        params["cursor"] = page["cursor"]
    assert sorted(seen) == sorted(["ada", *(f"buyer-{n}" for n in range(PEOPLE))])


def test_of_a_complemented_cohort_the_exceptions_are_listed(evaluator: Evaluator) -> None:
    page = evaluator.get("/cohorts/2/members")
    assert (page["status"], page["shards_ready"], page["shards"]) == ("OK", SHARDS, SHARDS)
    assert page["now"] == "2026-02-12T13:00:00.000Z"
    assert (page["cohort"], page["complemented"], sorted(page["members"])) == ("sleepers", True, ["ada", "grace"])


@pytest.mark.parametrize(
    ("path", "status", "code", "attr"),
    [
        ("/cohorts/ghosts/members", 404, "cohort_not_found", "key"),
        ("/cohorts/unlisted/members", 409, "not_listed", "key"),
        ("/cohorts/buyers/members?limit=0", 400, "invalid_input", "limit"),
        ("/cohorts/buyers/members?limit=1001", 400, "invalid_input", "limit"),
        ("/cohorts/buyers/members?limit=ten", 400, "invalid_input", "limit"),
        ("/cohorts/buyers/members?cursor=there", 400, "invalid_cursor", "cursor"),
        ("/persons?distinct_id=", 400, "required", "distinct_id"),
        ("/persons", 400, "required", "id"),
        (f"/persons/{'x' * 401}", 400, "too_long", "id"),
        (f"/cohorts/{'9' * 5_000}/members", 404, "cohort_not_found", "key"),
        ("/cohorts/buyers/members?limit=0000000019999999", 400, "invalid_input", "limit"),
    ],
)
def test_a_bad_management_request_names_what_is_wrong(
    evaluator: Evaluator, path: str, status: int, code: str, attr: str
) -> None:
    assert _problem(evaluator.client.get(path, headers=BEARER), status)[1:] == (code, attr)


def test_a_person_is_shown_by_id_by_distinct_id_and_by_an_id_that_is_only_a_distinct_id(evaluator: Evaluator) -> None:
    by_id = evaluator.get("/persons/ada")
    assert {each["key"]: each.get("member") for each in by_id["cohorts"]} == {
        "buyers": True,
        "sleepers": False,
        "unlisted": False,
    }
    assert (by_id["known"], by_id["data_age_ms"], by_id["now"]) == (True, 2_000, "2026-02-12T13:00:00.000Z")
    for asked in (evaluator.get("/persons/browser-ada"), evaluator.get("/persons", distinct_id="browser-ada")):
        assert asked == {**by_id, "distinct_id": "browser-ada"}


def test_a_person_never_seen_is_answered_all_the_same(evaluator: Evaluator) -> None:
    shown = evaluator.get("/persons/nobody")
    assert shown["known"] is False
    assert {each["key"]: each["member"] for each in shown["cohorts"]}["sleepers"] is True


def test_another_teams_token_sees_nothing_of_this_one(evaluator: Evaluator) -> None:
    body = {"token": "phc_other", "distinct_id": "ada"}
    assert evaluator.client.post("/flags", json=body).json()["flags"] == {}


def test_health_readiness_and_the_document_are_served(evaluator: Evaluator) -> None:
    assert evaluator.client.get("/health").json() == {"status": "alive"}
    assert evaluator.client.get("/ready").json() == {"status": "ready", "registry_version": 1, "problems": []}
    assert evaluator.client.get("/openapi.json").json()["openapi"] == "3.1.0"


def test_metrics_count_requests_flags_and_reads(evaluator: Evaluator) -> None:
    requests = 'muster_evaluator_requests_total{route="/flags",status="200"}'
    flags = 'muster_evaluator_flags_total{outcome="answered"}'
    before = [evaluator.metric(name) for name in (requests, flags, "muster_evaluator_reads_total")]
    evaluator.flags("ada")
    after = [evaluator.metric(name) for name in (requests, flags, "muster_evaluator_reads_total")]
    assert [late - early for early, late in zip(before, after, strict=True)] == [1, len(FLAGS), 1]


def test_sixty_requests_at_the_same_time_all_get_the_right_answer(evaluator: Evaluator) -> None:
    async def ask() -> None:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=evaluator.url, limits=limits, timeout=15) as client:
            body = {"token": TOKEN, "distinct_id": "ada"}
            answers = await asyncio.gather(*(client.post("/flags", json=body) for _ in range(60)))
        assert {answer.json()["flags"]["for-buyers"]["enabled"] for answer in answers} == {True}

    asyncio.run(ask())
