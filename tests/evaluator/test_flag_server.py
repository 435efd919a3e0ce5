"""The whole flag model and every version of the answer, asked of a running evaluator over HTTP."""

import asyncio
import base64
import gzip
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus

import msgspec
import pytest
import redis

from cohort_store.clocks import FileClock
from cohort_store.registry import Registry
from evaluator.deciding.bucketing import bucket
from processors.embedded.view import EmbeddedView
from tests.evaluator.building import DAY_MS, NOW_MS, flag, in_cohort, person_is, registry_of, variants
from tests.evaluator.conftest import fill
from tests.evaluator.serving import TOKEN, Evaluator, serving
from tests.services.redis_servers import RedisServer

pytestmark = pytest.mark.services

SPLIT = flag("split", {}, multivariate=variants(a=50, b=50), payloads={"a": "1", "b": "2"})
FLAGS = (
    flag(
        "for-companies",
        {"properties": [{"type": "group", "key": "plan", "operator": "exact", "value": "pro"}]},
        aggregation_group_type_index=0,
    ),
    flag("by-device", {"rollout_percentage": 50}) | {"bucketing_identifier": "device_id"},
    SPLIT | {"key": "going-on", "ensure_experience_continuity": True},
    flag(
        "after-buyers",
        {"properties": [{"type": "flag", "key": "for-buyers", "operator": "flag_evaluates_to", "value": True}]},
    ),
    flag("for-buyers", {"properties": [in_cohort("buyers")]}),
    flag("early", {"rollout_percentage": 0}, feature_enrollment=True),
    flag("held-out", {}, holdout={"id": 5, "exclusion_percentage": 100}),
    flag("for-pros", {"properties": [person_is("plan", "exact", "pro")]}, payloads={"true": '{"size": 3}'}),
)
VALUES_OF_ADA = {"after-buyers": True, "for-buyers": True, "held-out": "holdout-5"}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return registry_of(FLAGS, group_types={"company": 0, "project": 1})


@pytest.fixture(scope="module")
def evaluator(
    tmp_path_factory: pytest.TempPathFactory, view_server: EmbeddedView | RedisServer, registry: Registry
) -> Iterator[Evaluator]:
    with redis.Redis.from_url(view_server.url) as client:
        client.flushall()
    asyncio.run(fill(view_server.url, registry))
    folder = tmp_path_factory.mktemp("flags")
    FileClock(folder / "clock").set(NOW_MS + 31 * DAY_MS + 2_000)
    with serving(folder, view_server.url, f"file:{folder / 'clock'}") as running:
        running.until_version(registry.version)
        yield running


def _reasons(evaluator: Evaluator, key: str, distinct_id: str = "ada", **fields: Any) -> tuple[bool, str, int | None]:
    answer = evaluator.flags(distinct_id, **fields)["flags"][key]
    return answer["enabled"], answer["reason"]["code"], answer["reason"]["condition_index"]


def _value(evaluator: Evaluator, key: str, distinct_id: str, **fields: Any) -> bool | str:
    answer = evaluator.flags(distinct_id, **fields)["flags"][key]
    return answer["enabled"] and (answer["variant"] or True)


def _post(evaluator: Evaluator, path: str, distinct_id: str = "ada", **fields: Any) -> dict[str, Any]:
    response = evaluator.client.post(path, json={"token": TOKEN, "distinct_id": distinct_id, **fields})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_a_flag_about_companies_is_decided_by_the_company_of_the_request(evaluator: Evaluator) -> None:
    told: dict[str, Any] = {"groups": {"company": "acme"}, "group_properties": {"company": {"plan": "PRO"}}}
    assert _reasons(evaluator, "for-companies", **told) == (True, "condition_match", 0)
    assert _reasons(evaluator, "for-companies", groups={"company": 7}) == (False, "no_condition_match", 0)
    for groups in (None, {}, {"company": ""}, {"company": None}, {"company": True}, {"team": "x"}):
        assert _reasons(evaluator, "for-companies", groups=groups) == (False, "no_group_type", 0)


@pytest.mark.parametrize(
    "fields", [{"device_id": "d"}, {"$device_id": "d"}, {"person_properties": {"$device_id": "d"}}]
)
def test_the_device_is_told_in_any_of_three_ways(evaluator: Evaluator, fields: dict[str, Any]) -> None:
    device = next(f"phone-{n}" for n in range(100) if bucket("by-device", f"phone-{n}") <= 0.5)
    told: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(fields).replace(b'"d"', f'"{device}"'.encode()))
    assert _reasons(evaluator, "by-device", **told) == (True, "condition_match", 0)
    assert _reasons(evaluator, "by-device") == (False, "out_of_rollout_bound", 0)


def test_flags_depend_on_flags_also_where_only_the_asking_one_is_wanted(evaluator: Evaluator) -> None:
    for person, enabled in (("ada", True), ("grace", False)):
        answer = evaluator.flags(person, flag_keys_to_evaluate=["after-buyers"])
        assert list(answer["flags"]) == ["after-buyers"]
        assert answer["flags"]["after-buyers"]["enabled"] is enabled
        assert answer["errorsWhileComputingFlags"] is False


