"""A view with people in it, and an evaluator that reads it."""

import asyncio
from collections.abc import Iterator

import pytest
import redis

from cohort_store.clocks import FileClock
from cohort_store.redis.wiring import connect_mirror, connect_store
from cohort_store.registry import Registry, encode_registry
from cohort_store.selectors import Alternative, Selector
from cohort_store.settings import Settings
from processors.embedded.view import EmbeddedView
from tests.evaluator.building import (
    DAY_MS,
    NOW_MS,
    SHARDS,
    flag,
    in_cohort,
    person_is,
    registry_of,
    store_people,
    variants,
)
from tests.evaluator.serving import Evaluator, serving
from tests.services.redis_servers import RedisServer

FLAGS = (
    flag("for-buyers", {"properties": [in_cohort("buyers")]}, payloads={"true": '{"size": 3}'}),
    flag("not-sleeping", {"properties": [in_cohort("sleepers", "not_in")]}, muster={"on_unavailable": {"value": True}}),
    flag("for-pros", {"properties": [person_is("plan", "exact", "pro")]}),
    flag("colours", {}, multivariate=variants(red=50, blue=50)),
    flag("off", {}, active=False),
)
PEOPLE = 30
LATER_MS = NOW_MS + 32 * DAY_MS
"""A day behind the instant of the data."""


def view_settings(url: str) -> Settings:
    return Settings(redis=url, shards=SHARDS)


async def publish(url: str, registry: Registry) -> None:
    """Put the registry where evaluators find it."""
    mirror = connect_mirror(view_settings(url))
    await mirror.publish(encode_registry(registry), registry.version)
    await mirror.aclose()


async def fill(url: str, registry: Registry, ready: int | None = None) -> None:
    """Publish the registry, and store ada and thirty others as buyers, grace as awake, of whom two use browsers.

    Of ivy a purchase is stored that is dated a day later than now.
    The shards have folded the registry's version, or `ready`.
    """
    await publish(url, registry)
    buyers, sleepers, unlisted, *_ = (cohort.versions[-1].handle for cohort in registry.team(1).cohorts)
    people = {f"buyer-{n}": [buyers] for n in range(PEOPLE)} | {
        "ada": [buyers, sleepers],
        "grace": [sleepers, unlisted],
        "ivy": [],
    }
    purchase = registry.team(1).selectors[Selector((Alternative("purchase"),)).canonical()]
    lines = {"ivy": {purchase: ((LATER_MS, 7),)}}
    pairs = {"browser-ada": "ada", "browser-grace": "grace"}
    warm = {"now_ms": NOW_MS + 31 * DAY_MS, "ready": registry.version if ready is None else ready}
    store = connect_store(view_settings(url))
    await store_people(store, people, lines=lines, pairs=pairs, position=warm, unlisted=[unlisted])
    await store.aclose()


@pytest.fixture(scope="module")
def registry() -> Registry:
    return registry_of(FLAGS)


@pytest.fixture(scope="module")
def evaluator(
    tmp_path_factory: pytest.TempPathFactory, view_server: EmbeddedView | RedisServer, registry: Registry
) -> Iterator[Evaluator]:
    """A running evaluator over the filled view, two seconds after its data. The module only reads."""
    folder = tmp_path_factory.mktemp("evaluator")
    FileClock(folder / "clock").set(NOW_MS + 31 * DAY_MS + 2_000)
    with redis.Redis.from_url(view_server.url) as client:
        client.flushall()
    asyncio.run(fill(view_server.url, registry))
    with serving(folder, view_server.url, f"file:{folder / 'clock'}") as running:
        running.until_version(registry.version)
        yield running
