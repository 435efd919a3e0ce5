"""The example shop as it is shipped: the log, its definitions, and the SQL that they are compared with."""

import csv
import gzip
import json
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cohort_store.clickhouse.client import connect
from cohort_store.compiling import assign
from cohort_store.conditions import kinds
from cohort_store.conditions.condition import EventSelection
from cohort_store.conditions.count import CountDefinition
from cohort_store.definition_files import Definitions, check_whole, read_definitions
from cohort_store.definition_text import DefinitionText
from cohort_store.definitions import leaves_of
from cohort_store.durations import parse_instant_ms
from cohort_store.plans import BoundRegister, TeamPlan, compile_plan
from cohort_store.registry import Registry
from cohort_store.timelines import tag_of
from processors.clickhouse.events import TABLE
from processors.demo.history import write_history
from processors.demo.log import COHORTS, EVENTS, FLAGS, SHOP, EventLog, load_log, moved_definitions
from processors.demo.reference import ARTICLE_FROM, ARTICLE_TO, KNOWN, Reference
from processors.demo.scenario import EDITED_COHORT, INSTANTS, edited, history_of
from tests.services.fixtures import ClickHouse

END_MS = parse_instant_ms("2026-11-23T12:00:00Z")
NAMESPACE = uuid.UUID("37122776-7c2d-519d-8046-e68df2f3ac6c")
ORIGINAL = (
    "person_id",
    "session_id",
    "event",
    "timestamp",
    "platform",
    "acquisition_channel",
    "user_cohort",
    "user_lifecycle",
)
DAY_MS = 86_400_000


LISTED = {"user_0539", "user_0055", "user_0428", "user_0464", "user_0146"}
"""The one list's members."""


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with gzip.open(EVENTS, "rt", newline="") as source:
        return list(csv.DictReader(source))


@pytest.fixture(scope="module")
def log() -> EventLog:
    return load_log(EVENTS, END_MS)


@pytest.fixture(scope="module")
def definitions() -> Definitions:
    return read_definitions([DefinitionText(str(path), path.read_bytes()) for path in (COHORTS, FLAGS)])


def test_the_log_is_whole_sorted_and_known_by_its_own_columns(rows: list[dict[str, str]]) -> None:
    assert len(rows) == 31_106
    assert len({row["person_id"] for row in rows}) == 600
    assert len({row["event"] for row in rows}) == 19
    times = [row["timestamp"] for row in rows]
    assert times == sorted(times)


def test_equal_rows_are_kept_and_share_one_uuid(rows: list[dict[str, str]]) -> None:
    happenings = Counter(tuple(row[column] for column in ORIGINAL) for row in rows)
    assert sum(count - 1 for count in happenings.values()) == 30
    assert len({row["uuid"] for row in rows}) == len(happenings) == 31_076


