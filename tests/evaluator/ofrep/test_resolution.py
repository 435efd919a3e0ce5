"""What OpenFeature clients are told of a flag, decided by its definition and its answer."""

from typing import Any

import pytest

from cohort_store.errors import BadDefinition
from cohort_store.flags import parse_flag, plain_flag
from cohort_store.freshness import Status
from evaluator.deciding.resolution import Resolution, compile_resolver, worst
from tests.evaluator.building import cohort_view, decided, flag, in_cohort, person_is, variants

BUYERS = cohort_view()
PRO = {"properties": [person_is("plan", "exact", "pro")]}
FOR_BUYERS = {"properties": [in_cohort("buyers")]}


def _resolved(raw: dict[str, Any], member: bool | None = True, **properties: Any) -> Resolution:
    answer = decided(raw, properties=properties, members={BUYERS: member})
    return compile_resolver(parse_flag(raw)).resolve(answer, Status.OK)


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ([{}], "STATIC"),
        ([{"rollout_percentage": 100}], "STATIC"),
        ([{"rollout_percentage": 99.999999}], "SPLIT"),
        ([PRO], "TARGETING_MATCH"),
        ([{**PRO, "rollout_percentage": 99.999999}], "SPLIT"),
        ([{"properties": [person_is("plan", "exact", "free")]}, {}], "TARGETING_MATCH"),
        ([], "STATIC"),
    ],
)
def test_only_a_first_set_that_takes_everybody_is_static(groups: list[dict[str, Any]], reason: str) -> None:
    assert _resolved(flag("f", *groups), plan="pro").reason == reason


def test_a_variant_is_split_by_the_hash_and_not_where_the_set_names_it() -> None:
    colours = variants(red=50, blue=50)
    assert _resolved(flag("f", {}, multivariate=colours)).reason == "SPLIT"
    assert _resolved(flag("f", {"variant": "red"}, multivariate=colours)).reason == "STATIC"


def test_what_a_policy_answers_has_no_known_reason() -> None:
    away = _resolved(flag("f", FOR_BUYERS, muster={"on_unavailable": {"value": True}}), member=None)
    assert (away.reason, away.value, away.metadata.posthog_reason) == ("UNKNOWN", True, "cohort_unavailable")


def test_the_payload_is_told_beside_the_value_and_only_of_what_is_answered() -> None:
    raw = flag("f", FOR_BUYERS, payloads={"true": {"size": 3}})
    assert (_resolved(raw).value, _resolved(raw).metadata.payload) == (True, '{"size":3}')
    assert _resolved(raw, member=False).metadata.payload is None


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        ({"size": 3}, {"size": 3}),
        ('{"size": 3}', {"size": 3}),
        (3, 3),
        ("0.5", 0.5),
        ("true", True),
        ("plain", "plain"),
    ],
)
def test_a_payload_is_the_value_where_the_definition_says_so(payload: Any, value: Any) -> None:
    raw = flag("f", {}, payloads={"true": payload}, muster={"openfeature_value": "payload"})
    assert _resolved(raw).value == value
    assert plain_flag(parse_flag(raw))["muster"] == {"openfeature_value": "payload"}


@pytest.mark.parametrize("payloads", [{}, {"true": None}, {"true": "null"}, {"true": [1]}, {"true": "[1, 2]"}])
def test_a_payload_that_openfeature_has_no_type_for_is_refused_with_the_definition(payloads: dict[str, Any]) -> None:
    with pytest.raises(BadDefinition, match="openfeature_value"):
        parse_flag(flag("f", {}, payloads=payloads, muster={"openfeature_value": "payload"}))
    assert parse_flag(flag("f", {}, payloads=payloads)).key == "f"


def test_the_status_is_that_of_the_worst_cohort() -> None:
    assert worst([Status.OK, Status.STALE, Status.WARMING]) is Status.STALE
    assert worst([]) is Status.OK
