"""PostHog's SDKs of four languages, unmodified, ask a running evaluator for every flag."""

import pytest

from tests.evaluator.conftest import evaluator, registry
from tests.evaluator.serving import TOKEN, Evaluator
from tests.sdks.conftest import Start
from tests.sdks.toolchains import TOOLCHAINS

__all__ = ["evaluator", "registry"]

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(600)]


@pytest.mark.parametrize("language", TOOLCHAINS)
def test_an_sdk_sees_membership_variants_payloads_and_properties(
    language: str, start: Start, evaluator: Evaluator
) -> None:
    sdk = start(language, "posthog")
    sdk.ask("open", host=evaluator.url, token=TOKEN, secret=None, poll_ms=30_000, quiet=True)

    def value(key: str, person: str) -> object:
        return sdk.ask("flag", key=key, person=person, properties={"plan": "pro"})["value"]

    assert [value(key, "ada") for key in ("for-buyers", "not-sleeping", "for-pros", "off")] == [True, True, True, False]
    assert value("colours", "ada") in ("red", "blue")
    assert [value(key, "grace") for key in ("for-buyers", "not-sleeping")] == [False, True]
    # Some SDKs parse a payload, and some leave that to who asked.
    assert sdk.ask("payload", key="for-buyers", person="ada", properties={})["value"] in ({"size": 3}, '{"size": 3}')
