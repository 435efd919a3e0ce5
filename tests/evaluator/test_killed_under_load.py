"""Redis, Kafka and ClickHouse die or fall silent while flags are asked for: each, and all of them together.

Real processes and real signals. No request fails, what was known of persons goes on to be answered, no answer takes
longer than its deadline, and everything is found again without a restart.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from cohort_store.registry import Registry
from evaluator.reading.coalescing import DEADLINE_S
from tests.evaluator.conftest import PEOPLE, fill, publish
from tests.evaluator.killing import PARTS, Asked, Load, Surroundings, load_on
from tests.evaluator.serving import Evaluator, serving

pytestmark = [pytest.mark.services, pytest.mark.slow]

BUYERS = [f"buyer-{number}" for number in range(PEOPLE)]
OTHERS = [f"visitor-{number}" for number in range(PEOPLE)]
KNOWN = [person for pair in zip(BUYERS, OTHERS, strict=True) for person in pair]
SLACK_S = 1.0
"""For the client and the server on a machine that others work on."""
OUTAGE_S = 3.0

VICTIMS = [("redis",), ("kafka",), ("clickhouse",), PARTS]


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    surroundings = Surroundings(tmp_path_factory.mktemp("surroundings"))
    surroundings.launch()
    try:
        yield surroundings
    finally:
        surroundings.stop()


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, surroundings: Surroundings, registry: Registry
) -> Iterator[Evaluator]:
    """One evaluator for all cases, so that each shows too that the ones before it were got over."""
    asyncio.run(fill(surroundings.redis, registry))
    asyncio.run(surroundings.write(registry))
    folder = tmp_path_factory.mktemp("evaluator")
    with serving(folder, surroundings.redis, settings=surroundings.settings) as evaluator:
        evaluator.until_version(registry.version)
        yield evaluator


def _version(evaluator: Evaluator) -> int:
    version: int = evaluator.client.get("/ready").json()["registry_version"]
    return version


def _all_answered(load: Load) -> None:
    assert {each.status for each in load.asked} == {200}
    # Whoever was read before is told the same, and never somebody else's answer.
    wrong = [each for each in load.asked if each.value("for-buyers")[0] is not (each.person in BUYERS)]
    assert wrong == []


def _by_conditions(asked: Asked) -> bool:
    return asked.value("for-buyers")[1] in ("condition_match", "no_condition_match")


def _share_s(asked: Sequence[Asked], share: float) -> float:
    """The time within which that share of the requests was answered."""
    return sorted(each.seconds for each in asked)[int(len(asked) * share)]


@contextmanager
def _gone(surroundings: Surroundings, victims: Sequence[str], signal: str) -> Iterator[None]:
    """Kill or halt these, and bring them back at the end, so that the next test finds everything there."""
    if signal == "SIGKILL":
        surroundings.kill(victims)
    else:
        surroundings.halt(victims)
    try:
        yield
    finally:
        surroundings.bring_back(victims)


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGSTOP"])
@pytest.mark.parametrize("victims", VICTIMS, ids="+".join)
def test_no_request_fails_whatever_is_killed_or_halted_and_all_is_found_again(
    running: Evaluator, surroundings: Surroundings, registry: Registry, victims: tuple[str, ...], signal: str
) -> None:
    with load_on(running.url, KNOWN) as load:
        load.until(_by_conditions)
        while len(load.asked) < 2 * len(KNOWN):
            time.sleep(0.02)
        calm_s = _share_s(load.asked, 0.99)
        with _gone(surroundings, victims, signal):
            began = time.monotonic()
            if "redis" in victims:
                load.until(lambda asked: asked.value("for-buyers")[1] == "last_known")
                # The breaker is open: nobody waits for the deadline any more.
                opened = time.monotonic()
                time.sleep(OUTAGE_S)
                assert _share_s(load.since(opened), 0.5) < DEADLINE_S
                stranger = running.flags("a stranger")["flags"]
                assert (stranger["for-buyers"]["enabled"], stranger["not-sleeping"]["enabled"]) == (False, True)
                assert stranger["colours"]["reason"]["code"] == "condition_match"
            else:
                time.sleep(OUTAGE_S)
            assert _share_s(load.since(began), 0.99) < DEADLINE_S + SLACK_S + 3 * calm_s
        load.until(_by_conditions)
        later = msgspec.structs.replace(registry, version=_version(running) + 1)
        asyncio.run(publish(surroundings.redis, later))
        running.until_version(later.version)
    _all_answered(load)


def test_definitions_come_by_the_topic_while_redis_is_away(
    running: Evaluator, surroundings: Surroundings, registry: Registry
) -> None:
    with _gone(surroundings, ["redis"], "SIGSTOP"):
        later = msgspec.structs.replace(registry, version=_version(running) + 1)
        asyncio.run(surroundings.write(later))
        running.until_version(later.version)


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGSTOP"])
def test_an_evaluator_starts_and_answers_with_everything_down_and_finds_everything(
    tmp_path: Path, surroundings: Surroundings, registry: Registry, signal: str
) -> None:
    asyncio.run(fill(surroundings.redis, registry))
    with serving(tmp_path, surroundings.redis, settings=surroundings.settings) as first:
        first.until(lambda: _version(first) >= registry.version)
        version = _version(first)
    with ExitStack() as outage:
        outage.enter_context(_gone(surroundings, PARTS, signal))
        with serving(tmp_path, surroundings.redis, settings=surroundings.settings) as evaluator:
            assert _version(evaluator) == version
            for _ in range(5):
                _answers_by_policy(evaluator)
            outage.close()
            evaluator.until(
                lambda: evaluator.flags("ada")["flags"]["for-buyers"]["reason"]["code"] == "condition_match"
            )
            evaluator.until(
                lambda: evaluator.flags("ada", params={"muster": "1"})["muster"]["definitions_from"] != "snapshot"
            )


def _answers_by_policy(evaluator: Evaluator) -> None:
    """With definitions out of the snapshot, nothing known of anybody, and flags that ask no cohort as ever."""
    answer = evaluator.flags("ada", params={"muster": "1"})
    flags = answer["flags"]
    assert answer["errorsWhileComputingFlags"] is True
    assert flags["for-buyers"]["reason"]["code"] == "cohort_unavailable"
    assert "could not be reached" in flags["for-buyers"]["reason"]["description"]
    assert [flags[key]["enabled"] for key in ("for-buyers", "not-sleeping", "off")] == [False, True, False]
    assert flags["colours"]["reason"]["code"] == "condition_match"
    assert answer["muster"]["definitions_from"] == "snapshot"
    assert {each["status"] for each in answer["muster"]["cohorts"].values()} == {"UNAVAILABLE"}
