"""Streams as their clients meet them: a real evaluator over a real view and a real broker."""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cohort_store.clocks import FileClock
from cohort_store.registry import Registry
from tests.evaluator.building import DAY_MS, NOW_MS
from tests.evaluator.conftest import FLAGS, fill
from tests.evaluator.listening import Listener
from tests.evaluator.moving import PARTITIONS, Owner
from tests.evaluator.serving import Evaluator, serving


@pytest.fixture
async def owner(view_url: str, fresh_broker: str, registry: Registry) -> AsyncIterator[Owner]:
    await fill(view_url, registry)
    async with Owner(view_url, fresh_broker) as owner:
        yield owner


@pytest.fixture
def pushing(tmp_path: Path, view_url: str, fresh_broker: str, owner: Owner, registry: Registry) -> Iterator[Evaluator]:
    """An evaluator with a broker, two seconds after its data."""
    assert owner
    FileClock(tmp_path / "clock").set(NOW_MS + 31 * DAY_MS + 2_000)
    settings = {"kafka": fresh_broker, "partitions": str(PARTITIONS)}
    with serving(tmp_path, view_url, f"file:{tmp_path / 'clock'}", **settings) as running:
        running.until_version(registry.version)
        yield running


def _buyers(registry: Registry) -> int:
    return registry.team(1).cohorts[0].versions[-1].handle


def _attached(evaluator: Evaluator) -> None:
    """Return when changes come through."""
    evaluator.until(lambda: evaluator.metric("muster_evaluator_changes_live") == 1)


async def test_a_person_who_enters_a_cohort_has_the_changed_flag_told_and_no_other(
    pushing: Evaluator, owner: Owner, registry: Registry
) -> None:
    with Listener(pushing.url, distinct_id="eve") as listener:
        assert listener.response.headers["content-type"].startswith("text/event-stream")
        state = listener.until("state")
        assert state.data["flags"]["for-buyers"]["enabled"] is False
        assert set(state.data["flags"]) == {each["key"] for each in FLAGS}
        _attached(pushing)
        began = time.monotonic()
        await owner.move("eve", _buyers(registry), entered=True)
        change = listener.next()
        assert time.monotonic() - began < 5
        assert (change.name, set(change.data["flags"])) == ("change", {"for-buyers"})
        assert change.data["flags"]["for-buyers"]["enabled"] is True
        await owner.move("eve", _buyers(registry), entered=False)
        assert listener.next().data["flags"]["for-buyers"]["enabled"] is False
