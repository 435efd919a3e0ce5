"""Definitions, payloads and configuration over HTTP, as SDKs ask for them."""

import httpx
import pytest

from tests.evaluator.conftest import FLAGS
from tests.evaluator.serving import TOKEN, Evaluator

BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATHS = (
    "/flags/definitions",
    "/flags/definitions/",
    "/api/feature_flag/local_evaluation",
    "/api/feature_flag/local_evaluation/",
)


def asked(evaluator: Evaluator, path: str, **headers: str) -> httpx.Response:
    return evaluator.client.get(path, headers={**BEARER, **headers})


@pytest.mark.parametrize("path", PATHS)
def test_every_path_tells_all_flags_with_a_weak_tag(evaluator: Evaluator, path: str) -> None:
    response = asked(evaluator, f"{path}?token={TOKEN}&send_cohorts")
    assert response.status_code == 200
    answer = response.json()
    assert [each["key"] for each in answer["flags"]] == [flag["key"] for flag in FLAGS]
    assert (answer["cohorts"], answer["group_type_mapping"], answer["property_matching_version"]) == ({}, {}, 2)
    assert response.headers["etag"].startswith('W/"')
    assert response.headers["cache-control"] == "private, max-age=0, must-revalidate"


@pytest.mark.parametrize("written", ["{weak}", "{strong}", '"other", {weak}', "*"])
def test_who_has_the_newest_tag_is_told_that_nothing_changed(evaluator: Evaluator, written: str) -> None:
    tag = asked(evaluator, PATHS[0]).headers["etag"]
    known = written.format(weak=tag, strong=tag.removeprefix("W/"))
    response = asked(evaluator, PATHS[0], **{"If-None-Match": known})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == tag


@pytest.mark.parametrize("known", ['W/"other"', "", "W/", ","])
def test_who_has_another_tag_is_told_all(evaluator: Evaluator, known: str) -> None:
    assert asked(evaluator, PATHS[0], **{"If-None-Match": known}).status_code == 200


@pytest.mark.parametrize("path", [PATHS[0], PATHS[2], "/api/projects/@current/feature_flags/off/remote_config"])
def test_definitions_are_not_told_without_a_known_token(evaluator: Evaluator, path: str) -> None:
    assert evaluator.client.get(path).status_code == 401
    assert evaluator.client.get(path, headers={"Authorization": "Bearer phx_unknown"}).status_code == 401


@pytest.mark.parametrize(
    ("key", "status", "body"),
    [("for-buyers", 200, '{"size": 3}'), ("off", 200, None), ("ghost", 404, None)],
)
def test_a_flags_payload_is_told_by_its_key(evaluator: Evaluator, key: str, status: int, body: str | None) -> None:
    response = asked(evaluator, f"/api/projects/@current/feature_flags/{key}/remote_config/?token={TOKEN}")
    assert response.status_code == status
    if status == 200:
        assert response.json() == body


def test_an_sdk_is_told_that_there_are_flags_and_that_nothing_is_recorded(evaluator: Evaluator) -> None:
    told = evaluator.client.get(f"/array/{TOKEN}/config").json()
    assert (told["token"], told["hasFeatureFlags"], told["sessionRecording"]) == (TOKEN, True, False)
    assert evaluator.client.get("/array/phc_other/config").json()["hasFeatureFlags"] is False
    assert evaluator.client.get("/array/phc_unknown/config").status_code == 401
