"""Ten thousand flags, and a person in ten thousand cohorts: slower, but answered, and nobody else waits long."""

import asyncio
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from cohort_store.ports import Position, RecordWrite, ShardCommit
from cohort_store.records import Record, encode_record
from cohort_store.redis.wiring import connect_store
from cohort_store.registry import Registry
from cohort_store.subjects import PERSON, Subject, shard_of
from processors.embedded.view import EmbeddedView
from tests.evaluator.building import NOW_MS, SHARDS, flag, in_cohort, person_is, registry_of
from tests.evaluator.conftest import publish, view_settings
from tests.evaluator.serving import TOKEN, Evaluator, serving

MANY = 10_000
ANSWER_DEADLINE_S = 5.0
PERFORMED = {"kind": "performed", "event": "purchase", "within": "7d"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def large() -> Registry:
    """Every cohort has a flag of its own, which asks a property too."""
    cohorts = [{"key": f"cohort-{number}", "when": PERFORMED} for number in range(MANY)]
    flags = [
        flag(f"flag-{number}", {"properties": [in_cohort(f"cohort-{number}"), person_is("plan", "exact", "pro")]})
        for number in range(MANY)
    ]
    return registry_of(flags, cohorts)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory, large: Registry) -> Iterator[Evaluator]:
    """An evaluator that has all of it, with ada in every cohort and bob in none."""
    folder = tmp_path_factory.mktemp("crowded")
    with EmbeddedView(folder / "view") as view:
        asyncio.run(publish(view.url, large))
        asyncio.run(_store_ada(view.url, large))
        with serving(folder, view.url) as evaluator:
            evaluator.until_version(large.version)
            yield evaluator


async def _store_ada(url: str, large: Registry) -> None:
    handles = tuple(cohort.versions[-1].handle for cohort in large.team(1).cohorts)
    ada = Subject(1, PERSON, "ada")
    store = connect_store(view_settings(url))
    for shard in range(SHARDS):
        position = Position(os.urandom(16), 0, 8, NOW_MS, large.version)
        record = encode_record(Record(frozenset(handles), {}))
        writes = (RecordWrite(ada, record, joined=handles),) if shard == shard_of(ada, SHARDS) else ()
        await store.commit([ShardCommit(shard, None, position, writes)])
    await store.aclose()


def _ask(evaluator: Evaluator, person: str, **fields: Any) -> tuple[dict[str, Any], float]:
    began = time.monotonic()
    answer = evaluator.flags(person, person_properties={"plan": "pro"}, **fields)
    return answer["flags"], time.monotonic() - began


def test_all_flags_are_answered_for_a_person_in_all_cohorts(crowded: Evaluator) -> None:
    flags, seconds = _ask(crowded, "ada")
    assert (len(flags), {each["enabled"] for each in flags.values()}) == (MANY, {True})
    assert seconds < ANSWER_DEADLINE_S
    flags, seconds = _ask(crowded, "bob")
    assert {each["enabled"] for each in flags.values()} == {False}
    assert seconds < ANSWER_DEADLINE_S


def test_ofrep_answers_all_of_them_too(crowded: Evaluator) -> None:
    body = {"context": {"targetingKey": "ada", "plan": "pro"}}
    began = time.monotonic()
    answer = httpx.post(f"{crowded.url}/ofrep/v1/evaluate/flags", json=body, headers=BEARER, timeout=30).json()
    assert {each["value"] for each in answer["flags"]} == {True}
    assert len(answer["flags"]) == MANY
    assert time.monotonic() - began < ANSWER_DEADLINE_S


def test_a_list_of_a_hundred_thousand_keys_is_answered_with_the_flags_there_are(crowded: Evaluator) -> None:
    keys = [f"flag-{number % 100}" for number in range(50_000)] + [f"ghost-{number}" for number in range(10_000)]
    flags, seconds = _ask(crowded, "ada", flag_keys_to_evaluate=keys)
    assert len(flags) == 100
    assert seconds < ANSWER_DEADLINE_S


def test_who_asks_for_one_flag_meanwhile_does_not_wait_for_all_of_the_others(crowded: Evaluator) -> None:
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(_ask, crowded, "ada") for _ in range(8)]
        flags, seconds = _ask(crowded, "ada", flag_keys_to_evaluate=["flag-7"])
        assert list(flags) == ["flag-7"]
        assert seconds < ANSWER_DEADLINE_S
        assert all(len(each.result()[0]) == MANY for each in asked)


def test_the_evaluator_still_stops_when_asked(tmp_path: Path, large: Registry) -> None:
    with EmbeddedView(tmp_path / "view") as view:
        asyncio.run(publish(view.url, large))
        with serving(tmp_path, view.url):
            pass
