"""Streams as their clients meet them: a real evaluator over a real view and a real broker."""

import time
from pathlib import Path

import httpx
import pytest

from cohort_store.registry import Registry
from processors.embedded.view import EmbeddedView
from tests.evaluator.building import flag, in_cohort, registry_of
from tests.evaluator.conftest import FLAGS, fill, publish
from tests.evaluator.listening import Listener
from tests.evaluator.owning import Owner, kafka_at
from tests.evaluator.serving import BEARER, TOKEN, Evaluator, serving

PROMPT_S = 5.0
"""Far less than the time after which everybody is looked at anyway."""


def _until_attached(evaluator: Evaluator) -> None:
    evaluator.until(lambda: evaluator.metric("muster_evaluator_changes_live") == 1)


async def test_a_person_who_enters_a_cohort_has_the_changed_flag_told_and_no_other(
    pushing: Evaluator, owner: Owner, buyers: int
) -> None:
    with Listener(pushing.url, distinct_id="eve") as listener:
        assert listener.response.headers["content-type"].startswith("text/event-stream")
        state = listener.until("state")
        assert state.data["flags"]["for-buyers"]["enabled"] is False
        assert set(state.data["flags"]) == {each["key"] for each in FLAGS}
        _until_attached(pushing)
        await owner.move("eve", buyers, entered=True)
        change = listener.next(PROMPT_S)
        assert (change.name, set(change.data["flags"])) == ("change", {"for-buyers"})
        assert change.data["flags"]["for-buyers"]["enabled"] is True
        assert change.data["flags"]["for-buyers"]["metadata"]["payload"] == '{"size": 3}'
        await owner.move("eve", buyers, entered=False)
        assert listener.next(PROMPT_S).data["flags"]["for-buyers"]["enabled"] is False


async def test_every_distinct_id_of_a_person_is_told_and_nobody_else_is(
    pushing: Evaluator, owner: Owner, buyers: int
) -> None:
    await owner.identify("browser-eve", "eve")
    with (
        Listener(pushing.url, distinct_id="eve") as by_person,
        Listener(pushing.url, distinct_id="browser-eve") as by_browser,
        Listener(pushing.url, distinct_id="mallory") as other,
    ):
        for listener in (by_person, by_browser, other):
            listener.until("state")
        _until_attached(pushing)
        await owner.move("eve", buyers, entered=True)
        for listener in (by_person, by_browser):
            assert listener.next(PROMPT_S).name == "change"
        await owner.move("mallory", buyers, entered=True)
        assert other.next(PROMPT_S).data["distinct_id"] == "mallory"
        assert pushing.metric("muster_evaluator_streams") == 3


async def test_a_change_that_is_told_twice_is_sent_once(pushing: Evaluator, owner: Owner, buyers: int) -> None:
    with Listener(pushing.url, distinct_id="eve") as listener:
        listener.until("state")
        _until_attached(pushing)
        await owner.move("eve", buyers, entered=True)
        await owner.publish("eve", "entered", 0)
        assert listener.next(PROMPT_S).data["flags"]["for-buyers"]["enabled"] is True
        await owner.move("eve", buyers, entered=False)
        assert listener.next(PROMPT_S).data["flags"]["for-buyers"]["enabled"] is False


async def test_who_comes_back_with_the_last_event_id_is_sent_what_was_missed(
    pushing: Evaluator, owner: Owner, buyers: int
) -> None:
    with Listener(pushing.url, distinct_id="eve") as listener:
        seen = listener.until("state").id
        _until_attached(pushing)
    await owner.move("eve", buyers, entered=True)
    with Listener(pushing.url, distinct_id="eve", last_id=seen) as listener:
        missed = listener.next(PROMPT_S)
        assert (missed.name, set(missed.data["flags"])) == ("change", {"for-buyers"})
    with Listener(pushing.url, distinct_id="eve", last_id="of another evaluator") as listener:
        assert listener.next(PROMPT_S).name == "state"
    with Listener(pushing.url, distinct_id="eve", last_event_id=missed.id) as listener:
        await owner.move("eve", buyers, entered=False)
        assert listener.next(PROMPT_S).data["flags"]["for-buyers"]["enabled"] is False, "nothing is told twice"


async def test_definitions_that_change_are_told_to_the_team_and_their_values_to_persons(
    pushing: Evaluator, view_url: str, registry: Registry
) -> None:
    after = registry_of([*FLAGS[1:], flag("new", {"properties": [in_cohort("buyers")]})], before=registry)
    with Listener(pushing.url) as team, Listener(pushing.url, distinct_id="ada") as person:
        state = team.until("state")
        assert state.data == {"registry_version": registry.version, "changed": [], "removed": []}
        person.until("state")
        await publish(view_url, after)
        change = team.next(PROMPT_S)
        assert change.data == {"registry_version": after.version, "changed": ["new"], "removed": [FLAGS[0]["key"]]}
        values = person.next(PROMPT_S).data
        assert (values["removed"], set(values["flags"])) == (["for-buyers"], {"new"})


async def test_ofreps_clients_are_told_to_ask_again(pushing: Evaluator, owner: Owner, buyers: int) -> None:
    with Listener(pushing.url, "/ofrep/v1/events", targetingKey="eve") as listener:
        _until_attached(pushing)
        await owner.move("eve", buyers, entered=True)
        told = listener.next(PROMPT_S)
        assert (told.name, told.data) == ("message", {"type": "refetchEvaluation"})
        assert told.id


