"""Reconciling through every real part: nothing differs, until something is made to."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from cohort_store.redis.keys import ShardKeys, pack_member
from cohort_store.redis.wiring import connect_mirror
from cohort_store.registry import decode_registry
from cohort_store.settings import Settings
from cohort_store.subjects import PERSON, Subject, shard_of
from tests.cli.test_up import END_S_MAX, Up, eventually, start
from tests.cli.test_up import pytestmark as marks_of_up
from tests.cli.test_up_backfill import apply, members, tell

pytestmark = [*marks_of_up, pytest.mark.slow]

NOW = datetime.now(UTC)
PEOPLE = [f"p{number}" for number in range(40)]
COUNT: dict[str, Any] = {"kind": "count", "event": "buy", "n": 2, "within": "10d"}
COHORTS: list[dict[str, Any]] = [
    {"key": "buyers", "when": COUNT},
    {"key": "quiet", "when": {"not": {"kind": "performed", "event": "buy", "within": "5d"}}},
    {"key": "first", "when": {"kind": "first_time", "event": "buy", "within": "12d"}},
    {"key": "pro", "when": {"kind": "person_property", "property": "plan", "value": "pro"}},
    {"key": "vips", "members": ["p1", "p2", "stranger"]},
    {"key": "sellers", "when": {"kind": "aggregate", "fn": "sum", "property": "amount", "non_negative": True,
                                "event": "buy", "op": "gte", "value": 30, "within": "10d"}},
]  # fmt: skip


def event(person: str, days_ago: float, **properties: Any) -> dict[str, Any]:
    time = (NOW - timedelta(days=days_ago)).isoformat()
    return {"event": "buy", "person_id": person, "timestamp": time, "properties": properties}


EVENTS = [
    event(person, (3 * number + 5 * turn) % 14 + 0.5, amount=10 * turn, **({"$set": {"plan": "pro"}} if turn else {}))
    for number, person in enumerate(PEOPLE)
    for turn in range(number % 4)
]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = start(tmp_path_factory.mktemp("reconcile"))
    try:
        tell(running, EVENTS)
        apply(running, COHORTS)
        eventually(lambda: running.answer("backfill", "list")["lacking"] == [])
        yield running
    finally:
        running.process.terminate()
        running.process.wait(END_S_MAX)


def agreements(up: Up, *arguments: str, status: int = 0) -> dict[str, dict[str, Any]]:
    done = up.muster("reconcile", *arguments, "--json")
    assert done.returncode == status, done.stdout + done.stderr
    return {each["key"]: each for each in json.loads(done.stdout)["agreements"]}


def drifted(found: dict[str, dict[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    named = {key: [(each["person"], each["kind"]) for each in of.get("drifted", ())] for key, of in found.items()}
    return {key: persons for key, persons in named.items() if persons}


def test_on_a_healthy_system_nobody_differs_while_events_go_on(up: Up) -> None:
    found = agreements(up)
    assert set(found) == {cohort["key"] for cohort in COHORTS}
    assert drifted(found) == {}
    assert all(each["persons"] >= len({each["person_id"] for each in EVENTS}) for each in found.values())
    tell(up, [event(person, 0, amount=5) for person in PEOPLE[20:]])
    assert drifted(agreements(up)) == {}


def test_members_who_are_none_and_lost_entries_are_found_named_and_repaired(up: Up) -> None:
    eventually(lambda: drifted(agreements(up)) == {})
    before = {cohort["key"]: members(up, cohort["key"]) for cohort in COHORTS}
    shards = up.answer("status")["shards"]["total"]
    store_wrongly(Subject(1, PERSON, "p1"), handle_of(up, "buyers"), shards, up.addresses["view"])
    lose(Subject(1, PERSON, "p7"), shards, up.addresses["view"])
    found = agreements(up, status=1)
    differing = drifted(found)
    assert ("p1", "stored") in differing["buyers"]
    assert {person for persons in differing.values() for person, _ in persons} == {"p1", "p7"}
    assert "By ClickHouse's events, p7" in up.muster("reconcile", "buyers").stdout
    repaired = agreements(up, "--repair")
    assert all(each["repaired"] for of in repaired.values() for each in of.get("drifted", ()))
    assert drifted(agreements(up)) == {}
    assert {cohort["key"]: members(up, cohort["key"]) for cohort in COHORTS} == before


def test_control_compares_everybody_again_and_again_and_makes_good_what_differs(tmp_path: Path) -> None:
    chosen = {"MUSTER_RECONCILE_HOURS": "0.0005", "MUSTER_RECONCILE_REPAIR": "true"}
    up = start(tmp_path, **chosen)
    try:
        tell(up, EVENTS)
        apply(up, COHORTS[:2])
        eventually(lambda: "p7" in members(up, "buyers"))
        eventually(lambda: counted(up, "persons") > 0)
        lose(Subject(1, PERSON, "p7"), up.answer("status")["shards"]["total"], up.addresses["view"])
        eventually(lambda: counted(up, "repaired") > 0)
        assert "p7" in members(up, "buyers")
        assert up.answer("person", "p7")["known"]
    finally:
        up.process.terminate()
        up.process.wait(END_S_MAX)
    said = "".join(path.read_text() for path in tmp_path.rglob("*control*.log"))
    assert "differ from the history in cohort buyers of team 1: p7" in said


def counted(up: Up, what: str) -> float:
    """Of the cohort `buyers`, by control's metrics."""
    with urllib.request.urlopen(f"{up.addresses['control']}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    name = f'muster_reconcile_{what}_total{{cohort="buyers",team="1"}} '
    return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))


def handle_of(up: Up, key: str) -> int:
    """Of the version that answers."""

    async def look() -> int:
        mirror = connect_mirror(Settings(redis=up.addresses["view"]))
        registry = decode_registry(await mirror.fetch() or b"")
        await mirror.aclose()
        cohort = registry.team(1).cohort(key)
        assert cohort is not None
        assert cohort.active is not None
        return cohort.active.handle

    return asyncio.run(look())


def store_wrongly(subject: Subject, handle: int, shards: int, url: str) -> None:
    """Let readers find somebody in a version, as a commit would have written it."""
    keys = ShardKeys("m", shard_of(subject, shards))
    with redis.Redis.from_url(url) as client:
        assert client.sadd(keys.memberships(subject), handle) == 1
        client.hincrby(keys.counts, str(handle), 1)
        client.hsetnx(keys.counts, f"b{handle}", 1)
        client.sadd(keys.bucket(handle, 0), pack_member(subject))


def lose(subject: Subject, shards: int, url: str) -> None:
    """Let the store forget all that is kept of somebody."""
    keys = ShardKeys("m", shard_of(subject, shards))
    with redis.Redis.from_url(url) as client:
        assert client.delete(keys.record(subject)) == 1


def test_a_sample_compares_some_and_a_wrong_one_is_refused(up: Up) -> None:
    found = agreements(up, "buyers", "--sample", "10%")
    assert list(found) == ["buyers"]
    assert found["buyers"]["persons"] < len(PEOPLE)
    refused = up.muster("reconcile", "--sample", "0%")
    assert refused.returncode == 2
    assert "'0%' is no share" in refused.stderr
