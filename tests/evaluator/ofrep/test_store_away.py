"""The store goes: OFREP goes on answering, says that policies do, and its ETag changes with the answers."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cohort_store.registry import Registry
from processors.embedded.view import EmbeddedView
from tests.evaluator.conftest import fill
from tests.evaluator.ofrep.protocol import must_fit
from tests.evaluator.serving import TOKEN, Evaluator, serving

pytestmark = pytest.mark.services

PATH = "/ofrep/v1/evaluate/flags"


@pytest.fixture
def view(tmp_path: Path) -> Iterator[EmbeddedView]:
    """A view of the test's own, to be stopped."""
    with EmbeddedView(tmp_path / "view") as view:
        yield view


def _bulk(evaluator: Evaluator, etag: str = "") -> httpx.Response:
    headers = {"X-API-Key": TOKEN, "If-None-Match": etag}
    return evaluator.client.post(PATH, json={"context": {"targetingKey": "grace"}}, headers=headers)


def test_while_the_store_is_away_policies_answer_with_that_status(
    tmp_path: Path, view: EmbeddedView, registry: Registry
) -> None:
    asyncio.run(fill(view.url, registry))
    with serving(tmp_path, view.url) as evaluator:
        evaluator.until_version(registry.version)
        before = _bulk(evaluator)
        assert _bulk(evaluator, before.headers["etag"]).status_code == 304
        view.stop()
        evaluator.until(lambda: _bulk(evaluator, before.headers["etag"]).status_code == 200)
        away = _bulk(evaluator)
        must_fit(away.json(), "bulkEvaluationSuccess")
        found = {each["key"]: each for each in away.json()["flags"]}
        assert found["for-buyers"]["reason"] == "UNKNOWN"
        assert found["for-buyers"]["metadata"]["status"] == "UNAVAILABLE"
        assert (found["everybody"]["reason"], found["everybody"]["metadata"]["status"]) == ("STATIC", "OK")
