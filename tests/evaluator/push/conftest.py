"""An evaluator that pushes, over a view with people in it and a broker, and the owner who moves them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cohort_store.registry import Registry
from tests.evaluator.conftest import fill
from tests.evaluator.owning import Owner, kafka_at
from tests.evaluator.serving import Evaluator, serving


@pytest.fixture
async def owner(view_url: str, fresh_broker: str, registry: Registry) -> AsyncIterator[Owner]:
    """Writes to a view that is filled."""
    await fill(view_url, registry)
    async with Owner(view_url, fresh_broker) as owner:
        yield owner


@pytest.fixture
def pushing(
    tmp_path: Path,
    view_url: str,
    fresh_broker: str,
    owner: Owner,  # noqa: ARG001 - it fills the view and makes the topics
    registry: Registry,
) -> Iterator[Evaluator]:
    """A running evaluator with a broker."""
    with serving(tmp_path, view_url, settings=kafka_at(fresh_broker)) as running:
        running.until_version(registry.version)
        yield running


@pytest.fixture
def buyers(registry: Registry) -> int:
    """The handle that buyers are stored under."""
    return registry.team(1).cohorts[0].versions[-1].handle
