"""Other tables than the archive's: the same members as of the same events in files, whatever the table looks like."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohort_store.definitions import parse_tree
from cohort_store.deltas import Delta, DeltaEntry, RegisterWrite
from cohort_store.errors import BadEvent
from cohort_store.history_tables import HistoryTables
from cohort_store.person_updates import state_of
from cohort_store.plans import compile_plan, conditions_of
from cohort_store.records import Register, register_wins
from processors.clickhouse.event_owners import begins, owned, pairs, persons_count, stated
from processors.clickhouse.history_source import ARCHIVE, HistorySource, mapped_source, posthog_source
from processors.clickhouse.translation.statements import memberships, reduction
from processors.clickhouse.translation.timelines import Bound
from processors.codecs.event import Limits
from processors.codecs.posthog_person import PostHogPersonCodec
from processors.embedded.chdb_memory import Memory
from tests.domain.roll import SOMEBODY, registry_of
from tests.domain.strategies import HORIZON, START, Cohorts, cohort_sets, histories
from tests.oracle.membership import Event, members_at
from tests.translation.tables import (
    NOBODY,
    OWN,
    OWN_PERSONS,
    OWN_TABLE,
    POSTHOG,
    POSTHOG_TABLES,
    fresh,
    own_states,
    own_tables,
    posthog_event,
    statements,
)
from tests.translation.test_equivalence import folded, verdicts

FOLDER = Path(__file__).with_name("golden") / "history"
PEOPLE = 4
EXAMPLES = 20
"""Each is two tables loaded and four statements: what differs from the archive's is the tables alone."""
TREE = {
    "all": [
        {"kind": "count", "event": "purchase", "n": 3, "within": "7d"},
        {"kind": "person_property", "property": "plan", "value": "pro"},
    ]
}
GOLDEN = {
    "muster": ARCHIVE,
    "posthog": posthog_source(HistoryTables(layout="posthog"), "shop", tells_states=False),
    "posthog_states": posthog_source(HistoryTables(layout="posthog", table="ph.events"), "shop", tells_states=True),
    "mapped": mapped_source(own_states(), "shop"),
}


