"""The store goes and comes back: policies answer meanwhile, reasons say so, and nothing is restarted."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from cohort_store.registry import Registry
from evaluator.reading.breaker import FAILURES_TO_OPEN
from evaluator.reading.coalescing import DEADLINE_S
from processors.embedded.view import EmbeddedView
from tests.evaluator.building import COHORTS, SHARDS, flag, registry_of, variants
from tests.evaluator.conftest import FLAGS, fill, publish
from tests.evaluator.serving import BEARER, TOKEN, Evaluator, serving

pytestmark = pytest.mark.services


@pytest.fixture
def view(tmp_path: Path) -> Iterator[EmbeddedView]:
    """A view of the test's own, to be stopped and started again on the same port."""
    with EmbeddedView(tmp_path / "view") as view:
        yield view


def _restart(view: EmbeddedView) -> None:
    view.launch()
    view.wait_ready()


def _answered(evaluator: Evaluator, key: str) -> tuple[bool, str]:
    answer = evaluator.flags("ada")["flags"][key]
    return answer["enabled"], answer["reason"]["code"]


def test_while_the_store_is_away_policies_answer_and_it_is_found_again(
    tmp_path: Path, view: EmbeddedView, registry: Registry
) -> None:
    asyncio.run(fill(view.url, registry))
    with serving(tmp_path, view.url) as evaluator:
        evaluator.until_version(registry.version)
        assert _answered(evaluator, "for-buyers") == (True, "condition_match")

        view.stop()
        away = evaluator.flags("ada", params={"muster": "1"})
        assert away["errorsWhileComputingFlags"] is True
        assert away["muster"]["from_cache"] is True
        assert "answered from what was known at 2026-02-12" in away["flags"]["for-buyers"]["reason"]["description"]
        assert _answered(evaluator, "for-buyers") == (True, "last_known")
        stranger = evaluator.flags("never read")["flags"]["for-buyers"]
        assert (stranger["enabled"], stranger["reason"]["code"]) == (False, "cohort_unavailable")
        assert "could not be reached" in stranger["reason"]["description"]
        assert _answered(evaluator, "not-sleeping") == (True, "cohort_unavailable")
        assert _answered(evaluator, "colours")[1] == "condition_match"
        assert {each["status"] for each in away["muster"]["cohorts"].values()} == {"UNAVAILABLE"}
        assert evaluator.client.get("/health").status_code == 200
        ready = evaluator.client.get("/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        person = evaluator.client.get("/persons/ada", headers=BEARER)
        assert (person.status_code, person.json()["code"]) == (503, "store_unreachable")

        _restart(view)
        evaluator.until(lambda: _answered(evaluator, "for-buyers") == (True, "condition_match"))
        evaluator.until(lambda: evaluator.client.get("/ready").json()["status"] == "ready")


def test_a_store_that_falls_silent_costs_few_answers_the_deadline_and_no_answer_more(
    tmp_path: Path, view: EmbeddedView, registry: Registry
) -> None:
    asyncio.run(fill(view.url, registry))
    with serving(tmp_path, view.url) as evaluator:
        evaluator.until_version(registry.version)
        assert _answered(evaluator, "for-buyers") == (True, "condition_match")
        os.kill(view.process.pid, signal.SIGSTOP)
        try:
            waits = []
            for _ in range(FAILURES_TO_OPEN + 10):
                began = time.monotonic()
                assert _answered(evaluator, "for-buyers") == (True, "last_known")
                waits.append(time.monotonic() - began)
            assert sum(wait >= DEADLINE_S for wait in waits) <= FAILURES_TO_OPEN
            assert max(waits) < 2 * DEADLINE_S
            assert evaluator.metric("muster_evaluator_breaker_state") > 0
        finally:
            os.kill(view.process.pid, signal.SIGCONT)
        evaluator.until(lambda: _answered(evaluator, "for-buyers") == (True, "condition_match"))
        assert evaluator.metric("muster_evaluator_breaker_state") == 0


def test_while_the_store_is_away_nobody_gets_another_value_for_being_identified(
    tmp_path: Path, view: EmbeddedView
) -> None:
    going_on = flag("going-on", {}, multivariate=variants(a=50, b=50), muster={"on_unavailable": {"value": "a"}})
    registry = registry_of([going_on | {"ensure_experience_continuity": True}, flag("all", {})])
    asyncio.run(fill(view.url, registry))
    with serving(tmp_path, view.url) as evaluator:
        evaluator.until_version(registry.version)
        assert _answered(evaluator, "going-on") == (True, "condition_match")
        view.stop()
        brought: dict[str, Any] = {"$anon_distinct_id": "visitor"}
        away = evaluator.flags("ada", **brought)
        assert _answered(evaluator, "going-on") == (True, "continuity_unavailable")
        assert away["flags"]["going-on"]["variant"] == "a"
        assert away["errorsWhileComputingFlags"] is True
        assert _answered(evaluator, "all") == (True, "condition_match")
        _restart(view)
        evaluator.until(lambda: _answered(evaluator, "going-on") == (True, "condition_match"))


def test_an_evaluator_starts_without_the_store_and_finds_it(
    tmp_path: Path, view: EmbeddedView, registry: Registry
) -> None:
    asyncio.run(fill(view.url, registry))
    view.stop()
    with serving(tmp_path, view.url) as evaluator:
        answer = evaluator.flags("ada")
        assert (answer["flags"], answer["errorsWhileComputingFlags"]) == ({}, True)
        ready = evaluator.client.get("/ready")
        assert ready.status_code == 503
        assert len(ready.json()["problems"]) == 2
        _restart(view)
        evaluator.until_version(registry.version)
        assert _answered(evaluator, "for-buyers") == (True, "condition_match")


def test_a_shard_that_has_not_folded_the_cohorts_version_is_unavailable(
    tmp_path: Path, view_url: str, registry: Registry
) -> None:
    behind = registry.team(1).cohorts[0].versions[-1].registry_version - 1

    asyncio.run(fill(view_url, registry, ready=behind))
    with serving(tmp_path, view_url) as evaluator:
        evaluator.until_version(registry.version)
        answer = evaluator.flags("ada", params={"muster": "1"})
        assert answer["errorsWhileComputingFlags"] is True
        assert "has folded registry version 0" in answer["flags"]["for-buyers"]["reason"]["description"]
        assert answer["muster"]["cohorts"]["buyers"]["status"] == "UNAVAILABLE"
        page = evaluator.get("/cohorts/buyers/members")
        assert (page["status"], page["shards_ready"], page["shards"]) == ("UNAVAILABLE", 0, SHARDS)


def test_a_new_registry_is_in_force_without_a_restart(tmp_path: Path, view_url: str, registry: Registry) -> None:
    later = registry_of([*FLAGS, flag("fresh", {})], COHORTS, registry)
    asyncio.run(fill(view_url, registry))
    with serving(tmp_path, view_url) as evaluator:
        evaluator.until_version(registry.version)
        asyncio.run(publish(view_url, later))
        evaluator.until_version(later.version)
        assert evaluator.flags("ada")["flags"]["fresh"]["enabled"] is True


def test_a_second_evaluator_on_the_same_port_is_refused(tmp_path: Path, view_url: str, registry: Registry) -> None:
    asyncio.run(fill(view_url, registry))
    with serving(tmp_path, view_url) as evaluator:
        second = Evaluator(tmp_path / "second", view_url, "system", port=evaluator.port)
        second.process.launch()
        evaluator.until(lambda: second.process.returncode is not None)
        assert second.process.returncode == 1
        assert f"port {evaluator.port}" in second.log.read_text()
        assert "MUSTER_EVALUATOR_PORT" in second.log.read_text()


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="only Linux has it")
def test_no_thread_of_an_evaluator_interrupts_another_one(tmp_path: Path, view_url: str, registry: Registry) -> None:
    asyncio.run(fill(view_url, registry))
    with serving(tmp_path, view_url) as evaluator:
        threads = [int(each.name) for each in Path(f"/proc/{evaluator.process.pid}/task").iterdir()]
        assert len(threads) > 1, "the server's own thread has begun"
        assert {os.sched_getscheduler(each) for each in threads} == {os.SCHED_BATCH}


