"""Events over HTTP into a real broker, in every form in which SDKs and browsers pack them."""

import asyncio
import gzip
import json
import uuid
import zlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from cohort_store.kafka.topics import DEAD_LETTERS, TopicSpec, ensure_topics
from evaluator.http.capture import BATCH_BYTES_MAX, EVENTS_MAX
from processors.embedded.broker import EmbeddedBroker
from processors.embedded.child import LOOPBACK, choose_port
from processors.embedded.view import EmbeddedView
from tests.evaluator.serving import TOKEN, Evaluator, serving
from tests.sdks.topics import messages_of
from tests.services.redis_servers import RedisServer

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

TOPIC = "test.captured"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def environment(bootstrap: str) -> dict[str, str]:
    return {"MUSTER_KAFKA": bootstrap, "MUSTER_SOURCES": json.dumps({TOPIC: "plain"})}


async def make_topics(bootstrap: str) -> None:
    await ensure_topics(bootstrap, [TopicSpec(TOPIC, 2), TopicSpec(DEAD_LETTERS, 1)])


@pytest.fixture(scope="module")
def capturing(
    tmp_path_factory: pytest.TempPathFactory, view_server: EmbeddedView | RedisServer, broker: str
) -> Iterator[Evaluator]:
    asyncio.run(make_topics(broker))
    with serving(tmp_path_factory.mktemp("evaluator"), view_server.url, settings=environment(broker)) as running:
        running.until(lambda: running.client.get("/ready").status_code == 200)
        yield running


def event(**fields: Any) -> dict[str, Any]:
    """One of its own, by which it is found again."""
    return {"event": "search", "distinct_id": f"person-{uuid.uuid4()}", "uuid": str(uuid.uuid4()), **fields}


def kept(broker: str, topic: str = TOPIC) -> dict[str, dict[str, Any]]:
    found = [json.loads(each.value) for each in asyncio.run(messages_of(broker, topic))]
    return {each["distinct_id"]: each for each in found if isinstance(each, dict) and "distinct_id" in each}


def problem(response: httpx.Response, status: int) -> tuple[str, str | None]:
    assert response.status_code == status, response.text
    body = response.json()
    assert body["detail"]
    return body["code"], body["attr"]


@pytest.mark.parametrize("path", ["/batch/", "/batch", "/capture/", "/e/", "/i/v0/e/", "/i/v0/e/?ip=1&_=1"])
def test_every_path_takes_one_event_a_list_and_a_batch(capturing: Evaluator, broker: str, path: str) -> None:
    alone, listed, batched = event(), event(), event()
    bodies = [
        alone | {"api_key": TOKEN},
        [listed | {"properties": {"token": TOKEN}}],
        {"token": TOKEN, "batch": [batched], "sent_at": "2026-01-12T13:00:00Z"},
    ]
    for body in bodies:
        response = capturing.client.post(path, json=body)
        assert (response.status_code, response.json()) == (200, {"status": "Ok"})
    found = kept(broker)
    for each in (alone, listed, batched):
        assert found[each["distinct_id"]]["uuid"] == each["uuid"]


def packings(body: bytes) -> dict[str, tuple[bytes, dict[str, str], str]]:
    form = "application/x-www-form-urlencoded"
    return {
        "gzip": (gzip.compress(body), {"Content-Encoding": "gzip"}, ""),
        "deflate": (zlib.compress(body), {"Content-Encoding": "deflate"}, ""),
        "gzip-js": (gzip.compress(body), {"Content-Type": "text/plain"}, "compression=gzip-js"),
        "base64": (b64encode(body), {}, "compression=base64"),
        "form": (urlencode({"data": b64encode(body)}).encode(), {"Content-Type": form}, "compression=base64"),
        "plain form": (urlencode({"data": body}).encode(), {"Content-Type": form}, ""),
        "gzip form": (
            urlencode({"data": b64encode(gzip.compress(body)), "compression": "gzip-js"}).encode(),
            {"Content-Type": form},
            "",
        ),
    }


@pytest.mark.parametrize("packing", packings(b""))
def test_a_body_is_unpacked_however_it_was_packed(capturing: Evaluator, broker: str, packing: str) -> None:
    sent = event(properties={"query": "naïve ☂ + more"})
    body, headers, query = packings(json.dumps({"api_key": TOKEN, "batch": [sent]}).encode())[packing]
    response = capturing.client.post(f"/batch/?{query}", content=body, headers=headers)
    assert response.status_code == 200, response.text
    assert kept(broker)[sent["distinct_id"]]["properties"] == sent["properties"]


def test_numbers_that_json_has_not_are_null(capturing: Evaluator, broker: str) -> None:
    sent = event(properties={"a": float("nan"), "b": float("-inf"), "c": "NaN", "d": 1})
    body = json.dumps({"api_key": TOKEN, "batch": [sent]})
    assert capturing.client.post("/batch/", content=body).status_code == 200
    assert kept(broker)[sent["distinct_id"]]["properties"] == {"a": None, "b": None, "c": "NaN", "d": 1}
    for broken in ('{"api_key": NaN', '{"a": ' + "[" * 100_000 + "NaN"):
        assert capturing.client.post("/batch/", content=broken).status_code == 400


