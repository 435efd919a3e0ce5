"""POST /flags/explain on a real server, over a real view."""

from typing import Any

import pytest

from cohort_store.durations import format_instant
from cohort_store.registry import Registry
from evaluator.http.explain import FLAGS_MAX
from tests.evaluator.building import DAY_MS, NOW_MS
from tests.evaluator.conftest import LATER_MS
from tests.evaluator.serving import BEARER, Evaluator

DATA_MS = NOW_MS + 31 * DAY_MS


def explain(evaluator: Evaluator, distinct_id: str = "ada", **fields: Any) -> dict[str, Any]:
    response = evaluator.client.post("/flags/explain", headers=BEARER, json={"distinct_id": distinct_id, **fields})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def value(answer: dict[str, Any], key: str) -> bool | str:
    found: bool | str = answer["flags"][key]["answer"]["variant"] or answer["flags"][key]["answer"]["enabled"]
    return found


def test_answers_are_those_of_a_request_for_flags(evaluator: Evaluator) -> None:
    for who in ("ada", "browser-ada", "nobody"):
        asked = evaluator.flags(who, person_properties={"plan": "pro"})["flags"]
        explained = explain(evaluator, who, person_properties={"plan": "pro"})["flags"]
        assert {key: each["answer"] for key, each in explained.items()} == asked


def test_a_cohort_comes_with_its_own_reason_and_status(evaluator: Evaluator, registry: Registry) -> None:
    found = explain(evaluator, "browser-ada", flag_keys_to_evaluate=["for-buyers"])
    assert (found["person"], found["source"], found["registry_version"]) == ("ada", "store", registry.version)
    (test,) = found["flags"]["for-buyers"]["sets"][0]["tests"]
    assert test == {"type": "cohort", "key": "buyers", "operator": "in", "holds": True, "found": True}
    buyers = found["cohorts"]["buyers"]
    assert (buyers["member"], buyers["status"], buyers["source"]) == (True, "OK", "store")
    assert buyers["why"]["reason"]["kind"] == "performed"


def test_what_if_she_were_in_other_cohorts_or_had_other_properties(evaluator: Evaluator) -> None:
    assert value(explain(evaluator, "nobody"), "for-buyers") is False
    found = explain(evaluator, "nobody", memberships={"1": True}, person_properties={"plan": "Pro"})
    assert (value(found, "for-buyers"), value(found, "for-pros")) == (True, True)
    assert found["cohorts"]["buyers"] == {"key": "buyers", "id": 1, "version": 1, "source": "given", "member": True}
    assert found["properties"] == {"plan": "Pro"}


def test_at_an_instant_to_come_memberships_are_as_they_will_be(evaluator: Evaluator) -> None:
    for at, member in ((LATER_MS - 1, False), (LATER_MS, True), (LATER_MS + 7 * DAY_MS, False)):
        found = explain(evaluator, "ivy", at=format_instant(at))
        assert (found["at"], found["source"], value(found, "for-buyers")) == (format_instant(at), "record", member)


def test_the_past_is_refused_without_a_history_unless_every_cohort_is_given(evaluator: Evaluator) -> None:
    asked = {"distinct_id": "ada", "at": format_instant(DATA_MS - 1)}
    response = evaluator.client.post("/flags/explain", headers=BEARER, json=asked)
    assert (response.status_code, response.json()["code"]) == (409, "past")
    assert "MUSTER_CLICKHOUSE" in response.json()["detail"]
    found = explain(evaluator, at=asked["at"], memberships={"buyers": False, "sleepers": True})
    assert (found["source"], value(found, "for-buyers"), value(found, "not-sleeping")) == ("history", False, False)


@pytest.mark.parametrize(
    ("body", "status", "code", "attr"),
    [
        ({"distinct_id": ""}, 400, "invalid_input", "distinct_id"),
        ({"distinct_id": "x" * 401}, 400, "invalid_input", "distinct_id"),
        ({"distinct_id": "ada", "at": "soon"}, 400, "invalid_input", "at"),
        ({"distinct_id": "ada", "memberships": {"ghosts": True}}, 404, "cohort_not_found", "memberships.ghosts"),
        ({"distinct_id": "ada", "memberships": {"buyers": 1}}, 400, "invalid_input", "memberships[...]"),
        ({"distinct_id": "ada", "flag_keys_to_evaluate": ["no"]}, 404, "flag_not_found", "flag_keys_to_evaluate"),
        (
            {"distinct_id": "ada", "flag_keys_to_evaluate": [str(n) for n in range(FLAGS_MAX + 1)]},
            400,
            "too_many",
            "flag_keys_to_evaluate",
        ),
        ({}, 400, "required", "distinct_id"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(
    evaluator: Evaluator, body: dict[str, Any], status: int, code: str, attr: str
) -> None:
    response = evaluator.client.post("/flags/explain", headers=BEARER, json=body)
    assert (response.status_code, response.json()["code"], response.json()["attr"]) == (status, code, attr)


def test_an_explanation_needs_a_token(evaluator: Evaluator) -> None:
    assert evaluator.client.post("/flags/explain", json={"distinct_id": "ada"}).status_code == 401
