"""Keys and the account of acts as an operator has them: by commands, against a running installation."""

import json
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.cli.test_up import END_S_MAX, Up, eventually, pytestmark, start

__all__ = ["pytestmark"]

COHORTS = "cohorts: [{key: buyers, when: {kind: performed, event: purchase, within: 7d}}]\n"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = start(tmp_path_factory.mktemp("up"))
    yield running
    running.process.terminate()
    running.process.wait(END_S_MAX)


def status(up: Up, path: str, key: str) -> int:
    """What the evaluator answers to whoever has that key."""
    request = urllib.request.Request(f"{up.addresses['evaluator']}{path}", headers={"authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            code: int = response.status
    except urllib.error.HTTPError as refused:
        code = refused.code
    return code


def becomes(up: Up, key: str, expected: int, path: str = "/cohorts") -> None:
    eventually(lambda: status(up, path, key) == expected)


def acts(up: Up) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = up.answer("audit")
    return found


def test_the_key_in_the_data_folder_opens_everything_and_is_its_owners_alone(up: Up) -> None:
    file = up.folder / "muster-data" / "secret-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert status(up, "/cohorts", file.read_text().strip()) == 200
    assert status(up, "/cohorts", "phc_muster") == 403


def test_a_key_is_made_listed_rotated_and_revoked_with_no_moment_without_one(up: Up) -> None:
    made = up.muster("keys", "create", "dashboard", "--right", "read_definitions", "--expires", "90d")
    assert made.returncode == 0, made.stderr
    first = made.stdout.strip()
    assert "may read_definitions until" in made.stderr
    becomes(up, first, 200)
    assert status(up, "/persons/ann", first) == 403
    (listed,) = up.answer("keys", "list")["keys"]
    assert (listed["name"], listed["rights"], listed["state"]) == ("dashboard", ["read_definitions"], "alive")
    assert first.split("_")[2] not in json.dumps(up.answer("keys", "list", "--all"))

    rotated = up.answer("keys", "rotate", listed["key"], "--overlap", "1h")
    becomes(up, rotated["secret"], 200)
    assert status(up, "/cohorts", first) == 200
    assert up.answer("keys", "revoke", listed["key"])["state"] == "revoked"
    becomes(up, first, 401)
    assert status(up, "/cohorts", rotated["secret"]) == 200
    assert [each["state"] for each in up.answer("keys", "list", "--all")["keys"]] == ["revoked", "alive"]
    refused = up.muster("keys", "rotate", listed["key"])
    assert (refused.returncode, "is revoked" in refused.stderr) == (1, True)
    assert "there is no key" in up.muster("keys", "revoke", "0000000000").stderr


def test_definitions_that_are_applied_or_pruned_leave_keys_alone_and_keys_leave_definitions_alone(up: Up) -> None:
    key = up.answer("keys", "create", "stays", "--right", "read_definitions")
    file = up.folder / "cohorts.yaml"
    file.write_text(COHORTS)
    assert up.muster("apply", "--prune", str(file)).returncode == 0
    becomes(up, key["secret"], 200)
    up.answer("keys", "revoke", key["key"])
    becomes(up, key["secret"], 401)
    assert up.answer("who", "buyers", "--limit", "0")["stored"] == 0


def test_every_administrative_act_is_told_of_with_its_outcome(up: Up) -> None:
    bad = up.folder / "bad.yaml"
    bad.write_text("cohorts: [{key: bad}]\n")
    refused = up.muster("apply", str(bad))
    assert 'audit: {"at":' in refused.stderr
    last = acts(up)[-1]
    assert (last["act"], last["outcome"]) == ("apply", "refused")
    assert "bad.yaml" in last["error"]
    assert up.muster("backfill", "pause").returncode == up.muster("backfill", "resume").returncode == 0
    assert up.muster("forget", "ann", "--yes").returncode == 0
    assert "holds no history" in up.muster("reconcile", "--repair").stderr
    assert [(each["act"], each["outcome"]) for each in acts(up)[-4:]] == [
        ("pause_backfill", "done"),
        ("resume_backfill", "done"),
        ("forget", "done"),
        ("repair", "refused"),
    ]
    assert "ann" not in json.dumps(acts(up)[-2]["about"])
    before = len(acts(up))
    for asked in (["apply", "--dry-run", str(up.folder / "cohorts.yaml")], ["backfill", "list"]):
        assert up.muster(*asked).returncode == 0
    assert len(acts(up)) == before
    assert {each["act"] for each in up.answer("audit", "--act", "create_key", "--limit", "1")} == {"create_key"}


def test_no_secret_stands_in_the_topics_the_account_or_the_logs(up: Up) -> None:
    secret = up.answer("keys", "create", "hidden", "--right", "explain")["secret"].split("_", 2)[2]
    assert secret not in json.dumps(acts(up))
    logs = [path for path in Path(up.folder / "muster-data").rglob("*.log") if path.is_file()]
    assert logs
    assert all(secret not in path.read_text(errors="replace") for path in logs)


def test_keys_outlive_a_redis_that_lost_everything(up: Up) -> None:
    key = up.answer("keys", "create", "survivor", "--right", "read_definitions")
    becomes(up, key["secret"], 200)

    with redis.Redis.from_url(up.addresses["view"]) as client:
        client.flushall()
    becomes(up, key["secret"], 200)
    assert "survivor" in [each["name"] for each in up.answer("keys", "list")["keys"]]
