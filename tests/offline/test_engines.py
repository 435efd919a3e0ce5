"""The two engines of `muster members` must agree: on random logs, and on the example shop's at every instant."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohort_store.durations import format_instant, parse_instant_ms
from processors.demo.log import COHORTS, EVENTS, FLAGS
from tests.domain.strategies import LAST, START, Cohorts, cohort_sets, iso
from tests.offline.commands import cohorts_file, command, jsonl
from tests.offline.test_members_against_oracle import PERSONS, Line, expected, logs

FIRST_MS, LAST_MS = parse_instant_ms("2024-01-04T11:45:38Z"), parse_instant_ms("2024-06-29T22:02:40Z")
INSTANTS, EXAMPLES = (50, 2_000) if os.environ.get("MUSTER_TEST_PROFILE") == "long" else (3, 30)


def members(engine: str, now: int) -> Any:
    return command(
        *("members", "--definitions", COHORTS, FLAGS, "--events", EVENTS, "--engine", engine),
        *("--now", format_instant(now), "--strict", "--json"),
    ).json


@pytest.mark.fault
@pytest.mark.parametrize("number", range(1, INSTANTS + 1))
def test_both_engines_name_the_same_members_of_the_shops_cohorts(number: int) -> None:
    now = FIRST_MS + (LAST_MS - FIRST_MS) * number // INSTANTS
    found = members("clickhouse", now)
    assert json.dumps(found) == json.dumps(members("timelines", now))
    assert any(found.values())


@settings(max_examples=EXAMPLES)
@given(cohort_sets(), logs(), st.integers(START - 2, START + 2 * LAST), st.lists(st.sampled_from((*PERSONS, "eve"))))
def test_members_by_sql_of_any_log_are_those_of_the_oracle(
    cohorts: Cohorts, log: list[Line], now: int, persons: list[str]
) -> None:
    """Through the whole command, so fewer examples: that the SQL means the same, tests/translation shows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ran = command(
            *("members", "--definitions", cohorts_file(folder / "cohorts.json", cohorts)),
            *("--events", jsonl(folder / "events.jsonl", log)),
            *("--persons", jsonl(folder / "persons.jsonl", [{"person_id": person} for person in persons])),
            *("--engine", "clickhouse", "--now", iso(now), "--strict", "--json"),
        )
    assert ran.json == expected(cohorts, log, persons, now)