def all_of(source: HistorySource) -> str:
    """Every statement that is made with a source."""
    tree = parse_tree(TREE)
    bound = Bound.numbered(conditions_of(tree))
    kept = reduction(bound.conditions, bound.selectors, owned(source), ["plan"], source.states)
    who = memberships({"c": tree}, owned(source), stated(source), states=source.states)
    return statements(begins(source), persons_count(source), pairs(source), kept, who)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_statements_over_a_history_are_these(name: str) -> None:
    """Written anew, after a change that is meant, by `python -m tests.translation.test_history_tables`."""
    assert all_of(GOLDEN[name]) == (FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def person(number: int) -> str:
    return f"00000000-0000-4000-9000-{number + 1:012}"


def with_uuid(event: Event) -> Event:
    """One that no other event has: PostHog's table keeps one event of a uuid a day."""
    return event._replace(uuid=f"00000000-0000-4000-800{event.uuid[1:]}-{event.time_ms % 10**12:012}")


def load_posthog(memory: Memory, people: Sequence[Sequence[Event]]) -> HistorySource:
    """Events of even persons were another's, or nobody's, and were overridden; those of odd ones were so no longer."""
    fresh(memory.command, POSTHOG_TABLES, *POSTHOG)
    events, overrides = [], []
    for number, history in enumerate(people):
        named = [person(number)] if number % 2 else [person(number), person(99), NOBODY]
        for place, event in enumerate(history):
            events.append(
                posthog_event(
                    uuid=event.uuid,
                    event=event.event,
                    properties=json.dumps(event.properties),
                    time_ms=event.time_ms,
                    distinct_id=f"d{number}",
                    person_id=named[place % len(named)],
                )
            )
        now = (3, person(98), 1) if number % 2 else (3, person(number), 0)
        for version, owner, is_deleted in ((2, person(97), 0), now, (1, person(96), 0)):
            row = {"team_id": 1, "distinct_id": f"d{number}", "person_id": owner, "version": version}
            overrides.append({**row, "is_deleted": is_deleted})
    memory.insert("events", [*events, *({**each, "team_id": 2, "person_id": person(0)} for each in events)])
    memory.insert("person_distinct_id_overrides", overrides)
    return posthog_source(HistoryTables(layout="posthog"), memory._database, tells_states=False)


def load_own(memory: Memory, people: Sequence[Sequence[Event]]) -> HistorySource:
    """Beside rows that the filter leaves out, and a team that nobody asks about."""
    fresh(memory.command, [OWN_TABLE], OWN)
    rows = []
    for number, history in enumerate(people):
        for place, event in enumerate(history):
            at = datetime.fromtimestamp(event.time_ms // 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
            row: dict[str, Any] = {
                "tenant": "t1",
                "what": event.event.upper(),
                "who": None if place % 3 == 2 else person(number),
                "device": f"d{number}" if place % 3 else None,
                "timestamp": f"{at}.{event.time_ms % 1_000:03}",
                "id": event.uuid,
                "payload": {},
                "text": json.dumps(event.properties) if event.properties else None,
                "kind": "track",
            }
            rows += [row, {**row, "kind": "debug", "what": "A"}, {**row, "tenant": "t2", "who": person(0)}]
            rows.append({**row, "tenant": "t1", "who": None, "device": None})
        rows.append({**_pairing(number), "kind": "track"})
    memory.insert(f"`{OWN_TABLE}`", rows)
    return mapped_source(own_tables(), memory._database)


def _pairing(number: int) -> dict[str, Any]:
    """Names the person of a distinct id, by an event that no cohort asks about, before all others."""
    return {
        "tenant": "t1",
        "what": "paired",
        "who": person(number),
        "device": f"d{number}",
        "timestamp": "2001-01-01 00:00:00",
        "id": "p",
        "payload": {},
        "text": None,
    }


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(
    cohort_sets(personal=False),
    st.lists(histories(), min_size=PEOPLE, max_size=PEOPLE),
    st.integers(START - 1, HORIZON),
)
def test_cohorts_have_the_oracles_members_by_posthogs_tables_and_by_an_own_one(
    memory: Memory, cohorts: Cohorts, people: list[list[Event]], now: int
) -> None:
    people = [[with_uuid(event) for event in events] for events in people]
    expected = [members_at(cohorts, events, now) for events in people]
    assert of_history(memory, load_posthog(memory, people), cohorts, now) == expected
    if not any(each.event == "any" for cohort in cohorts for each in _selections(cohort["when"])):
        assert of_history(memory, load_own(memory, people), cohorts, now) == expected


class _Selection(msgspec.Struct):
    event: str = ""


def _selections(node: Any) -> Iterator[_Selection]:
    """Every object of a definition that names an event."""
    if isinstance(node, dict):
        if "event" in node:
            yield _Selection(node["event"])
        for inner in node.values():
            yield from _selections(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _selections(inner)


def of_history(memory: Memory, source: HistorySource, cohorts: Cohorts, now: int) -> list[dict[str, bool]]:
    """Who is in which cohort by SQL alone, which must be the same as by what SQL keeps."""
    registry = registry_of(cohorts)
    plan = compile_plan(registry).team(1)
    ids = [person(number) for number in range(PEOPLE)]
    asked = {"now": now, "team": 1}
    trees = {cohort.key: parse_tree(cohort.versions[-1].when) for cohort in registry.team(1).cohorts}
    sql = memberships(trees, owned(source), f"SELECT arrayJoin({ids}) AS person_id")
    found = {(key, who) for key, who in memory.query(sql, asked)}
    kept = dict.fromkeys(ids, Delta(SOMEBODY))
    for who, entries, writes in memory.query(
        reduction(plan.conditions, plan.selectors, owned(source), plan.person_properties), asked
    ):
        assert who in kept, "an overridden person has no event of her own"
        kept[who] = Delta(
            SOMEBODY, tuple(DeltaEntry(*each) for each in entries), tuple(RegisterWrite(*each) for each in writes)
        )
    rolls = [{cohort["key"]: (cohort["key"], who) in found for cohort in cohorts} for who in ids]
    assert [verdicts(folded(delta, plan, now), plan, now) for delta in kept.values()] == rolls
    return rolls


NAMES = ("plan", "city", "created_at")
PROPERTIES = ("{}", "", '{"plan":"pro"}', '{"plan":null,"city":[1,"x"]}', '{"city":"' + "x" * 1_100 + '"}', "[1]", "{")
states = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(PROPERTIES), st.booleans(), st.sampled_from([START, START + 1])),
    max_size=5,
    unique_by=lambda state: state[0],
)


@settings(max_examples=EXAMPLES)
@given(st.lists(states, min_size=3, max_size=3))
def test_states_of_persons_come_to_the_registers_that_the_topics_messages_come_to(
    memory: Memory, people: list[list[tuple[int, str, bool, int]]]
) -> None:
    # Each version stays, as it does until ClickHouse merges the parts.
    memory.command("DROP TABLE IF EXISTS person SYNC")
    memory.command(POSTHOG[2].replace("ReplacingMergeTree(version)", "MergeTree"))
    memory.command(POSTHOG[0].replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"))
    rows = [
        {
            "id": person(number),
            "team_id": 1,
            "version": version,
            "properties": properties,
            "is_deleted": int(is_deleted),
            "created_at": f"{created // 1_000}.{created % 1_000:03}",
        }
        for number, versions in enumerate(people)
        for version, properties, is_deleted, created in versions
    ]
    memory.insert("person", rows)
    source = posthog_source(HistoryTables(layout="posthog"), memory._database, tells_states=True)
    found = {
        who: {name: (version, msgspec.json.decode(value)) for name, version, value in registers}
        for who, _, registers in memory.query(
            reduction((), {}, owned(source), NAMES, source.states), {"now": START, "team": 1}
        )
    }
    expected = {person(number): live_registers(person(number), versions) for number, versions in enumerate(people)}
    assert found == {who: registers for who, registers in expected.items() if registers}


def live_registers(who: str, versions: Sequence[tuple[int, str, bool, int]]) -> dict[str, tuple[int, Any]]:
    """What a router makes of the same states as messages."""
    codec, found = PostHogPersonCodec(Limits()), dict[str, Register]()
    for version, properties, is_deleted, created in versions:
        at = datetime.fromtimestamp(created // 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        message = {"id": who, "team_id": 1, "version": version, "properties": properties, "is_deleted": is_deleted}
        try:
            state = codec.decode(json.dumps(message | {"created_at": f"{at}.{created % 1_000:03}"}).encode())
        except BadEvent:
            continue
        for name, number, value in state_of(state.properties, state.version, NAMES).writes:
            if register_wins((number, value), found.get(name)):
                found[name] = (number, value)
    return {name: (number, msgspec.json.decode(value)) for name, (number, value) in found.items()}


def test_merged_or_not_a_persons_newest_state_counts_and_one_that_is_gone_is_not_known(memory: Memory) -> None:
    memory.command("DROP TABLE IF EXISTS person SYNC")
    fresh(memory.command, POSTHOG_TABLES, *POSTHOG)
    for number, version, plan, is_deleted in ((0, 1, "free", 0), (0, 2, "pro", 0), (1, 1, "pro", 0), (1, 101, "", 1)):
        state = {"id": person(number), "team_id": 1, "version": version, "is_deleted": is_deleted}
        memory.insert("person", [{**state, "properties": f'{{"plan":"{plan}"}}', "created_at": "2024-01-01 00:00:00"}])
    source = posthog_source(HistoryTables(layout="posthog"), memory._database, tells_states=True)
    when = parse_tree({"kind": "person_property", "property": "plan", "value": "pro"})
    sql = memberships({"c": when}, owned(source), stated(source), states=source.states)
    kept = reduction((), {}, owned(source), ("plan",), source.states)
    for merge in ("SELECT 1", "OPTIMIZE TABLE person FINAL"):
        memory.command(merge)
        asked = {"now": START, "team": 1}
        assert memory.query(sql, asked) == [["c", person(0)]]
        assert memory.query(stated(source), {"team": 1}) == [[person(0)]]
        assert {(who, writes[0][2]) for who, _, writes in memory.query(kept, asked)} == {
            (person(0), '"pro"'),
            (person(1), "null"),
        }


def test_events_say_nothing_of_persons_where_states_do(memory: Memory) -> None:
    fresh(memory.command, [OWN_TABLE, "persons"], OWN, OWN_PERSONS)
    said = {**_pairing(0), "text": '{"$set":{"plan":"free","city":"Rome"}}', "kind": "track"}
    memory.insert(f"`{OWN_TABLE}`", [said])
    memory.insert("persons", [{"account": 1, "id": person(0), "attributes": '{"plan":"pro"}', "updated": 0}])
    for tables, registers in ((own_tables(), {"plan": '"free"', "city": '"Rome"'}), (own_states(), {"plan": '"pro"'})):
        source = mapped_source(tables, memory._database)
        sql = reduction((), {}, owned(source), ("plan", "city"), source.states)
        ((_, _, writes),) = memory.query(sql, {"now": START, "team": 1})
        assert {name: value for name, _, value in writes} == registers


if __name__ == "__main__":
    for title, described in GOLDEN.items():
        (FOLDER / f"{title}.sql").write_text(all_of(described), encoding="utf-8")
