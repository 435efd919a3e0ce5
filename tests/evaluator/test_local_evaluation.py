"""What an SDK is told to decide flags by itself with."""

from typing import Any

import msgspec
import pytest

from evaluator.definitions.local_evaluation import CHAIN_MAX, Reader, _chains, definitions_of, document_of
from tests.evaluator.building import COHORTS, flag, in_cohort, person_is, registry_of, variants


def prop(name: str, op: str, value: Any) -> dict[str, Any]:
    return {"kind": "person_property", "property": name, "op": op, "value": value}


def cohort(key: str, when: dict[str, Any]) -> dict[str, Any]:
    return {"key": key, "when": when}


ADULT, NAMED = prop("age", "gte", 18), prop("name", "icontains", "ada")


def told(
    *flags: dict[str, Any], cohorts: Any = (), reader: Reader = Reader.CURRENT
) -> tuple[list[Any], dict[str, Any]]:
    registry = registry_of(flags, (*COHORTS, *cohorts))
    found = definitions_of(registry.team(1), with_cohorts=True, reader=reader)
    return found.flags, found.cohorts


def told_cohort(when: dict[str, Any], operator: str = "in") -> Any:
    _, cohorts = told(flag("f", {"properties": [in_cohort("c", operator)]}), cohorts=[cohort("c", when)])
    return cohorts.get("c")


def test_a_flag_has_every_field_that_an_sdk_reads_and_none_of_musters_own() -> None:
    (found,), _ = told(
        flag(
            "f",
            {"properties": [person_is("plan", "exact", ["pro"])], "rollout_percentage": 50},
            payloads={"true": {"size": 3}},
            muster={"on_unavailable": {"value": True}},
        )
    )
    assert "muster" not in found
    assert (found["key"], found["active"], found["version"], found["ensure_experience_continuity"]) == (
        "f",
        True,
        1,
        False,
    )
    (group,) = found["filters"]["groups"]
    assert msgspec.json.encode(group["rollout_percentage"]) == b"50"
    assert found["filters"]["payloads"] == {"true": '{"size":3}'}
    (asked,) = group["properties"]
    assert (asked["type"], asked["key"], asked["operator"], asked["value"]) == ("person", "plan", "exact", ["pro"])


def test_a_condition_that_says_no_operator_is_told_with_the_one_that_is_meant() -> None:
    (found,), _ = told(
        flag(
            "f", {"properties": [{"key": "plan", "value": "pro"}, {"type": "cohort", "key": "id", "value": ["buyers"]}]}
        )
    )
    first, second = found["filters"]["groups"][0]["properties"]
    assert first["operator"] == "exact"
    assert (second["operator"], second["value"]) == ("in", "buyers")


def test_a_cohort_of_what_a_person_did_is_left_to_the_server() -> None:
    flags, cohorts = told(flag("f", {"properties": [in_cohort("buyers")]}))
    assert cohorts == {}
    assert flags[0]["filters"]["groups"][0]["properties"][0]["value"] == "buyers"


def test_a_cohort_of_numbers_and_folded_texts_is_told() -> None:
    assert told_cohort({"all": [ADULT, NAMED]}) == {
        "type": "AND",
        "values": [
            {
                "type": "AND",
                "values": [{"key": "age", "type": "person", "operator": "gte", "value": 18, "negation": False}],
            },
            {
                "type": "AND",
                "values": [
                    {"key": "name", "type": "person", "operator": "icontains", "value": "ada", "negation": False}
                ],
            },
        ],
    }


def test_a_cohort_within_a_cohort_is_told_in_its_place() -> None:
    flags = [flag("f", {"properties": [in_cohort("outer")]})]
    inner, outer = cohort("inner", ADULT), cohort("outer", {"any": [{"kind": "in_cohort", "cohort": "inner"}, NAMED]})
    _, cohorts = told(*flags, cohorts=[inner, outer])
    assert cohorts["outer"]["type"] == "OR"
    assert cohorts["outer"]["values"][0]["values"][0]["key"] == "age"


