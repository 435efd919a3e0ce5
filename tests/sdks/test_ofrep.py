"""OpenFeature's OFREP providers of three languages, unmodified, ask a running evaluator while a membership changes."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cohort_store.registry import Registry
from processors.embedded.view import EmbeddedView
from tests.evaluator.conftest import evaluator
from tests.evaluator.moving import move
from tests.evaluator.ofrep.conftest import registry
from tests.evaluator.serving import TOKEN, Evaluator
from tests.sdks.conftest import Start
from tests.services.redis_servers import RedisServer

__all__ = ["evaluator", "registry"]

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.timeout(600)]

LANGUAGES = ("python", "node", "java")
Ask = Callable[..., dict[str, Any]]


@pytest.fixture(params=LANGUAGES)
def ask(request: pytest.FixtureRequest, start: Start, evaluator: Evaluator) -> Ask:
    """``ask(kind, key, person, otherwise)``: what the provider says, with its default `otherwise`."""
    program = start(request.param, "ofrep")
    program.ask("open", host=evaluator.url, token=TOKEN)

    def asked(kind: str, key: str, person: str, otherwise: Any, **properties: Any) -> dict[str, Any]:
        return program.ask("value", kind=kind, key=key, person=person, otherwise=otherwise, properties=properties)

    return asked


def test_a_provider_sees_values_of_every_type_with_variant_reason_and_status(ask: Ask) -> None:
    assert ask("boolean", "for-buyers", "ada", False) == {
        "value": True,
        "variant": "on",
        "reason": "TARGETING_MATCH",
        "failure": None,
        "status": "OK",
    }
    assert ask("boolean", "for-pros", "ada", True)["value"] is False
    assert ask("boolean", "for-pros", "ada", False, plan="pro")["value"] is True
    assert ask("boolean", "off", "ada", True)["reason"] == "DISABLED"
    assert ask("string", "words", "ada", "grey")["value"] == "red"
    assert ask("string", "colours", "ada", "grey")["reason"] == "SPLIT"
    assert ask("integer", "seconds", "ada", 7)["value"] == 30
    assert ask("object", "boxes", "ada", {})["value"] == {"size": 3, "shape": "round"}


def test_a_provider_falls_back_to_the_codes_default_where_the_flag_has_no_value(ask: Ask) -> None:
    assert ask("string", "words", "nobody", "grey")["value"] == "grey"
    assert ask("object", "boxes", "nobody", {"size": 1})["value"] == {"size": 1}


def test_a_provider_is_told_of_a_flag_that_is_not_there_and_of_a_type_that_does_not_fit(ask: Ask) -> None:
    ghost, mismatch = ask("boolean", "ghost", "ada", True), ask("string", "for-buyers", "ada", "grey")
    assert (ghost["value"], ghost["failure"]) == (True, "FLAG_NOT_FOUND")
    assert (mismatch["value"], mismatch["failure"]) == ("grey", "TYPE_MISMATCH")


def test_a_provider_sees_a_membership_that_begins_and_ends(
    ask: Ask, view_server: EmbeddedView | RedisServer, registry: Registry
) -> None:
    def seen() -> tuple[Any, Any]:
        return ask("boolean", "for-buyers", "zoe", False)["value"], ask("string", "words", "zoe", "grey")["value"]

    assert seen() == (False, "grey")
    asyncio.run(move(view_server.url, registry, "zoe", "buyers", into=True))
    assert seen() == (True, "red")
    asyncio.run(move(view_server.url, registry, "zoe", "buyers", into=False))
    assert seen() == (False, "grey")
