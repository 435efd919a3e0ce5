"""Requests made up from our own OpenAPI document, right and wrong ones: each is answered as the document says."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cohort_store.clocks import FileClock
from cohort_store.kafka.topics import ensure_topics, muster_topics
from cohort_store.registry import Registry
from evaluator.http.openapi import EVENT_STREAM, Operation
from evaluator.http.routes import ROUTES
from processors.embedded.broker import EmbeddedBroker
from processors.embedded.view import EmbeddedView
from tests.evaluator.building import DAY_MS, NOW_MS
from tests.evaluator.conftest import fill
from tests.evaluator.serving import SECRET, TOKEN, Evaluator, serving
from tests.services.redis_servers import RedisServer

EXAMPLES = 15
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
CALLERS: tuple[dict[str, str], ...] = (*({"Authorization": f"Bearer {each}"} for each in (SECRET, TOKEN, "who")), {})


def _can_be_wrong(operation: Operation) -> bool:
    """Whether a wrong request can be made up: every text is right in a path."""
    return operation.request is not None or any(each.place != "path" for each in operation.parameters)


QUESTIONS = [
    (route.method, route.template, mode)
    for route in ROUTES
    for mode in GenerationMode
    if route.operation.media != EVENT_STREAM and (mode is GenerationMode.POSITIVE or _can_be_wrong(route.operation))
]
"""A stream has no end to wait for; it is tested where it is made."""

pytestmark = pytest.mark.slow
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)


@pytest.fixture(scope="module")
def evaluator(
    tmp_path_factory: pytest.TempPathFactory, view_server: EmbeddedView | RedisServer, registry: Registry
) -> Iterator[Evaluator]:
    """An evaluator with everything that it asks, so that no answer may say that something is away."""
    folder = tmp_path_factory.mktemp("described")
    FileClock(folder / "clock").set(NOW_MS + 31 * DAY_MS)
    with redis.Redis.from_url(view_server.url) as client:
        client.flushall()
    asyncio.run(fill(view_server.url, registry))
    with EmbeddedBroker(folder / "broker") as broker:
        asyncio.run(ensure_topics(broker.bootstrap, muster_topics(2)))
        kafka = {"MUSTER_KAFKA": broker.bootstrap}
        with serving(folder, view_server.url, f"file:{folder / 'clock'}", settings=kafka) as running:
            running.until_version(registry.version)
            yield running


@pytest.fixture(scope="module")
def document(evaluator: Evaluator) -> Any:
    """The evaluator's document, as the evaluator serves it."""
    return schemathesis.openapi.from_url(f"{evaluator.url}/openapi.json")


@pytest.mark.parametrize(("method", "template", "mode"), QUESTIONS)
def test_no_answer_is_a_servers_error_or_is_not_in_the_document(
    document: Any, method: str, template: str, mode: GenerationMode
) -> None:
    operation = document[template][method]

    @settings(max_examples=EXAMPLES, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def asked(case: schemathesis.Case[Any]) -> None:
        for headers in CALLERS:
            case.call_and_validate(headers=headers, checks=CHECKS, timeout=30)

    asked()
