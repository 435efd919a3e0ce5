"""Flags that no cohort stands behind, through every real part: the properties kept for them, and whose an id is."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from cohort_store.kafka import clients
from tests.cli.test_up import END_S_MAX, Up, eventually, pytestmark, start

__all__ = ["pytestmark"]

PAIRS = "clickhouse_person_distinct_id"
SOURCES = {"muster.events": "plain", PAIRS: "posthog_distinct_id"}
FLAG = {"key": "for-pros", "filters": {"groups": [{"properties": [
    {"type": "person", "key": "plan", "value": ["pro"], "operator": "exact"}]}]}}  # fmt: skip


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = start(tmp_path_factory.mktemp("identity"), MUSTER_SOURCES=json.dumps(SOURCES))
    try:
        file = running.folder / "flags.json"
        file.write_text(json.dumps({"flags": [FLAG]}))
        done = running.muster("apply", str(file))
        assert done.returncode == 0, done.stderr
        tell(running, "seen", "ann", **{"$set": {"plan": "pro"}})
        eventually(lambda: is_on(running, "ann"))
        yield running
    finally:
        running.process.terminate()
        running.process.wait(END_S_MAX)


def tell(up: Up, name: str, distinct_id: str, **said: Any) -> None:
    event = {"event": name, "distinct_id": distinct_id, "timestamp": datetime.now(UTC).isoformat(), "properties": said}
    file = up.folder / "events.jsonl"
    file.write_text(json.dumps(event) + "\n")
    assert up.answer("send", str(file), "--topic", "muster.events")["sent"] == 1


def pair(up: Up, distinct_id: str, person: str, version: int, **more: int) -> None:
    state = {"team_id": 1, "distinct_id": distinct_id, "person_id": person, "version": version, "is_deleted": 0}

    async def send() -> None:
        async with clients.producer(up.addresses["broker"]) as producer:
            await producer.send_and_wait(PAIRS, json.dumps(state | more).encode(), key=distinct_id.encode())

    asyncio.run(send())


def is_on(up: Up, who: str, **properties: Any) -> bool:
    body = {"token": "phc_muster", "distinct_id": who, "person_properties": properties}
    answer = httpx.post(f"{up.addresses['evaluator']}/flags?v=2", json=body).json()
    return bool(answer["flags"].get("for-pros", {}).get("enabled"))


def kept(up: Up, who: str) -> Any:
    headers = {"Authorization": "Bearer phc_muster"}
    return httpx.get(f"{up.addresses['evaluator']}/persons/{who}/properties", headers=headers).json()


def test_a_property_that_only_a_flag_tests_is_kept_and_the_request_wins(up: Up) -> None:
    assert not is_on(up, "ann", plan="free")
    assert not is_on(up, "bob")
    assert is_on(up, "bob", plan="pro")
    told = kept(up, "ann")["properties"]["plan"]
    assert (told["value"], told["source"]) == ("pro", "event")
    tell(up, "seen", "bob", **{"$set": {"plan": "pro"}})
    eventually(lambda: is_on(up, "bob"))
    tell(up, "seen", "bob", **{"$unset": ["plan"]})
    eventually(lambda: not is_on(up, "bob"))
    assert kept(up, "bob")["unset"] == ["plan"]


@pytest.mark.parametrize(
    ("event", "word"), [("$identify", "$anon_distinct_id"), ("$create_alias", "alias"), ("$merge_dangerously", "alias")]
)
def test_an_anonymous_id_gets_the_persons_flags_once_it_is_identified(up: Up, event: str, word: str) -> None:
    anonymous = f"anonymous-{event}"
    assert not is_on(up, anonymous)
    tell(up, event, "ann", **{word: anonymous})
    eventually(lambda: is_on(up, anonymous))
    assert kept(up, anonymous)["person"] == "ann"


def test_posthogs_topic_of_distinct_ids_says_whose_an_id_is_and_its_highest_version_stays(up: Up) -> None:
    pair(up, "device", "ann", 1)
    eventually(lambda: is_on(up, "device"))
    pair(up, "device", "nobody-in-particular", 0)
    tell(up, "$identify", "zoe", **{"$anon_distinct_id": "device"})
    pair(up, "marker", "ann", 0)
    eventually(lambda: is_on(up, "marker"))
    assert is_on(up, "device")
    pair(up, "device", "ann", 101, is_deleted=1)
    eventually(lambda: not is_on(up, "device"))
