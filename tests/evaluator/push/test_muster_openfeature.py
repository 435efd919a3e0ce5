"""The in-process provider against a real evaluator, with memberships and definitions changing under it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from openfeature.provider import ProviderStatus

from cohort_store.registry import Registry
from evaluator.muster_openfeature import MusterProvider
from processors.embedded.child import LOOPBACK, choose_port
from tests.evaluator.building import flag, in_cohort, person_is, registry_of, variants
from tests.evaluator.conftest import FLAGS, fill, publish
from tests.evaluator.owning import Owner
from tests.evaluator.serving import DEADLINE_S, SECRET, Evaluator

DOMAIN = "muster"
EVE = EvaluationContext("eve")
ADA = EvaluationContext("ada")


@pytest.fixture(autouse=True)
def _no_provider_is_left() -> Iterator[None]:
    yield
    api.clear_providers()


def _client(url: str, **options: Any) -> OpenFeatureClient:
    api.set_provider(MusterProvider(url, SECRET, **options), DOMAIN)
    client = api.get_client(DOMAIN)
    _until(lambda: client.get_provider_status() is not ProviderStatus.NOT_READY)
    return client


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def _soon(holds: Callable[[], bool]) -> None:
    await asyncio.to_thread(_until, holds)


async def test_a_flag_turns_on_and_off_in_process_as_the_person_enters_and_leaves(
    pushing: Evaluator, owner: Owner, buyers: int
) -> None:
    client = _client(pushing.url)
    assert client.get_boolean_details("for-buyers", True, EVE).value is False
    pushing.until(lambda: pushing.metric("muster_evaluator_changes_live") == 1)
    for entered in (True, False):
        await owner.move("eve", buyers, entered=entered)
        await _soon(lambda wanted=entered: client.get_boolean_value("for-buyers", not wanted, EVE) is wanted)  # type: ignore[misc]


def test_every_answer_is_the_one_that_the_evaluator_gives(pushing: Evaluator) -> None:
    client = _client(pushing.url)
    for person in ("ada", "grace", "nobody", "browser-ada"):
        for properties in ({}, {"plan": "PRO"}):
            there = pushing.flags(person, person_properties=properties)["flags"]
            here = EvaluationContext(person, properties)
            for key, answer in there.items():
                assert client.get_boolean_value(key, not answer["enabled"], here) is answer["enabled"], (person, key)
            assert client.get_string_value("colours", "none", here) == there["colours"]["variant"]


def test_a_text_is_the_variant_and_a_structure_is_the_payload(pushing: Evaluator) -> None:
    client = _client(pushing.url)
    assert client.get_string_details("colours", "none", ADA).reason == Reason.TARGETING_MATCH
    assert client.get_object_value("for-buyers", {}, ADA) == {"size": 3}
    assert client.get_object_value("for-buyers", {"size": 0}, EVE) == {"size": 0}, "off: nothing was given to her"
    wrong = client.get_string_details("for-buyers", "none", ADA)
    assert (wrong.value, wrong.error_code, wrong.reason) == ("none", ErrorCode.TYPE_MISMATCH, Reason.ERROR)
    assert client.get_integer_details("for-buyers", 7, ADA).error_code is ErrorCode.TYPE_MISMATCH


def test_what_cannot_be_known_is_the_default_with_a_code_that_says_why(pushing: Evaluator) -> None:
    client = _client(pushing.url)
    nobody = client.get_boolean_details("for-buyers", True)
    assert (nobody.value, nobody.error_code) == (True, ErrorCode.TARGETING_KEY_MISSING)
    unknown = client.get_boolean_details("no-such-flag", True, ADA)
    assert (unknown.value, unknown.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)
    deep = EvaluationContext("ada", {"plan": {"of": {"what": "this"}}})
    assert client.get_boolean_details("for-pros", False, deep).value is False


async def test_the_event_loop_goes_on_while_a_person_is_asked_for(pushing: Evaluator) -> None:
    client = _client(pushing.url)
    assert await client.get_boolean_value_async("for-buyers", False, ADA) is True
    assert await client.get_string_value_async("colours", "none", ADA) in ("red", "blue")


async def test_definitions_that_change_are_in_force_and_the_application_is_told_which(
    pushing: Evaluator, view_url: str, registry: Registry
) -> None:
    client = _client(pushing.url)
    told: list[EventDetails] = []
    client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, told.append)
    assert client.get_boolean_value("for-buyers", False, ADA) is True
    on = flag("new", {"properties": [in_cohort("sleepers", "not_in")]})
    await publish(view_url, registry_of([*FLAGS[1:], on], before=registry))
    await _soon(lambda: bool(told))
    assert told[0].flags_changed == ["for-buyers", "new"]
    assert client.get_boolean_details("for-buyers", False, ADA).error_code is ErrorCode.FLAG_NOT_FOUND
    assert client.get_boolean_value("new", False, ADA) is pushing.flags("ada")["flags"]["new"]["enabled"]


async def test_an_evaluator_that_dies_leaves_stale_answers_and_is_found_again(
    pushing: Evaluator, owner: Owner, buyers: int
) -> None:
    client = _client(pushing.url)
    events: list[str] = []
    client.add_handler(ProviderEvent.PROVIDER_STALE, lambda _: events.append("stale"))
    client.add_handler(ProviderEvent.PROVIDER_READY, lambda _: events.append("ready"))
    assert client.get_boolean_value("for-buyers", True, EVE) is False
    await _soon(lambda: pushing.metric("muster_evaluator_streams") == 1)
    events.clear()

    pushing.process.kill()
    await _soon(lambda: events == ["stale"])
    stale = client.get_boolean_details("for-buyers", True, EVE)
    assert (stale.value, stale.reason) == (False, Reason.STALE)
    unknown = client.get_boolean_details("for-buyers", True, EvaluationContext("stranger"))
    assert (unknown.value, unknown.error_code) == (True, ErrorCode.GENERAL)
    assert "nothing is known of this person" in str(unknown.error_message)
    await owner.move("eve", buyers, entered=True)

    pushing.process.start()
    await _soon(lambda: client.get_boolean_value("for-buyers", False, EVE) is True)
    await _soon(lambda: events == ["stale", "ready"])
    assert client.get_boolean_details("for-buyers", False, EVE).reason == Reason.TARGETING_MATCH


def test_a_provider_that_starts_before_the_evaluator_is_ready_once_there_is_one(
    tmp_path: Path, view_url: str, registry: Registry
) -> None:
    asyncio.run(fill(view_url, registry))
    port = choose_port(None)
    client = _client(f"http://{LOOPBACK}:{port}")
    assert client.get_provider_status() is ProviderStatus.ERROR
    missing = client.get_boolean_details("for-buyers", True, ADA)
    assert (missing.value, missing.error_code) == (True, ErrorCode.PROVIDER_NOT_READY)
    evaluator = Evaluator(tmp_path, view_url, "system", port)
    evaluator.process.start()
    try:
        _until(lambda: client.get_provider_status() is ProviderStatus.READY)
        _until(lambda: client.get_boolean_value("for-buyers", False, ADA) is True)
    finally:
        evaluator.process.stop()
        evaluator.client.close()


async def test_of_more_persons_than_are_kept_every_answer_is_still_right(
    pushing: Evaluator, owner: Owner, buyers: int
) -> None:
    client = _client(pushing.url, persons_max=3)
    for _ in range(2):
        for number in range(6):
            person = EvaluationContext(f"buyer-{number}")
            assert client.get_boolean_value("for-buyers", False, person) is True
    await owner.move("buyer-0", buyers, entered=False)
    await _soon(lambda: client.get_boolean_value("for-buyers", True, EvaluationContext("buyer-0")) is False)


def test_a_flag_with_a_property_a_variant_and_a_cohort_is_decided_fast(
    pushing: Evaluator, view_url: str, registry: Registry
) -> None:
    """A guard against a change of order, not the figure: that is benchmarks/push.py."""
    group = {"properties": [in_cohort("buyers"), person_is("plan", "exact", "pro")], "rollout_percentage": 90}
    heavy = flag("heavy", group, {}, multivariate=variants(a=50, b=50))
    asyncio.run(publish(view_url, registry_of([heavy], before=registry)))
    pushing.until_version(registry.version + 1)
    provider = MusterProvider(pushing.url, SECRET)
    provider.initialize(ADA)
    try:
        context = EvaluationContext("ada", {"plan": "pro"})
        assert provider.resolve_string_details("heavy", "none", context).value in ("a", "b")
        began = time.process_time()
        for _ in range(2_000):
            provider.resolve_string_details("heavy", "none", context)
        assert (time.process_time() - began) / 2_000 < 200e-6
    finally:
        provider.shutdown()
