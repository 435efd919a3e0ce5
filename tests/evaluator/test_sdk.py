"""PostHog's own Python SDK, unmodified, asks a running evaluator."""

from collections.abc import Iterator

import pytest
from posthog import Posthog

from tests.evaluator.serving import TOKEN, Evaluator

pytestmark = pytest.mark.services


@pytest.fixture
def sdk(evaluator: Evaluator) -> Iterator[Posthog]:
    client = Posthog(TOKEN, host=evaluator.url, send=False, disable_geoip=True)
    yield client
    client.shutdown()


def test_the_sdk_sees_membership_variants_and_payloads(sdk: Posthog) -> None:
    flags = sdk.evaluate_flags("ada", person_properties={"plan": "pro"})
    assert flags.get_flag("for-buyers") is True
    assert flags.get_flag_payload("for-buyers") == {"size": 3}
    assert flags.get_flag("colours") in ("red", "blue")
    assert [flags.get_flag(key) for key in ("not-sleeping", "for-pros", "off")] == [True, True, False]


def test_the_sdk_sees_another_person_differently(sdk: Posthog) -> None:
    flags = sdk.evaluate_flags("browser-grace")
    assert [flags.get_flag(key) for key in ("for-buyers", "not-sleeping", "for-pros")] == [False, True, False]
