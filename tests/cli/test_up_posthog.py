"""A file of PostHog's, applied as it is to a running installation: all seven behaviors, persons, lists, negation."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.cli.test_up import END_S_MAX, Up, eventually, pytestmark, start
from tests.posthog.building import PERFORMED, cohort_of
from tests.posthog.test_answers import BEHAVIORS, EVENTS, NOW

__all__ = ["pytestmark"]

ROLLING = {key: each for key, each in BEHAVIORS.items() if not {"explicit_datetime", "negation"} & set(each[0])}
PRO = {"type": "person", "key": "plan", "operator": "exact", "value": ["pro"]}
VIPS: dict[str, Any] = {"id": 20, "name": "VIPs", "is_static": True, "members": ["twice", "zoe"]}
OTHERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "8": (BEHAVIORS["8"][0], ["back", "buyer", "late", "once", "steady", "twice"]),
    "21": (PRO, ["zoe"]),
    "22": ({"type": "cohort", "key": "id", "value": 20, "negation": True}, VIPS["members"]),
    "23": ({"type": "cohort", "key": "id", "value": 1}, ROLLING["1"][1]),
}
ALL = {**ROLLING, **OTHERS}
"""Cohorts, and who is listed: of a negated one, all who are not in it."""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = start(tmp_path_factory.mktemp("posthog"))
    try:
        yield running
    finally:
        running.process.terminate()
        running.process.wait(END_S_MAX)


def test_what_posthog_defines_is_applied_and_answered(up: Up) -> None:
    leaves = {key: leaf if "type" in leaf else {**PERFORMED, **leaf} for key, (leaf, _) in ALL.items()}
    cohorts = [{**cohort_of(leaf), "id": int(key), "name": f"Cohort {key}"} for key, leaf in leaves.items()]
    definitions, log = up.folder / "posthog.json", up.folder / "events.jsonl"
    definitions.write_text(json.dumps({"cohorts": [*cohorts, VIPS]}))
    done = up.muster("apply", str(definitions))
    assert done.returncode == 0, done.stderr
    assert "windows are exact to the millisecond here" in done.stderr
    log.write_text("".join(json.dumps(event) + "\n" for event in events()))
    assert up.answer("send", str(log))["sent"] == len(EVENTS) + 1
    for key, (_, listed) in ALL.items():
        eventually(partial(is_listed, up, key, listed))


def events() -> Iterator[dict[str, Any]]:
    """The small log, moved so that its present is this moment; and what one person's plan is."""
    moved = datetime.now(UTC) - datetime.fromisoformat(NOW)
    for person, event, day in EVENTS:
        at = datetime(2026, 1, 1, 10, tzinfo=UTC) + timedelta(days=day - 1) + moved
        yield {"event": event, "person_id": person, "timestamp": at.isoformat()}
    now = datetime.now(UTC).isoformat()
    yield {"event": "seen", "person_id": "zoe", "timestamp": now, "properties": {"$set": {"plan": "pro"}}}


def is_listed(up: Up, cohort: str, listed: list[str]) -> bool:
    """False while it is being built."""
    done = up.muster("who", cohort, "--json")
    return done.returncode == 0 and sorted(json.loads(done.stdout)["ids"]) == listed
