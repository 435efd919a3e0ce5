"""`muster members` on random logs, beside the brute-force oracle."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.strategies import LAST, START, Cohorts, cohort_sets, histories, iso
from tests.examples import lots_of
from tests.offline.commands import cohorts_file, command, jsonl
from tests.oracle.membership import Event, members_at

PERSONS = ("ann", "bob", "cyd")
DEVICES = ("d1", "d2", "ann")
_whose = st.tuples(st.sampled_from((None, *PERSONS)), st.sampled_from((None, *DEVICES))).filter(any)


class Line(dict[str, Any]):
    """An event as a file has it."""


@st.composite
def logs(draw: st.DrawFn) -> list[Line]:
    """Events of a few persons, some by a distinct id only; the same event twice where a uuid comes back."""
    lines = []
    for event in draw(histories(max_size=12)):
        person, device = draw(_whose)
        ids = {"person_id": person, "distinct_id": device}
        line = Line(uuid=_uuid(event), event=event.event, timestamp=event.time_ms, properties=dict(event.properties))
        line.update({name: value for name, value in ids.items() if value is not None})
        lines += [line] * (1 + event.time_ms % 2)
    return lines


def _uuid(event: Event) -> str:
    return f"00000000-0000-0000-0000-{int(event.uuid[1:]):012}"


def _person_of(line: Line, log: list[Line], now: int) -> str:
    """Whose event it is, by the rule for distinct ids, read word by word."""
    if "person_id" in line:
        return str(line["person_id"])
    pairs = [
        (other["timestamp"], other["person_id"])
        for other in log
        if other.get("distinct_id") == line["distinct_id"] and "person_id" in other and other["timestamp"] <= now
    ]
    return str(max(pairs)[1] if pairs else line["distinct_id"])


def expected(cohorts: Cohorts, log: list[Line], persons: list[str], now: int) -> dict[str, list[str]]:
    """Who is in which cohort. What is dated later than now, what it says of persons included, does not count yet."""
    histories: dict[str, list[Event]] = {person: [] for person in persons}
    for line in log:
        event = Event(line["uuid"], line["event"], line["timestamp"], line["properties"])
        histories.setdefault(_person_of(line, log, now), []).append(event)
    members: dict[str, list[str]] = {cohort["key"]: [] for cohort in cohorts}
    for person, events in sorted(histories.items()):
        for key, is_member in members_at(cohorts, [event for event in events if event.time_ms <= now], now).items():
            if is_member:
                members[key].append(person)
    return members


@pytest.mark.slow
@lots_of(len(PERSONS))
@given(
    cohort_sets(),
    logs(),
    st.integers(START - 2, START + 2 * LAST),
    st.lists(st.sampled_from((*PERSONS, "eve"))),
)
def test_members_of_a_log_are_those_of_the_oracle(
    cohorts: Cohorts, log: list[Line], now: int, persons: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ran = command(
            "members",
            "--definitions",
            cohorts_file(Path(folder, "cohorts.json"), cohorts),
            "--events",
            jsonl(Path(folder, "events.jsonl"), log),
            "--persons",
            jsonl(Path(folder, "persons.jsonl"), [{"person_id": person} for person in persons]),
            "--now",
            iso(now),
            "--strict",
            "--json",
        )
    assert ran.json == expected(cohorts, log, persons, now)
