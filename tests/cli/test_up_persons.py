"""Persons' properties and static lists through every real part: what is set turns cohorts on and off, time too."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cli.test_up import DEADLINE_S, END_S_MAX, Up, eventually, pytestmark, start, status

__all__ = ["pytestmark"]

TRIAL_S = 6
COHORTS: list[dict[str, Any]] = [
    {"key": "pro", "when": {"kind": "person_property", "property": "plan", "value": "pro"}},
    {"key": "trying", "when": {"kind": "person_property", "property": "began", "op": "is_date_after",
                               "value": f"-{TRIAL_S}s"}},
    {"key": "vips", "members": ["ann", "bob", "zoe"]},
    {"key": "vips-to-win", "when": {"all": [
        {"kind": "in_cohort", "cohort": "vips"}, {"not": {"kind": "in_cohort", "cohort": "pro"}}]}},
]  # fmt: skip
FLAG = {"key": "vip-menu", "filters": {"groups": [{"properties": [
    {"type": "cohort", "key": "id", "value": "vips", "operator": "in"}]}]}}  # fmt: skip


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = start(tmp_path_factory.mktemp("persons"))
    try:
        apply(running, COHORTS)
        yield running
    finally:
        running.process.terminate()
        running.process.wait(END_S_MAX)


def apply(up: Up, cohorts: list[dict[str, Any]]) -> None:
    file = up.folder / "cohorts.json"
    file.write_text(json.dumps({"cohorts": cohorts, "flags": [FLAG]}))
    done = up.muster("apply", str(file))
    assert done.returncode == 0, done.stderr


def tell(up: Up, person: str, **said: Any) -> None:
    event = {"event": "seen", "person_id": person, "timestamp": datetime.now(UTC).isoformat(), "properties": said}
    file = up.folder / "events.jsonl"
    file.write_text(json.dumps(event) + "\n")
    assert up.answer("send", str(file))["sent"] == 1


def edit(up: Up) -> None:
    """The list has others from here on."""
    apply(up, [{**each, "members": ["ann", "dan"]} if each["key"] == "vips" else each for each in COHORTS])
    eventually(lambda: members(up, "vips") == {"ann", "dan"})


def members(up: Up, cohort: str) -> set[str] | None:
    """None while its first version is being built: that is said, and nobody is told to be no member."""
    done = up.muster("who", cohort, "--json")
    if done.returncode:
        assert "is still being built" in done.stderr
        return None
    return set(json.loads(done.stdout)["ids"])


def test_what_an_event_sets_turns_a_cohort_on_and_an_unset_turns_it_off(up: Up) -> None:
    tell(up, "ann", **{"$set": {"plan": "pro", "city": "Rome"}})
    eventually(lambda: members(up, "pro") == {"ann"})
    eventually(lambda: members(up, "vips-to-win") == {"bob", "zoe"})
    found = up.answer("person", "ann")
    assert set(found["record"]["registers"]) >= {"plan"}
    assert "city" not in found["record"]["registers"], "no definition names it"
    eventually(lambda: status(up, "ann", "pro") == "OK")
    tell(up, "ann", **{"$unset": ["plan"]})
    eventually(lambda: members(up, "pro") == set())
    eventually(lambda: members(up, "vips-to-win") == {"ann", "bob", "zoe"})


def test_a_relative_date_flips_by_time_alone(up: Up) -> None:
    began = datetime.now(UTC)
    tell(up, "cyd", **{"$set": {"began": began.isoformat(timespec="milliseconds").replace("+00:00", "Z")}})
    eventually(lambda: members(up, "trying") == {"cyd"})
    assert datetime.now(UTC) < began + timedelta(seconds=TRIAL_S), "too slow to see her in it"
    eventually(lambda: members(up, "trying") == set())
    assert datetime.now(UTC) >= began + timedelta(seconds=TRIAL_S)
    told = up.muster("watch", "--from-start", "--cohort", "trying", "--limit", "2", "--json").stdout.splitlines()
    assert [(each["status"], each["cause"]) for each in map(json.loads, told)] == [
        ("entered", "event"),
        ("left", "timer"),
    ]


def test_the_past_of_a_person_and_of_a_cohort_is_told_out_of_clickhouse(up: Up) -> None:
    tell(up, "eva", **{"$set": {"plan": "pro"}})
    eventually(lambda: "eva" in (members(up, "pro") or ()))
    tell(up, "eva", **{"$unset": ["plan"]})
    eventually(lambda: any(each["left"] for each in stays(up, "eva")))
    (stay,) = stays(up, "eva")
    assert (stay["cohort"], stay["entered"]["cause"], stay["left"]["cause"]) == ("pro", "event", "event")
    for at, there in ((stay["entered"]["at"], True), (stay["left"]["at"], False)):
        then = up.answer("who", "pro", "--at", at)
        assert ("eva" in then["ids"], then["stored"]) == (there, len(then["ids"]))
        (size,) = up.answer("sizes", "pro", "--since", at, "--until", at)["sizes"]
        assert size == {"at": at, "stored": then["stored"]}
    assert stays(up, "eva", "--cohort", "vips") == []
    assert "pro" in up.muster("history", "eva").stdout
    assert "in it" in up.muster("sizes", "pro", "--every", "10d").stdout
    assert "nothing was told" in up.muster("history", "nobody").stdout
    for wrong, said in [
        (("who", "pro", "--at", "1999-12-31"), "changes begin at"),
        (("who", "pro", "--at", "2999-12-31"), "is still to come"),
        (("who", "pro", "--at", "2026-01-12", "--cursor", "1"), "raise --limit instead"),
        (("sizes", "pro", "--every", "1s"), "lengthen --every"),
        (("sizes", "pro", "--every", "0s"), "leads nowhere"),
    ]:
        assert said in up.muster(*wrong).stderr.replace("\n", " ")


def stays(up: Up, person: str, *more: str) -> list[dict[str, Any]]:
    """None, too, while no change at all is written down."""
    done = up.muster("history", person, *more, "--json")
    found: list[dict[str, Any]] = json.loads(done.stdout)["stays"] if done.returncode == 0 else []
    return found


def test_a_list_answers_as_soon_as_it_is_whole_and_an_edit_of_it_at_once(up: Up) -> None:
    eventually(lambda: members(up, "vips") == {"ann", "bob", "zoe"})
    told = up.muster("watch", "--from-start", "--cohort", "vips", "--limit", "3", "--json").stdout.splitlines()
    assert {(each["person_id"], each["status"]) for each in map(json.loads, told)} == {
        (person, "entered") for person in ("ann", "bob", "zoe")
    }
    edit(up)
    eventually(lambda: members(up, "vips-to-win") == {"ann", "dan"})
    told = up.muster("watch", "--from-start", "--cohort", "vips", "--limit", "6", "--json").stdout.splitlines()
    assert sorted((each["person_id"], each["status"]) for each in map(json.loads, told)) == [
        ("ann", "entered"),
        ("bob", "entered"),
        ("bob", "left"),
        ("dan", "entered"),
        ("zoe", "entered"),
        ("zoe", "left"),
    ]


# The last one here, since it ends the installation that the others share.
@pytest.mark.slow
def test_lists_and_properties_outlive_a_restart_that_loses_the_broker(up: Up) -> None:
    edit(up)
    tell(up, "dan", **{"$set": {"plan": "pro"}})
    eventually(lambda: members(up, "pro") == {"dan"})
    up.process.terminate()
    up.process.wait(END_S_MAX)
    second = start(up.folder)
    up.process, up.addresses = second.process, second.addresses
    eventually(lambda: len(up.answer("status")["cohorts"]) == len(COHORTS))
    assert (members(up, "vips"), members(up, "pro")) == ({"ann", "dan"}, {"dan"})
    both = {"all": [{"kind": "in_cohort", "cohort": "vips"}, {"kind": "in_cohort", "cohort": "pro"}]}
    # The file does not have the list, which the new broker's topic has from its copy.
    apply(up, [{"key": "vip-and-pro", "when": both}])
    eventually(lambda: members(up, "vip-and-pro") == {"dan"})
    assert _is_stable(up)


def _is_stable(up: Up) -> bool:
    """A while later the list is still the same: control sent it again to a broker that knows nothing of it."""
    until = time.monotonic() + min(DEADLINE_S, 3)
    while time.monotonic() < until:
        assert members(up, "vips") == {"ann", "dan"}
        time.sleep(0.2)
    return True