def test_a_uuid_follows_from_its_row_as_the_readme_says(rows: list[dict[str, str]]) -> None:
    assert str(NAMESPACE) in (SHOP / "README.md").read_text()
    for row in rows[:: len(rows) // 50]:
        original = dict(row, timestamp=row["timestamp"].replace("T", " ").removesuffix("Z"))
        assert row["uuid"] == str(uuid.uuid5(NAMESPACE, ",".join(original[column] for column in ORIGINAL)))


def test_origin_version_and_licence_stand_beside_the_log() -> None:
    notice = (SHOP / "NOTICE").read_text()
    for words in ("retentioneering 5.2.4", "ecom.csv.gz", "Apache License", "TERMS AND CONDITIONS"):
        assert words in notice


def test_the_shipped_definitions_are_accepted_as_a_whole(definitions: Definitions) -> None:
    check_whole(definitions, {})
    assert len(definitions.cohorts) == 23
    assert len(definitions.flags) == 5


def test_the_cohorts_show_every_count_operator_and_way_to_select(definitions: Definitions) -> None:
    leaves = [leaf for cohort in definitions.cohorts.values() for leaf in leaves_of(cohort.when)]
    assert {leaf.op for leaf in leaves if isinstance(leaf, CountDefinition)} == {"gte", "gt", "lte", "lt", "eq", "ne"}
    selections = [leaf for leaf in leaves if isinstance(leaf, EventSelection)]
    assert any(leaf.any_of for leaf in selections)
    tests = [test for leaf in selections for test in leaf.where]
    tests += [test for leaf in selections for each in leaf.any_of for test in each.where]
    assert {"exact", "is_not", "icontains", "not_icontains", "gt", "lte", "is_set", "is_not_set"} <= {
        t.op for t in tests
    }
    # No event of the log says anything of its person.
    untold = {"person_property"}
    assert {leaf.kind for leaf in leaves} == {*(kind.kind_name() for kind in kinds()), "in_cohort"} - untold


def test_the_flags_show_both_cohort_operators_rollout_variants_and_policies(definitions: Definitions) -> None:
    flags = list(definitions.flags.values())
    groups = [group for flag in flags for group in flag.filters.groups]
    assert {"in", "not_in"} <= {each.operator for group in groups for each in group.properties if each.type == "cohort"}
    assert any(group.rollout_percentage not in (None, 100) for group in groups)
    assert any(flag.filters.variants for flag in flags)
    assert len({str(flag.muster.on_unavailable) for flag in flags}) > 1


def test_a_moved_log_ends_at_the_instant_and_keeps_its_distances(log: EventLog, rows: list[dict[str, str]]) -> None:
    assert log.last_ms == END_MS
    assert log.last_ms - log.first_ms == parse_instant_ms(rows[-1]["timestamp"]) - parse_instant_ms(
        rows[0]["timestamp"]
    )
    assert log.moved(rows[0]["timestamp"]) == log.first_ms
    assert json.loads(log.events[-1].raw)["uuid"] == rows[-1]["uuid"]


def test_absolute_bounds_move_with_the_log_and_nothing_else_does() -> None:
    plain, moved = moved_definitions(COHORTS, 0), moved_definitions(COHORTS, DAY_MS)
    found: list[tuple[str, str]] = []

    def walk(before: Any, after: Any) -> None:
        if isinstance(before, dict):
            assert before.keys() == after.keys()
            for key in before:
                if key in ("since", "until"):
                    found.append((before[key], after[key]))
                else:
                    walk(before[key], after[key])
        elif isinstance(before, list):
            for each, other in zip(before, after, strict=True):
                walk(each, other)
        else:
            assert before == after

    walk(plain, moved)
    assert ("2024-02-29T00:00:00.000Z", "2024-03-01T00:00:00.000Z") in found
    assert len(found) == 4


def _moved_plan(log: EventLog, folder: Path, change: Callable[[Any], Any] = lambda value: value) -> TeamPlan:
    path = folder / "shop.json"
    path.write_text(json.dumps(change(moved_definitions(COHORTS, log.shift_ms))))
    cohorts = read_definitions([DefinitionText(str(path), path.read_bytes())]).cohorts
    return compile_plan(assign(Registry(), list(cohorts.values()), {}, applied="", now=0)).team(1)


def _by_conditions(log: EventLog, plan: TeamPlan, now: int) -> dict[str, frozenset[str]]:
    """Each cohort's members, asked of the conditions over whole histories."""
    histories: dict[str, dict[int, set[tuple[int, ...]]]] = {}
    for time_ms, person, raw in log.events[: log.until(now)]:
        event = json.loads(raw)
        timelines = histories.setdefault(person, {})
        for handle, selector in plan.selectors.items():
            if selector.holds(event["event"], event["properties"]):
                entry = (time_ms, tag_of(event["uuid"]))
                value = None if selector.value is None else selector.value.of(event["properties"])
                timelines.setdefault(handle, set()).add(entry if value is None else (*entry, value))

    def holds(person: str, timelines: dict[int, set[tuple[int, ...]]], index: int) -> bool:
        bound = plan.conditions[index]
        if isinstance(bound, BoundRegister):
            return bound.condition.holds((1, "true") if person in LISTED else None, now)
        return bound.condition.holds(tuple(tuple(sorted(timelines.get(h, ()))) for h in bound.selectors), now)

    return {
        cohort.key: frozenset(
            person
            for person, lines in histories.items()
            if cohort.verdict(lambda index, person=person, lines=lines: holds(person, lines, index))  # type: ignore[misc]
        )
        for cohort in plan.cohorts
    }


async def test_hand_written_sql_and_the_definitions_agree_on_every_cohort_of_the_log(
    clickhouse: ClickHouse, log: EventLog, tmp_path: Path
) -> None:
    client = await connect(f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}")
    try:
        await client.command(
            "CREATE TABLE events (team_id UInt32, event String, uuid UUID, person_id String, "
            "timestamp DateTime64(3, 'UTC'), properties String) ENGINE = Memory"
        )
        rows = "\n".join(json.dumps(_row(each.raw)) for each in log.events).encode()
        await client.raw_insert(
            "events", insert_block=rows, fmt="JSONEachRow", settings={"date_time_input_format": "best_effort"}
        )
        reference = Reference(client, (log.moved(ARTICLE_FROM), log.moved(ARTICLE_TO)))
        plan = _moved_plan(log, tmp_path)
        seen: set[str] = set()
        for instant in log.instants(INSTANTS)[5::6]:
            expected = await reference.members(instant)
            expected.pop(KNOWN)
            assert _by_conditions(log, plan, instant) == expected
            seen |= {cohort for cohort, members in expected.items() if members}
        assert len(seen) >= 12
        afterwards = await reference.members(log.last_ms, edited=True)
        afterwards.pop(KNOWN)
        assert _by_conditions(log, _moved_plan(log, tmp_path, edited), log.last_ms) == afterwards
        assert afterwards[EDITED_COHORT] != (await reference.members(log.last_ms))[EDITED_COHORT]
    finally:
        await client.close()


def _row(raw: bytes) -> dict[str, Any]:
    event = json.loads(raw)
    return {**event, "team_id": 1, "properties": json.dumps(event["properties"])}


async def test_the_history_is_in_the_archives_table_once_however_often_it_is_written(
    clickhouse: ClickHouse, log: EventLog
) -> None:
    url = f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}"
    history = log.events[: history_of(log)]
    await write_history(url, history)
    await write_history(url, history)
    client = await connect(url)
    try:
        found = await client.query(f"SELECT count(), uniqExact(uuid) FROM {TABLE} FINAL")
        assert found.result_rows == [(len(history), len({json.loads(each.raw)["uuid"] for each in history}))]
    finally:
        await client.close()