def test_an_answer_for_each_event_says_which_were_kept(capturing: Evaluator, broker: str) -> None:
    good, bad = event(timestamp="2026-01-12T13:00:00+00:00", options={}), event(event="")
    response = capturing.client.post("/i/v1/analytics/events", json={"batch": [good, bad]}, headers=BEARER)
    results = response.json()["results"]
    assert results[good["uuid"]] == {"result": "ok"}
    assert results[bad["uuid"]]["result"] == "drop"
    assert "1 to 200" in results[bad["uuid"]]["details"]
    assert good["distinct_id"] in kept(broker)
    assert kept(broker, DEAD_LETTERS)[bad["distinct_id"]]["event"] == ""


def test_good_events_of_a_batch_are_kept_and_bad_ones_are_named(capturing: Evaluator, broker: str) -> None:
    good, bad = event(), event(timestamp="soon")
    before = capturing.metric('muster_evaluator_events_total{outcome="refused"}')
    response = capturing.client.post("/batch/", json={"api_key": TOKEN, "batch": [good, bad]})
    (refused,) = response.json()["refused"]
    assert (response.status_code, refused["index"], refused["uuid"], refused["code"]) == (
        200,
        1,
        bad["uuid"],
        "bad_time",
    )
    assert good["distinct_id"] in kept(broker)
    assert capturing.metric('muster_evaluator_events_total{outcome="refused"}') == before + 1


def test_a_request_of_bad_events_alone_is_refused_and_they_are_dead_letters(capturing: Evaluator, broker: str) -> None:
    bad = event(timestamp="soon")
    found = problem(capturing.client.post("/batch/", json={"api_key": TOKEN, "batch": [bad]}), 400)
    assert found == ("bad_time", "batch[0]")
    assert bad["distinct_id"] in kept(broker, DEAD_LETTERS)


def test_a_body_that_is_nested_too_deep_is_refused_and_the_next_is_taken(capturing: Evaluator, broker: str) -> None:
    good = event()
    deep = b'{"event": "search", "distinct_id": "deep", "properties": {"a": %b1%b}}' % (b"[" * 50_000, b"]" * 50_000)
    body = b'{"api_key": "%b", "batch": [%b, %b]}' % (TOKEN.encode(), deep, json.dumps(good).encode())
    assert problem(capturing.client.post("/batch/", content=body), 400) == ("too_deep", None)
    assert capturing.client.post("/batch/", json={"api_key": TOKEN, "batch": [good]}).status_code == 200
    assert good["distinct_id"] in kept(broker)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"batch": []}, 400, "required"),
        ({"api_key": "phc_unknown", "batch": []}, 401, "invalid_api_key"),
        ({"api_key": TOKEN, "batch": {}}, 400, "invalid_input"),
        ([], 400, "required"),
        ([5], 400, "invalid_input"),
        ({"api_key": TOKEN, "batch": [0] * (EVENTS_MAX + 1)}, 413, "too_many"),
        (5, 400, "invalid_input"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused(capturing: Evaluator, body: Any, status: int, code: str) -> None:
    assert problem(capturing.client.post("/batch/", json=body), status)[0] == code


@pytest.mark.parametrize(
    ("content", "query"), [(b"{", ""), (b"\xff", ""), (b"!", "compression=base64"), (b"", ""), (b"[" * 1_000_000, "")]
)
def test_bytes_that_are_no_json_are_refused(capturing: Evaluator, content: bytes, query: str) -> None:
    assert capturing.client.post(f"/batch/?{query}", content=content).status_code == 400


def test_an_unknown_token_is_refused_for_events_with_answers_too(capturing: Evaluator) -> None:
    assert capturing.client.post("/i/v1/analytics/events", json={"batch": []}).status_code == 401


@pytest.mark.parametrize(("size", "status"), [(5_242_880, 200), (BATCH_BYTES_MAX + 1, 413)])
def test_a_batch_as_long_as_sdks_send_is_taken_and_a_longer_one_is_not(
    capturing: Evaluator, size: int, status: int
) -> None:
    many = [event(properties={"a": "x" * 500_000}) for _ in range(size // 600_000)]
    body = json.dumps({"api_key": TOKEN, "batch": many}).encode()
    body = body[:-1] + b" " * (size - len(body)) + b"}"
    with httpx.Client(base_url=capturing.url, timeout=30) as client:
        assert client.post("/batch/", content=body).status_code == status


@pytest.mark.slow
def test_without_kafka_events_are_turned_away_and_flags_answered_and_it_goes_on_whenever_kafka_comes(
    tmp_path: Path, view_server: EmbeddedView | RedisServer
) -> None:
    port = choose_port(None)
    bootstrap = f"{LOOPBACK}:{port}"
    sent = event()
    body = {"api_key": TOKEN, "batch": [sent]}
    with serving(tmp_path, view_server.url, settings=environment(bootstrap)) as running:
        response = running.client.post("/batch/", json=body)
        assert problem(response, 503) == ("events_not_taken", None)
        assert response.headers["retry-after"] == "1"
        assert "flags" in running.flags("ada")
        assert running.metric('muster_evaluator_events_total{outcome="turned_away"}') == 1
        with EmbeddedBroker(tmp_path / "broker", port):
            asyncio.run(make_topics(bootstrap))
            running.until(lambda: running.client.post("/batch/", json=body).status_code == 200)
            assert sent["distinct_id"] in kept(bootstrap)
        assert problem(running.client.post("/batch/", json=body), 503) == ("events_not_taken", None)
        with EmbeddedBroker(tmp_path / "broker", port):
            asyncio.run(make_topics(bootstrap))
            running.until(lambda: running.client.post("/batch/", json=body).status_code == 200)
            assert sent["distinct_id"] in kept(bootstrap)
