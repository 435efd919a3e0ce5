"""PostHog's SDKs decide flags by themselves where they can, and ask for the others: both ways say the same."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from processors.embedded.view import EmbeddedView
from tests.evaluator.building import COHORTS, flag, in_cohort, person_is, registry_of, variants
from tests.evaluator.conftest import publish
from tests.evaluator.serving import SECRET, TOKEN, Evaluator, serving
from tests.sdks.conftest import Start
from tests.sdks.toolchains import TOOLCHAINS, Program
from tests.services.redis_servers import RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(600)]

ADULTS = {"key": "adults", "when": {"kind": "person_property", "property": "age", "op": "gte", "value": 18}}
FLAGS = (
    flag("for-pros", {"properties": [person_is("plan", "exact", "pro")]}, payloads={"true": {"size": 3}}),
    flag("colours", {}, multivariate=variants(red=50, blue=50)),
    flag("half", {"rollout_percentage": 50}),
    flag("half-the-pros", {"properties": [person_is("plan", "exact", "pro")], "rollout_percentage": 50}),
    flag("a-third", {"rollout_percentage": 33.3}),
    flag("for-adults", {"properties": [in_cohort("adults")]}),
    flag("for-buyers", {"properties": [in_cohort("buyers")]}),
    flag("for-others", {"properties": [in_cohort("buyers", "not_in")]}),
    flag("off", {}, active=False),
)
KEYS = tuple(each["key"] for each in FLAGS)
PEOPLE = tuple(f"person-{n}" for n in range(12))
PROPERTIES = {"plan": "pro", "age": 30}


DEFINITIONS = registry_of(FLAGS, (*COHORTS, ADULTS))


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory, view_server: EmbeddedView | RedisServer) -> Iterator[Evaluator]:
    """The module only reads."""
    folder = tmp_path_factory.mktemp("evaluator")
    with redis.Redis.from_url(view_server.url) as client:
        client.flushall()
    asyncio.run(publish(view_server.url, DEFINITIONS))
    with serving(folder, view_server.url) as running:
        running.until_version(1)
        yield running


@pytest.fixture
def own_view(tmp_path: Path) -> Iterator[EmbeddedView]:
    """A view for one test alone."""
    view = EmbeddedView(tmp_path / "view")
    view.launch()
    try:
        view.wait_ready()
        yield view
    finally:
        view.stop()


def _open(start: Start, language: str, evaluator: Evaluator) -> Program:
    sdk = start(language, "posthog")
    sdk.ask("open", host=evaluator.url, token=TOKEN, secret=SECRET, poll_ms=200, quiet=True)
    return sdk


def _value(sdk: Program, key: str, person: str = "ada") -> object:
    return sdk.ask("flag", key=key, person=person, properties=PROPERTIES)["value"]


def _asked(evaluator: Evaluator) -> float:
    return evaluator.metric('muster_evaluator_requests_total{route="/flags",status="200"}')


@pytest.mark.parametrize("language", TOOLCHAINS)
def test_an_sdk_decides_alone_what_it_can_and_asks_for_the_rest(
    language: str, start: Start, evaluator: Evaluator
) -> None:
    sdk = _open(start, language, evaluator)
    before = _asked(evaluator)
    for key in ("for-pros", "colours", "half", "for-adults", "off"):
        _value(sdk, key)
    assert _asked(evaluator) == before
    for count, key in enumerate(("for-buyers", "for-others"), start=1):
        _value(sdk, key)
        assert _asked(evaluator) >= before + count


@pytest.mark.parametrize("language", TOOLCHAINS)
def test_what_an_sdk_decides_is_what_the_server_would_say(language: str, start: Start, evaluator: Evaluator) -> None:
    sdk = _open(start, language, evaluator)
    for person in PEOPLE:
        said = evaluator.flags(person, person_properties=PROPERTIES)["flags"]
        for key in KEYS:
            if key != "for-adults":  # it goes by what is kept of a person, and nothing is kept of these
                assert _value(sdk, key, person) == (said[key]["variant"] or said[key]["enabled"]), (key, person)


@pytest.mark.parametrize("language", TOOLCHAINS)
def test_an_sdk_polls_and_sees_an_edit_and_otherwise_is_told_that_nothing_changed(
    language: str, start: Start, own_view: EmbeddedView, tmp_path: Path
) -> None:
    asyncio.run(publish(own_view.url, DEFINITIONS))
    with serving(tmp_path, own_view.url) as evaluator:
        evaluator.until_version(1)
        sdk = _open(start, language, evaluator)
        assert _value(sdk, "off") is False
        if language != "go":  # its first version sends no ETag
            evaluator.until(lambda: _polls(evaluator, 304) > 1)
            assert _polls(evaluator, 200) == 1
        edited = registry_of((*FLAGS[:-1], flag("off", {})), (*COHORTS, ADULTS), DEFINITIONS)
        asyncio.run(publish(own_view.url, edited))
        evaluator.until(lambda: _value(sdk, "off") is True)
        assert _asked(evaluator) == 0


@pytest.mark.parametrize("language", [each for each in TOOLCHAINS if each != "java"])
def test_an_sdk_reads_the_payload_of_a_flag_by_its_key(language: str, start: Start, evaluator: Evaluator) -> None:
    sdk = _open(start, language, evaluator)
    assert sdk.ask("remote_config", key="for-pros")["value"] in ({"size": 3}, '{"size":3}')


def _polls(evaluator: Evaluator, status: int) -> float:
    paths = ("/flags/definitions", "/api/feature_flag/local_evaluation")
    name = "muster_evaluator_requests_total"
    return sum(evaluator.metric(f'{name}{{route="{path}",status="{status}"}}') for path in paths)