@pytest.mark.parametrize(
    ("params", "token", "status", "code"),
    [
        ({}, "phc_unknown", 401, "invalid_api_key"),
        ({}, "", 401, "not_authenticated"),
        ({"distinct_id": ""}, TOKEN, 400, "required"),
        ({"distinct_id": "x" * 401}, TOKEN, 400, "too_long"),
    ],
)
def test_a_stream_that_is_asked_for_wrongly_is_refused_with_the_field(
    evaluator: Evaluator, params: dict[str, str], token: str, status: int, code: str
) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = evaluator.client.get("/sse/flags", params=params, headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_what_a_person_is_in_is_told_to_secret_keys_only(evaluator: Evaluator) -> None:
    body = {"distinct_id": "ada"}
    public = evaluator.client.post("/flags/context", json=body, headers={"Authorization": f"Bearer {TOKEN}"})
    assert (public.status_code, public.json()["attr"]) == (403, "authorization")
    secret = evaluator.client.post("/flags/context", json=body, headers=BEARER).json()
    assert secret["context"]["cohorts"]["buyers"]["member"] is True
    assert {each["key"] for each in secret["definitions"]["flags"]} == {each["key"] for each in FLAGS}
    again = {**body, "registry_version": secret["registry_version"], "stream": "no stream"}
    known = evaluator.client.post("/flags/context", json=again, headers=BEARER).json()
    assert ("definitions" in known, known.get("watched", False)) == (False, False)
    empty = evaluator.client.post("/flags/context", json={"distinct_id": ""}, headers=BEARER)
    assert (empty.status_code, empty.json()["attr"]) == (400, "distinct_id")


@pytest.mark.slow
def test_streams_beyond_the_limit_are_refused_until_one_is_left(tmp_path: Path, view_url: str) -> None:
    with serving(tmp_path, view_url, settings={"MUSTER_PUSH_STREAMS_MAX": "2"}) as evaluator:
        with Listener(evaluator.url), Listener(evaluator.url, distinct_id="ada"):
            refused = evaluator.client.get("/sse/flags", params={"token": TOKEN})
            assert (refused.status_code, refused.json()["code"]) == (503, "too_many_streams")
            assert "MUSTER_PUSH_STREAMS_MAX" in refused.json()["detail"]
            assert refused.headers["retry-after"] == "5"
        evaluator.until(lambda: evaluator.metric("muster_evaluator_streams") == 0)
        with Listener(evaluator.url) as listener:
            assert listener.response.status_code == httpx.codes.OK


async def test_streams_stay_open_while_the_broker_is_away_and_say_so(
    tmp_path: Path, view_url: str, owner: Owner, buyers: int
) -> None:
    with (
        serving(tmp_path, view_url, settings=kafka_at("127.0.0.1:1")) as evaluator,
        Listener(evaluator.url, distinct_id="eve") as listener,
    ):
        told = [listener.next(), listener.next()]
        assert {each.name for each in told} == {"state", "status"}
        status = next(each for each in told if each.name == "status")
        assert status.data["live"] is False
        assert "muster.membership-changes" in status.data["detail"]
        await owner.move("eve", buyers, entered=True, publish=False)
        with Listener(evaluator.url, distinct_id="eve") as second:
            assert second.until("state").data["flags"]["for-buyers"]["enabled"] is True
        assert listener.next(PROMPT_S).name == "change", "whoever looks at her looks for all who listen"


def test_an_evaluator_that_is_told_to_end_says_so_on_every_stream(
    tmp_path: Path, view_url: str, fresh_broker: str
) -> None:
    with (
        serving(tmp_path, view_url, settings=kafka_at(fresh_broker)) as evaluator,
        Listener(evaluator.url) as team,
        Listener(evaluator.url, distinct_id="ada") as person,
    ):
        for listener in (team, person):
            listener.until("state")
        began = time.monotonic()
        evaluator.process.stop()
        assert time.monotonic() - began < PROMPT_S
        for listener in (team, person):
            closing = listener.ended()[-1]
            assert (closing.name, closing.data["reason"]) == ("closing", "stopping")


async def test_no_value_is_told_while_the_store_is_away_and_what_changed_is_once_it_is_back(
    tmp_path: Path, fresh_broker: str, registry: Registry, buyers: int
) -> None:
    with EmbeddedView(tmp_path / "view") as view:
        await fill(view.url, registry)
        with serving(tmp_path, view.url, settings=kafka_at(fresh_broker)) as evaluator:
            evaluator.until_version(registry.version)
            async with Owner(view.url, fresh_broker) as owner:
                with Listener(evaluator.url, distinct_id="ada") as listener:
                    assert listener.until("state").data["flags"]["for-buyers"]["enabled"] is True
                    _until_attached(evaluator)
                    view.stop()
                    await owner.publish("ada", "left", 0)
                    evaluator.until(lambda: evaluator.flags("ada")["errorsWhileComputingFlags"])
                    view.launch()
                    view.wait_ready()
                    await owner.move("ada", buyers, entered=False)
                    change = listener.next()
                    assert change.data["flags"]["for-buyers"]["reason"]["code"] == "no_condition_match"