def test_a_not_is_moved_down_to_the_properties() -> None:
    found = told_cohort({"not": {"all": [ADULT, {"not": NAMED}]}})
    assert found["type"] == "OR"
    assert [each["values"][0]["negation"] for each in found["values"]] == [True, False]


@pytest.mark.parametrize(
    "when",
    [
        prop("plan", "exact", "pro"),
        prop("plan", "is_not", ["7", "pro"]),
        prop("plan", "starts_with", "p"),
        prop("name", "icontains", "ß"),
        {"all": [ADULT, {"kind": "performed", "event": "buy", "within": "7d"}]},
        {"not": {"kind": "performed", "event": "buy", "within": "7d"}},
    ],
)
def test_a_cohort_that_an_sdk_would_judge_otherwise_is_left_to_the_server(when: dict[str, Any]) -> None:
    assert told_cohort(when) is None


def test_a_text_without_upper_and_lower_case_is_told() -> None:
    assert told_cohort(prop("level", "exact", ["7", "8"])) is not None


def test_a_cohort_that_some_flag_asks_by_not_in_is_left_to_the_server_for_all() -> None:
    """SDKs of the older path overlook not_in."""
    flags = [
        flag("f", {"properties": [in_cohort("adults")]}),
        flag("g", {"properties": [in_cohort("adults", "not_in")]}),
    ]
    assert told(flags[0], cohorts=[cohort("adults", ADULT)])[1]
    assert told(*flags, cohorts=[cohort("adults", ADULT)])[1] == {}


def test_cohorts_come_only_where_they_are_asked_for() -> None:
    registry = registry_of([flag("f", {"properties": [in_cohort("adults")]})], [*COHORTS, cohort("adults", ADULT)])
    assert definitions_of(registry.team(1), with_cohorts=False, reader=Reader.CURRENT).cohorts == {}


PARTLY = flag("partly", {"properties": [person_is("plan", "exact", "pro")], "rollout_percentage": 50})
FRACTION = flag("fraction", {}, multivariate=variants(a=33.33, b=33.33, c=33.34))


@pytest.mark.parametrize(
    ("raw", "held_by"),
    [(PARTLY, {Reader.GO}), (FRACTION, {Reader.GO, Reader.WHOLE}), (flag("all", {"rollout_percentage": 20}), set())],
)
def test_a_flag_is_held_back_from_sdks_that_misjudge_it_and_they_ask(raw: dict[str, Any], held_by: set[Reader]) -> None:
    for reader in Reader:
        (found,), _ = told(raw, reader=reader)
        is_held = found["ensure_experience_continuity"] and found["filters"]["groups"] == []
        assert is_held is (reader in held_by), reader


def test_a_tag_changes_with_the_document_alone() -> None:
    first, same, edited = (
        document_of(registry_of([each]).team(1), with_cohorts=True, reader=Reader.CURRENT)
        for each in (flag("f", {}), flag("f", {}), flag("f", {"rollout_percentage": 1}))
    )
    assert first == same
    assert first.etag != edited.etag
    assert first.etag.startswith('W/"')


def depending(key: str, *others: str) -> dict[str, Any]:
    return {"key": key, "filters": {"groups": [{"properties": [{"type": "flag", "key": other} for other in others]}]}}


def test_a_flag_comes_behind_those_that_it_depends_on() -> None:
    chains = _chains([depending("a", "b", "c"), depending("b", "c"), depending("c"), depending("d", "e")])
    assert chains == {"a": ["c", "b", "a"], "b": ["c", "b"], "c": ["c"], "d": ["e", "d"]}


def test_flags_in_a_circle_and_in_a_chain_too_long_are_for_the_server() -> None:
    chains = _chains([depending("a", "b"), depending("b", "a"), depending("c", "a")])
    assert chains == {"a": [], "b": [], "c": []}
    long = [depending(str(n), str(n + 1)) for n in range(10 * CHAIN_MAX)]
    assert _chains(long)["0"] == []
