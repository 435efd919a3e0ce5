"""History through every real part: who did it before a cohort was defined is in it soon after."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from tests.cli.test_up import END_S_MAX, Up, environment, eventually, pytestmark, start

__all__ = ["pytestmark"]

NOW = datetime.now(UTC)


def event(person: str, name: str, days_ago: float, **properties: Any) -> dict[str, Any]:
    time = (NOW - timedelta(days=days_ago)).isoformat()
    return {"event": name, "person_id": person, "timestamp": time, "properties": properties}


PAST = [
    *(event("ann", "buy", days_ago) for days_ago in (40, 5, 4, 3)),
    *(event("bob", "buy", days_ago) for days_ago in (40, 39, 5)),
    event("cyd", "look", 20, **{"$set": {"plan": "pro"}}),
    event("dan", "look", 2),
    {**event("", "buy", 1), "person_id": None, "distinct_id": "d-ann"},
    {**event("ann", "look", 6), "distinct_id": "d-ann"},
]
COUNT: dict[str, Any] = {"kind": "count", "event": "buy", "n": 3}
BUYERS = {"key": "buyers", "when": {**COUNT, "within": "30d"}}
COHORTS: list[dict[str, Any]] = [
    BUYERS,
    {"key": "first-buyers", "when": {"kind": "first_time", "event": "buy", "within": "45d"}},
    {"key": "pro", "when": {"kind": "person_property", "property": "plan", "value": "pro"}},
    {"key": "lookers", "when": {"all": [
        {"kind": "performed", "event": "look", "within": "30d"},
        {"not": {"kind": "performed", "event": "buy", "within": "60d"}}]}},
    {"key": "idle", "when": {"not": {"kind": "performed", "event": "any", "within": "10d"}}},
]  # fmt: skip


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = start(tmp_path_factory.mktemp("backfill"))
    try:
        tell(running, PAST)
        apply(running, COHORTS)
        yield running
    finally:
        running.process.terminate()
        running.process.wait(END_S_MAX)


def tell(up: Up, events: list[dict[str, Any]]) -> None:
    file = up.folder / "events.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in events))
    assert up.answer("send", str(file))["sent"] == len(events)


def apply(up: Up, cohorts: list[dict[str, Any]]) -> None:
    file = up.folder / "cohorts.json"
    file.write_text(json.dumps({"cohorts": cohorts}))
    done = up.muster("apply", str(file))
    assert done.returncode == 0, done.stderr


def members(up: Up, cohort: str) -> set[str]:
    return set(up.answer("who", cohort)["ids"])


def standing(up: Up) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
    """What is applied, each cohort as it stands, and what lacks its history.

    Not the registry's version: it rises once more when what an edit before replaced is dropped, some seconds after.
    """
    status = up.answer("status")
    return status["applied"], status["cohorts"], up.answer("backfill", "list")["lacking"]


def test_who_did_it_before_the_cohort_was_defined_is_in_it(up: Up) -> None:
    eventually(lambda: members(up, "buyers") == {"ann"})
    eventually(lambda: members(up, "first-buyers") == {"ann", "bob"})
    eventually(lambda: members(up, "pro") == {"cyd"})
    eventually(lambda: members(up, "lookers") == {"cyd", "dan"})


def test_the_status_says_from_when_on_nothing_is_missing(up: Up) -> None:
    begins = int((NOW - timedelta(days=40)).timestamp() * 1_000)
    eventually(lambda: all(each["complete_from_ms"] == begins for each in up.answer("status")["cohorts"]))
    # A window of 45 or 60 days reaches back further than the history does.
    assert {each["key"]: each["state"] for each in up.answer("status")["cohorts"]} == {
        "buyers": "ready",
        "first-buyers": "ready",
        "pro": "ready",
        "lookers": "warming",
        "idle": "ready",
    }


def test_an_edit_takes_over_with_its_history_and_one_that_needs_none_at_once(up: Up) -> None:
    eventually(lambda: up.answer("status")["cohorts"][0]["state"] == "ready")
    apply(up, [{**BUYERS, "when": {**COUNT, "within": "60d"}}, *COHORTS[1:]])
    seen: list[set[str]] = []

    def holds() -> bool:
        seen.append(members(up, "buyers"))
        return seen[-1] == {"ann", "bob"}

    eventually(holds)
    assert all(each in ({"ann"}, {"ann", "bob"}) for each in seen), "the old members, or the new ones whole"
    apply(up, [{**BUYERS, "when": {**COUNT, "within": "6d"}}, *COHORTS[1:]])
    eventually(lambda: members(up, "buyers") == {"ann"})


def test_a_preview_tells_what_a_definition_would_hold_and_writes_nothing(up: Up) -> None:
    eventually(lambda: members(up, "buyers") >= {"ann"})
    file = up.folder / "preview.json"
    wanted = [
        {**BUYERS, "key": "twice", "when": {**COUNT, "within": "60d", "n": 2}},
        {"key": "vips", "members": ["dan", "zoe"]},
        {"key": "vips-who-looked", "when": {"all": [
            {"kind": "in_cohort", "cohort": "vips"}, {"kind": "performed", "event": "look", "within": "30d"}]}},
        {"key": "not-pro", "when": {"not": {"kind": "person_property", "property": "plan", "value": "pro"}}},
        {"key": "nobody", "when": {"kind": "performed", "event": "sing", "within": "30d"}},
    ]  # fmt: skip
    file.write_text(json.dumps({"cohorts": wanted}))
    before = standing(up)
    found = up.answer("preview", str(file))
    assert {key: (each["members"], each["some"]) for key, each in found["cohorts"].items()} == {
        "twice": (2, ["ann", "bob"]),
        "vips": (2, ["dan", "zoe"]),
        "vips-who-looked": (1, ["dan"]),
        "not-pro": (4, ["ann", "bob", "dan", "zoe"]),
        "nobody": (0, []),
    }
    assert found["begins"][:10] == (NOW - timedelta(days=40)).date().isoformat()
    assert len(up.answer("preview", str(file), "--sample", "2")["cohorts"]["not-pro"]["some"]) == 2
    then = up.answer("preview", str(file), "--now", (NOW - timedelta(days=4.5)).isoformat(), "--sample", "0")
    assert then["cohorts"]["twice"] == {"members": 2, "some": []}
    assert "by events from" in up.muster("preview", str(file)).stdout
    assert standing(up) == before


def test_an_operator_sees_asks_again_pauses_and_plans(up: Up) -> None:
    nothing: dict[str, Any] = {"paused": False, "backfill": None, "asked": None, "lacking": []}
    eventually(lambda: up.answer("backfill", "list") == nothing)
    assert "No cohort lacks its history" in up.muster("backfill", "list").stdout
    planned = up.answer("backfill", "--plan", "buyers")
    assert (planned["persons"], planned["parts"]) == (4, 1)
    assert planned["rows"] >= len(PAST)
    assert planned["bytes"] > 0
    assert "GROUP BY person_id" in planned["sql"]
    assert "rows" in up.muster("backfill", "--plan", "--all").stdout
    assert up.answer("backfill", "pause")["paused"] is True
    version = up.answer("status")["registry_version"]
    asking = beside(up, "buyers", "--rate", "50", "--max-threads", "1")
    eventually(lambda: rests(up, asking))
    asked = up.answer("backfill", "list")["asked"]
    assert (asked["persons_per_s"], asked["max_threads"]) == (50, 1)
    listed = up.muster("backfill", "list").stdout
    assert "Asked for: the history of 1 version, at most 50 persons a second, threads of ClickHouse: 1." in listed
    assert "has not ended" in up.muster("backfill", "first-buyers").stderr
    assert [each["cohort"] for each in up.answer("backfill", "list")["lacking"]] == ["buyers"]
    assert members(up, "buyers") >= {"ann"}, "who is in it stays so"
    assert up.answer("backfill", "resume")["paused"] is False
    lines = [json.loads(line) for line in asking.communicate(timeout=60)[0].splitlines()]
    assert (lines[-1]["outcome"], lines[-1]["cohorts"]) == ("done", ["buyers"])
    assert asking.returncode == 0
    # Asked for, and filled in; and once more for each edit before whose old version is dropped in the meantime.
    assert up.answer("status")["registry_version"] - version >= 2
    assert up.answer("backfill", "list")["lacking"] == []
    for wrong, said in [
        (("backfill",), "name cohorts, or give --all"),
        (("backfill", "buyers", "--all"), "name cohorts, or give --all"),
        (("backfill", "sellers"), "cohort 'sellers' is not defined"),
        (("backfill", "list", "--rate", "5"), "go with cohorts or --all, not with list"),
        (("backfill", "buyers", "--plan", "--rate", "5"), "leave it out"),
        (("backfill", "--all", "--since", "2026-01-01"), "first-buyers (first_time), pro (person_property)"),
        (("backfill", "buyers", "--since", "2126-01-01"), "lies ahead of"),
    ]:
        done = up.muster(*wrong)
        assert said in " ".join(done.stderr.replace("│", "").split())
        assert done.returncode in (1, 2)
    done = up.muster("backfill", "--all", "--team", "7")
    assert (done.returncode, "team 7 defines no cohort" in done.stderr) == (4, True)


def beside(up: Up, *arguments: str) -> subprocess.Popen[str]:
    """A backfill in a process of its own, as long as it takes."""
    return subprocess.Popen(
        [sys.executable, "-m", "processors.cli", "backfill", *arguments],
        cwd=up.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rests(up: Up, asking: subprocess.Popen[str] | None = None) -> bool:
    """Whether it is paused under way, as whoever asked for it waits to see."""
    assert asking is None or asking.poll() is None, asking.communicate()
    return (up.answer("backfill", "list")["backfill"] or {}).get("waits_for") == "muster backfill resume"


@pytest.mark.slow
def test_an_operator_cancels_compares_and_fills_in_a_part_and_then_all(up: Up) -> None:
    apply(up, COHORTS)
    eventually(lambda: members(up, "buyers") == {"ann"} and not up.answer("backfill", "list")["lacking"])
    assert up.muster("backfill", "cancel").returncode == 4
    up.answer("backfill", "pause")
    asking = beside(up, "first-buyers")
    eventually(lambda: rests(up, asking))
    cancelled = up.answer("backfill", "cancel")
    assert cancelled == {"cancelled": True, "lacking": []}
    assert (asking.wait(60), "cancelled" in asking.communicate()[1]) == (3, True)
    state = {each["key"]: each["state"] for each in up.answer("status")["cohorts"]}
    assert state["first-buyers"] == "ready", "what had its history has it"

    tell(
        up, [event(person, "dance", days_ago) for person, days_ago in (("ann", 5), ("ann", 4), ("bob", 20), ("bob", 5))]
    )
    dancers = {"key": "dancers", "when": {"kind": "count", "event": "dance", "n": 2, "within": "50d"}}
    apply(up, [*COHORTS, dancers])
    eventually(lambda: rests(up))
    lacking = up.answer("backfill", "cancel")["lacking"]
    assert {each["cohort"] for each in lacking} == {"dancers"}
    up.answer("backfill", "resume")
    assert "Left without all of their history" in up.muster("backfill", "list").stdout
    eventually(lambda: up.answer("status")["cohorts"][-1]["state"] == "warming")
    assert members(up, "dancers") == set()

    before = standing(up)
    found = up.answer("backfill", "dancers", "--dry-run")["cohorts"]["dancers"]
    assert (found["come"], found["go"]) == ({"persons": 2, "some": ["ann", "bob"]}, {"persons": 0, "some": []})
    part = up.answer("backfill", "dancers", "--dry-run", "--since", (NOW - timedelta(days=10)).isoformat())
    assert part["cohorts"]["dancers"]["come"] == {"persons": 1, "some": ["ann"]}
    assert "nothing was written" in up.muster("backfill", "--all", "--dry-run").stdout
    assert (members(up, "dancers"), standing(up)) == (set(), before)

    since = NOW - timedelta(days=10)
    assert up.muster("backfill", "dancers", "--since", since.isoformat()).returncode == 0
    assert members(up, "dancers") == {"ann"}
    (status,) = [each for each in up.answer("status")["cohorts"] if each["key"] == "dancers"]
    assert (status["complete_from_ms"], status["state"]) == (int(since.timestamp() * 1_000), "warming")
    assert up.muster("backfill", "dancers").returncode == 0
    assert members(up, "dancers") == {"ann", "bob"}
    (status,) = [each for each in up.answer("status")["cohorts"] if each["key"] == "dancers"]
    assert status["complete_from_ms"] == int((NOW - timedelta(days=40)).timestamp() * 1_000)
    assert not up.answer("backfill", "list")["lacking"]


# The last one here, since it ends the installation that the others share.
def test_a_lost_broker_and_then_a_lost_redis_are_made_good_out_of_the_history(up: Up) -> None:
    apply(up, COHORTS)
    eventually(lambda: members(up, "buyers") == {"ann"})
    up.process.terminate()
    up.process.wait(END_S_MAX)
    second = start(up.folder)
    up.process, up.addresses = second.process, second.addresses
    eventually(lambda: is_whole(up))
    tell(up, [event("eve", "buy", days_ago) for days_ago in (1, 2, 3)])
    eventually(lambda: members(up, "buyers") == {"ann", "eve"})
    view = redis.Redis.from_url(up.addresses["view"])
    view.flushall()
    view.close()
    eventually(lambda: is_whole(up))
    assert members(up, "buyers") == {"ann", "eve"}
    assert members(up, "first-buyers") == {"ann", "bob", "eve"}
    assert members(up, "pro") == {"cyd"}
    assert members(up, "lookers") == {"cyd", "dan"}
    assert up.answer("person", "d-ann")["person"] == "ann"


def is_whole(up: Up) -> bool:
    done = up.muster("status", "--json")
    if done.returncode:
        return False
    begins = int((NOW - timedelta(days=40)).timestamp() * 1_000)
    cohorts = json.loads(done.stdout)["cohorts"]
    return bool(cohorts) and all(
        (each["complete_from_ms"], each["state"]) in ((begins, "ready"), (begins, "warming")) for each in cohorts
    )