def test_early_access_and_holdouts_say_so(evaluator: Evaluator) -> None:
    chosen = {"$feature_enrollment/early": True}
    assert _reasons(evaluator, "early", person_properties=chosen) == (True, "super_condition_value", 0)
    assert _reasons(evaluator, "early") == (False, "out_of_rollout_bound", 0)
    assert _reasons(evaluator, "held-out") == (True, "holdout_condition_value", None)


def test_who_is_identified_keeps_her_anonymous_value_on_every_device_and_later(evaluator: Evaluator) -> None:
    values = {name: _value(evaluator, "going-on", name) for name in (f"visitor-{n}" for n in range(40))}
    anonymous = next(name for name, value in values.items() if value == "a")
    known = next(name for name, value in values.items() if value == "b")
    assert _value(evaluator, "going-on", known, **{"$anon_distinct_id": anonymous}) == "a"
    assert _value(evaluator, "going-on", known) == "a"
    assert _value(evaluator, "going-on", known, **{"$anon_distinct_id": known}) == "a"
    assert _value(evaluator, "going-on", anonymous) == "a"


def test_a_request_that_needs_no_anonymous_id_may_bring_anything_for_one(evaluator: Evaluator) -> None:
    asked = _post(evaluator, "/flags?v=2", flag_keys_to_evaluate=["for-pros"], **{"$anon_distinct_id": "x" * 500})
    assert list(asked["flags"]) == ["for-pros"]
    refused = evaluator.client.post(
        "/flags?v=2", json={"token": TOKEN, "distinct_id": "ada", "$anon_distinct_id": "x" * 500}
    )
    assert (refused.status_code, refused.json()["attr"]) == (400, "$anon_distinct_id")


def test_no_flags_are_answered_where_they_are_switched_off_for_the_request(evaluator: Evaluator) -> None:
    assert _post(evaluator, "/flags?v=2", disable_flags=True)["flags"] == {}


@pytest.mark.parametrize("version", ["2", "3", "4", "99"])
def test_from_version_two_on_flags_are_told_with_their_reasons(evaluator: Evaluator, version: str) -> None:
    answer = _post(evaluator, f"/flags/?v={version}")
    assert set(answer) == {"flags", "errorsWhileComputingFlags", "requestId", "evaluatedAt"}
    assert set(answer["flags"]) == {each["key"] for each in FLAGS}


def test_version_one_has_values_and_payloads(evaluator: Evaluator) -> None:
    answer = _post(evaluator, "/flags/?v=1", person_properties={"plan": "pro"})
    fields = {"featureFlags", "featureFlagPayloads", "errorsWhileComputingFlags", "requestId", "evaluatedAt"}
    assert set(answer) == fields
    assert answer["featureFlags"]["for-companies"] is False
    assert VALUES_OF_ADA.items() <= answer["featureFlags"].items()
    assert answer["featureFlagPayloads"]["for-pros"] == '{"size": 3}'
    assert "for-buyers" not in answer["featureFlagPayloads"]


@pytest.mark.parametrize("path", ["/flags", "/flags/?v=", "/flags?v=x", "/flags?v=-1"])
def test_without_a_version_both_shapes_are_there(evaluator: Evaluator, path: str) -> None:
    answer = _post(evaluator, path)
    assert answer["flags"]["for-buyers"]["enabled"] is True
    assert answer["featureFlags"]["for-buyers"] is True


def test_decide_answers_in_four_versions(evaluator: Evaluator) -> None:
    for path in ("/decide", "/decide/?v=1"):
        assert VALUES_OF_ADA.keys() <= set(_post(evaluator, path)["featureFlags"])
        assert "for-companies" not in _post(evaluator, path)["featureFlags"]
    second = _post(evaluator, "/decide/?v=2")
    assert VALUES_OF_ADA.items() <= second["featureFlags"].items()
    assert "for-companies" not in second["featureFlags"]
    third = _post(evaluator, "/decide/?v=3")
    assert (third["featureFlags"]["for-companies"], third["errorsWhileComputingFlags"]) == (False, False)
    fourth = _post(evaluator, "/decide/?v=4")
    assert fourth["flags"]["for-buyers"]["reason"]["code"] == "condition_match"
    assert fourth["supportedCompression"] == ["gzip", "gzip-js"]


def test_a_browsers_form_and_base64_are_read(evaluator: Evaluator) -> None:
    body = msgspec.json.encode({"token": TOKEN, "distinct_id": "ada"})
    text = base64.b64encode(body).decode()
    form = {"content-type": "application/x-www-form-urlencoded"}
    plain = {"content-type": "text/plain"}
    for query, content, headers in (
        ("v=2&compression=base64", text.encode(), plain),
        ("v=2&compression=base64", f"data={quote_plus(text)}".encode(), form),
        ("v=2", f"data={quote_plus(body.decode())}".encode(), form),
        ("v=2&compression=gzip-js", gzip.compress(body), plain),
    ):
        response = evaluator.client.post(f"/flags/?{query}", content=content, headers=headers)
        assert response.json()["flags"]["for-buyers"]["enabled"] is True


def test_numbers_that_json_has_not_are_null_as_sdks_send_them(evaluator: Evaluator) -> None:
    body = b'{"token": "%b", "distinct_id": "ada", "person_properties": {"plan": "pro", "x": NaN, "y": [-Infinity]}}'
    response = evaluator.client.post("/flags/?v=2", content=body % TOKEN.encode())
    assert response.json()["flags"]["for-pros"]["enabled"] is True
