"""Forgetting somebody through every real part: she is gone, and what comes again of her does not bring her back."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import clickhouse_connect
import pytest

from tests.cli.test_up import END_S_MAX, Up, eventually, start
from tests.cli.test_up import pytestmark as marks_of_up
from tests.cli.test_up_backfill import apply, members, tell

pytestmark = [*marks_of_up, pytest.mark.slow]

NOW = datetime.now(UTC)
COHORTS: list[dict[str, Any]] = [
    {"key": "buyers", "when": {"kind": "count", "event": "buy", "n": 2, "within": "30d"}},
    {"key": "first", "when": {"kind": "first_time", "event": "buy", "within": "60d"}},
    {"key": "pro", "when": {"kind": "person_property", "property": "plan", "value": "pro"}},
    {"key": "quiet", "when": {"not": {"kind": "performed", "event": "buy", "within": "30d"}}},
    {"key": "lookers", "when": {"kind": "performed", "event": "look", "within": "30d"}},
    {"key": "vips", "members": ["ann", "bob"]},
]


def event(
    name: str, days_ago: float, person: str | None, distinct_id: str | None = None, **more: Any
) -> dict[str, Any]:
    owner = {"person_id": person, "distinct_id": distinct_id}
    return {"event": name, **owner, "timestamp": (NOW - timedelta(days=days_ago)).isoformat(), "properties": more}


EVENTS = [
    event("buy", 9, "ann", "d-ann", **{"$set": {"plan": "pro"}}),
    event("buy", 8, None, "d-ann"),
    event("buy", 7, "ann"),
    event("buy", 6, "bob", "d-bob", **{"$set": {"plan": "pro"}}),
    event("buy", 5, "bob"),
]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = start(tmp_path_factory.mktemp("forget"))
    try:
        apply(running, COHORTS)
        tell(running, EVENTS)
        yield running
    finally:
        running.process.terminate()
        running.process.wait(END_S_MAX)


class Terminal(StringIO):
    """Somebody who types this."""

    def isatty(self) -> bool:
        return True


def asked(up: Up, sql: str) -> Any:
    """One figure out of ClickHouse."""
    with clickhouse_connect.get_client(dsn=up.addresses["history"]) as client:
        return client.query(sql).result_rows[0][0]


def written(up: Up, person: str) -> int:
    """How many rows name somebody."""
    hers = f"person_id = '{person}' OR distinct_id IN ('{person}', 'd-{person}')"
    events = asked(up, f"SELECT count() FROM events FINAL WHERE {hers}")
    return int(events + asked(up, f"SELECT count() FROM membership_changes FINAL WHERE person = '{person}'"))


def test_who_is_forgotten_is_gone_and_what_comes_again_of_her_does_not_bring_her_back(up: Up) -> None:
    eventually(lambda: up.muster("who", "vips").returncode == 0)
    eventually(lambda: all({"ann", "bob"} <= members(up, key) for key in ("buyers", "first", "pro", "quiet", "vips")))
    eventually(lambda: up.answer("backfill", "list")["lacking"] == [])
    eventually(lambda: written(up, "ann") == 3 + 4 + 1 and written(up, "bob") == 2 + 4 + 1)

    refused = up.muster("forget", "d-ann")
    assert refused.returncode == 2
    assert "say --yes" in refused.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", Terminal("n\n"))
        declined = up.muster("forget", "d-ann")
    assert (declined.returncode, written(up, "ann")) == (1, 8)
    assert "Erase ann of team 1 with 2 distinct ids (ann, d-ann) for good? [y/N]:" in declined.stderr
    assert "nothing was erased" in declined.stderr
    done = up.answer("forget", "d-ann", "--yes")
    assert (done["person"], done["distinct_ids"]) == ("ann", ["ann", "d-ann"])
    assert done["left"] == ["buyers", "first", "pro", "vips"]
    # What was written twice is a row twice until ClickHouse merges it.
    assert (done["rows"]["events"] >= 3, done["rows"]["membership_changes"] >= 5, done["rows"]["drift"]) == (
        True,
        True,
        0,
    )
    assert any("names her in vips" in sentence for sentence in done["not_reached"])
    assert_is_gone(up)

    look = event("look", 0, "ann", "d-ann") | {"timestamp": datetime.now(UTC).isoformat()}
    tell(up, [*EVENTS, look])
    eventually(lambda: members(up, "lookers") == {"ann"})
    assert up.muster("backfill", "--all", "--json").returncode == 0
    eventually(lambda: written(up, "ann") == 1 + 1)
    assert members(up, "buyers") == members(up, "first") == members(up, "pro") == members(up, "vips") == {"bob"}
    assert members(up, "quiet") == {"bob"}
    compared = up.answer("reconcile", "buyers", "first", "pro", "quiet", "lookers")
    assert [each.get("drifted", []) for each in compared["agreements"]] == [[]] * 5
    assert [each["times"] for each in up.answer("person", "d-ann")["record"]["timelines"]]
    assert [stay["cohort"] for stay in up.answer("history", "ann")["stays"]] == ["lookers"]


def assert_is_gone(up: Up) -> None:
    for key in ("buyers", "first", "pro", "vips", "quiet"):
        assert members(up, key) == {"bob"}
    found = up.answer("person", "ann")
    assert (found["record"]["timelines"], found["record"]["registers"]) == ([], {})
    assert found["record"]["forgotten"]
    assert [each["cohort"] for each in found["cohorts"] if each["member"]] == ["quiet"]
    assert up.answer("person", "d-ann")["distinct_id"] is None
    assert up.answer("history", "ann")["stays"] == []
    assert written(up, "ann") == 0
    assert written(up, "bob") > 0
