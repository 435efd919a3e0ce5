"""Properties and identity over HTTP, on a real view: what is filled in, what is told of it, and whose it is."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cohort_store.person_updates import STATES_ABOVE
from cohort_store.ports import DistinctIdWrite, Position, ShardCommit
from cohort_store.redis.wiring import connect_store
from cohort_store.subjects import DISTINCT_ID, Subject, shard_of
from processors.embedded.view import EmbeddedView
from tests.evaluator.building import NOW_MS, SHARDS, flag, in_cohort, person_is, registry_of, store_people
from tests.evaluator.conftest import publish, view_settings
from tests.evaluator.serving import BEARER, Evaluator, serving

pytestmark = pytest.mark.services

FLAGS = (
    flag("for-pros", {"properties": [person_is("plan", "exact", "pro")]}),
    flag("for-romans", {"properties": [person_is("city", "exact", "Rome"), person_is("plan", "is_set")]}),
    flag("for-buyers", {"properties": [in_cohort("buyers")]}),
)
REGISTRY = registry_of(FLAGS)
BUYERS = REGISTRY.team(1).cohorts[0].versions[-1].handle
ADA = {"plan": (NOW_MS, '"pro"'), "city": (-NOW_MS, '"Rome"'), "gone": (NOW_MS, "1")}
BOB = {"plan": (STATES_ABOVE + 7, '"free"'), "city": (NOW_MS, "null")}


async def fill(url: str) -> None:
    await publish(url, REGISTRY)
    store = connect_store(view_settings(url))
    people: dict[str, list[int]] = {"ada": [BUYERS], "bob": []}
    await store_people(store, people, registers={"ada": ADA, "bob": BOB}, pairs={"browser-ada": "ada"})
    await store.aclose()


async def identify(url: str, distinct_id: str, person: str, version: int) -> None:
    """As an owner does when the pair comes."""
    store = connect_store(view_settings(url))
    shard = shard_of(Subject(1, DISTINCT_ID, distinct_id), SHARDS)
    held = (await store.positions([shard]))[shard]
    position: Position = held._replace(commit_id=b"pair-%d" % version)
    write = DistinctIdWrite(1, distinct_id, person, version)
    await store.commit([ShardCommit(shard, held.commit_id, position, (), (write,))])
    await store.aclose()


@pytest.fixture
def view(tmp_path: Path) -> Iterator[EmbeddedView]:
    with EmbeddedView(tmp_path / "view") as view:
        asyncio.run(fill(view.url))
        yield view


@pytest.fixture
def evaluator(tmp_path: Path, view: EmbeddedView) -> Iterator[Evaluator]:
    with serving(tmp_path, view.url) as running:
        running.until_version(REGISTRY.version)
        yield running


def on(evaluator: Evaluator, who: str, **fields: Any) -> set[str]:
    return {key for key, each in evaluator.flags(who, **fields)["flags"].items() if each["enabled"]}


def test_flags_are_decided_with_what_is_kept_and_the_request_wins(evaluator: Evaluator) -> None:
    assert on(evaluator, "ada") == {"for-pros", "for-romans", "for-buyers"}
    assert on(evaluator, "browser-ada") == {"for-pros", "for-romans", "for-buyers"}
    assert on(evaluator, "ada", person_properties={"plan": "free"}) == {"for-romans", "for-buyers"}
    assert on(evaluator, "ada", person_properties={"plan": None}) == {"for-buyers"}
    assert on(evaluator, "bob") == on(evaluator, "nobody") == set()
    assert on(evaluator, "bob", person_properties={"city": "Rome"}) == {"for-romans"}


def test_the_muster_block_tells_what_was_filled_in_who_said_it_and_which_flags_test_it(evaluator: Evaluator) -> None:
    def filled_in(who: str, **fields: Any) -> Any:
        return evaluator.flags(who, params={"muster": "1"}, **fields)["muster"].get("filled_in")

    at = "2026-01-12T13:00:00.000Z"
    city = {"value": "Rome", "source": "event_once", "version": NOW_MS, "at": at, "flags": ["for-romans"]}
    plan = {"value": "pro", "source": "event", "version": NOW_MS, "at": at, "flags": ["for-pros", "for-romans"]}
    assert filled_in("ada") == {"city": city, "plan": plan}
    assert filled_in("ada", person_properties={"plan": "x"}) == {"city": city}
    assert filled_in("ada", flag_keys_to_evaluate=["for-pros"]) == {"plan": plan | {"flags": ["for-pros"]}}
    assert filled_in("bob")["plan"] == {
        "value": "free", "source": "state", "version": 7, "flags": ["for-pros", "for-romans"],
    }  # fmt: skip
    assert filled_in("nobody") is None
    assert filled_in("ada", flag_keys_to_evaluate=["for-buyers"]) is None


def test_openfeatures_protocol_fills_in_the_same(evaluator: Evaluator) -> None:
    def value(who: str, **context: Any) -> Any:
        body = {"context": {"targetingKey": who, **context}}
        return evaluator.client.post("/ofrep/v1/evaluate/flags/for-pros", headers=BEARER, json=body).json()["value"]

    assert [value("ada"), value("browser-ada"), value("ada", plan="free"), value("bob")] == [True, True, False, False]


def test_an_explanation_fills_in_what_a_request_for_flags_would(evaluator: Evaluator) -> None:
    def explained(who: str, **fields: Any) -> Any:
        return evaluator.client.post("/flags/explain", headers=BEARER, json={"distinct_id": who, **fields}).json()

    for who, brought in [("ada", {}), ("ada", {"plan": "free"}), ("browser-ada", {}), ("bob", {}), ("nobody", {})]:
        told = explained(who, person_properties=brought)
        assert {key for key, each in told["flags"].items() if each["answer"]["enabled"]} == on(
            evaluator, who, person_properties=brought
        )
    assert explained("ada", person_properties={"plan": "free"})["filled_in"].keys() == {"city"}


def test_a_persons_properties_are_told_with_source_version_and_time(evaluator: Evaluator) -> None:
    told = evaluator.get("/persons/ada/properties")
    assert (told["person"], told["known"], told["registry_version"]) == ("ada", True, REGISTRY.version)
    assert {name: each["value"] for name, each in told["properties"].items()} == {"city": "Rome", "plan": "pro"}
    assert told["unset"] == []
    by_distinct_id = evaluator.get("/persons/ignored/properties", distinct_id="browser-ada")
    assert (by_distinct_id["person"], by_distinct_id["distinct_id"]) == ("ada", "browser-ada")
    assert by_distinct_id["properties"] == told["properties"]
    assert evaluator.get("/persons/browser-ada/properties")["person"] == "ada"
    bob = evaluator.get("/persons/bob/properties")
    assert (bob["properties"], bob["unset"]) == ({"plan": {"value": "free", "source": "state", "version": 7}}, ["city"])
    nobody = evaluator.get("/persons/nobody/properties")
    assert (nobody["known"], nobody["properties"], nobody["unset"]) == (False, {}, ["city", "plan"])
    assert evaluator.client.get("/persons/ada/properties").status_code == 401


def test_an_anonymous_id_that_was_identified_gets_the_persons_flags_on_the_next_request(
    evaluator: Evaluator, view: EmbeddedView
) -> None:
    assert on(evaluator, "anonymous-1") == set()
    asyncio.run(identify(view.url, "anonymous-1", "ada", NOW_MS))
    assert on(evaluator, "anonymous-1") == {"for-pros", "for-romans", "for-buyers"}
    asyncio.run(identify(view.url, "anonymous-1", "bob", NOW_MS + 1))
    assert on(evaluator, "anonymous-1") == set()


def test_while_the_store_is_away_a_property_that_was_not_brought_is_unknown_and_not_missing(
    evaluator: Evaluator, view: EmbeddedView
) -> None:
    view.stop()
    answer = evaluator.flags("ada", params={"muster": "1"}, person_properties={"city": "Oslo"})
    assert answer["errorsWhileComputingFlags"] is True
    assert answer["flags"]["for-pros"]["reason"]["code"] == "property_unavailable"
    assert answer["flags"]["for-romans"]["reason"]["code"] == "no_condition_match"
    assert answer["muster"]["unread"] == ["plan"]
    away = evaluator.client.get("/persons/ada/properties", headers=BEARER)
    assert (away.status_code, away.json()["code"]) == (503, "store_unreachable")
    view.launch()
    view.wait_ready()
    evaluator.until(lambda: "for-pros" in on(evaluator, "ada", person_properties={"plan": "pro"}))


def test_an_explanation_fills_in_the_same_and_tells_it_but_not_for_the_past(evaluator: Evaluator) -> None:
    def explained(**fields: Any) -> dict[str, Any]:
        body = {"distinct_id": "browser-ada", "memberships": {"buyers": True}, **fields}
        response = evaluator.client.post("/flags/explain", json=body, headers=BEARER)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    found = explained(person_properties={"city": "Oslo"})
    assert found["properties"] == {"city": "Oslo", "plan": "pro"}
    assert found["filled_in"]["plan"]["value"] == "pro"
    (test,) = found["flags"]["for-pros"]["sets"][0]["tests"]
    assert (test["found"], test["holds"], test["filled_in"]) == ("pro", True, True)
    assert found["flags"]["for-romans"]["answer"]["enabled"] is False
    past = explained(at="2026-01-01")
    assert (past["source"], past.get("properties"), past.get("filled_in")) == ("history", None, None)
    assert past["flags"]["for-pros"]["answer"]["enabled"] is False