def test_a_request_under_way_is_answered_when_the_evaluator_is_told_to_end(
    tmp_path: Path, view_url: str, registry: Registry
) -> None:
    asyncio.run(fill(view_url, registry))
    with (
        serving(tmp_path, view_url) as evaluator,
        ThreadPoolExecutor(1) as pool,
        redis.Redis.from_url(view_url) as view,
    ):
        evaluator.until_version(registry.version)
        view.execute_command("CLIENT", "PAUSE", 300, "ALL")
        asked = pool.submit(evaluator.flags, "ada")
        evaluator.until(lambda: asked.done() or evaluator.metric("muster_evaluator_reads_under_way") > 0)
        evaluator.process.stop()
        assert set(asked.result()["flags"]) == {each["key"] for each in FLAGS}


def test_an_evaluator_with_another_number_of_shards_answers_nothing_and_says_what_to_set(
    tmp_path: Path, view_url: str, registry: Registry
) -> None:
    asyncio.run(fill(view_url, msgspec.structs.replace(registry, shards=SHARDS * 2)))
    with serving(tmp_path, view_url) as evaluator:
        evaluator.until(lambda: str(SHARDS * 2) in evaluator.client.get("/ready").text)
        assert evaluator.client.get("/ready").status_code == 503
        asked = [
            evaluator.client.post("/flags", params={"v": "2"}, json={"token": TOKEN, "distinct_id": "ada"}),
            *(evaluator.client.get(path, headers=BEARER) for path in ("/persons/ada", "/cohorts")),
        ]
        for answer in asked:
            assert (answer.status_code, answer.json()["code"]) == (503, "misconfigured")
            assert f"set MUSTER_SHARDS={SHARDS * 2}" in answer.json()["detail"]
        assert evaluator.client.get("/health").status_code == 200


def test_a_redis_that_lost_everything_is_answered_from_what_was_known_until_its_shards_are_back(
    tmp_path: Path, view_url: str, registry: Registry
) -> None:
    asyncio.run(fill(view_url, registry))
    with serving(tmp_path, view_url) as evaluator, redis.Redis.from_url(view_url) as view:
        evaluator.until_version(registry.version)
        assert _answered(evaluator, "for-buyers") == (True, "condition_match")
        view.flushall()
        answer = evaluator.flags("ada", params={"muster": "1"})
        assert _answered(evaluator, "for-buyers") == (True, "last_known")
        assert "holds no position yet" in answer["muster"]["cohorts"]["buyers"]["detail"]
        assert answer["muster"]["cohorts"]["buyers"]["last_known"] is True
        assert answer["muster"]["flags"]["for-buyers"]["status"] == "UNAVAILABLE"
        assert evaluator.metric('muster_evaluator_cache_recalls_total{outcome="known"}') > 0
        asyncio.run(fill(view_url, registry))
        assert _answered(evaluator, "for-buyers") == (True, "condition_match")
