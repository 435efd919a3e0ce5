"""Four routes to the same members: all events folded, what SQL keeps of them folded, SQL alone, and the oracle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cohort_store.definitions import parse_tree
from cohort_store.deltas import Delta, DeltaEntry, RegisterWrite
from cohort_store.folding import Folded, ask_at, fold
from cohort_store.plans import TeamPlan, compile_plan
from cohort_store.records import EMPTY, Record, Register
from processors.clickhouse.translation.sources import EVENTS_SQL, events_of
from processors.clickhouse.translation.statements import memberships, reduction
from processors.embedded.chdb_memory import Memory
from tests.domain.roll import SOMEBODY, delta_of, registry_of
from tests.domain.strategies import HORIZON, START, Cohorts, cohort_sets, histories
from tests.examples import lots_of
from tests.oracle.membership import Event, members_at

Histories = Sequence[Sequence[Event]]
Rolls = list[dict[str, bool]]
"""For each person, in order, whether she is in each cohort."""

SOURCE = events_of("log")
PEOPLE = 8
crowds = st.lists(histories(), min_size=PEOPLE, max_size=PEOPLE)


class Asked(NamedTuple):
    """Cohorts, compiled once."""

    cohorts: Cohorts
    plan: TeamPlan
    reduction: str
    memberships: str


def asked(cohorts: Cohorts) -> Asked:
    registry = registry_of(cohorts)
    plan = compile_plan(registry).team(1)
    trees = {cohort.key: parse_tree(cohort.versions[-1].when) for cohort in registry.team(1).cohorts}
    persons = "SELECT toString(number) AS person_id FROM numbers({persons:UInt32})"
    return Asked(
        cohorts,
        plan,
        reduction(plan.conditions, plan.selectors, SOURCE, plan.person_properties),
        memberships(trees, SOURCE, persons),
    )


def load(memory: Memory, people: Histories) -> None:
    """Each history is a person's, whose id is its place."""
    memory.command("DROP TABLE IF EXISTS log")
    memory.command(EVENTS_SQL.format(table="log"))
    memory.insert("log", chain.from_iterable(map(rows_of, map(str, range(len(people))), people)))


def rows_of(person: str, events: Sequence[Event]) -> Iterator[Mapping[str, Any]]:
    for event in events:
        yield {
            "person_id": person,
            "event": event.event,
            "uuid": event.uuid,
            "time_ms": event.time_ms,
            "properties": msgspec.json.encode(event.properties).decode(),
        }


def reduced(memory: Memory, what: Asked, count: int, now: int) -> list[Delta]:
    """What SQL keeps of each person."""
    found = [Delta(SOMEBODY)] * count
    for person, entries, writes in memory.query(what.reduction, {"now": now}):
        kept = Delta(SOMEBODY, tuple(DeltaEntry(*each) for each in entries), tuple(RegisterWrite(*e) for e in writes))
        assert found[int(person)] == Delta(SOMEBODY), "one row a person"
        assert kept != Delta(SOMEBODY), "and none of whom there is nothing"
        found[int(person)] = kept
    return found


def folded(delta: Delta, plan: TeamPlan, now: int) -> Record:
    outcome = fold(EMPTY, [delta], plan, now)
    return outcome.record if isinstance(outcome, Folded) else EMPTY


def verdicts(record: Record, plan: TeamPlan, now: int) -> dict[str, bool | None]:
    ask = ask_at(record, plan, now)
    return {cohort.key: cohort.verdict(ask) for cohort in plan.cohorts}


def by_sql(memory: Memory, what: Asked, count: int, now: int) -> Rolls:
    rolls: Rolls = [{cohort["key"]: False for cohort in what.cohorts} for _ in range(count)]
    for key, person in memory.query(what.memberships, {"now": now, "persons": count}):
        assert rolls[int(person)][key] is False
        rolls[int(person)][key] = True
    return rolls


@lots_of(PEOPLE)
@given(cohort_sets(personal=False), crowds, st.integers(START - 1, HORIZON))
def test_conditions_reduction_and_sql_alone_agree_with_the_oracle(
    memory: Memory, cohorts: Cohorts, people: Histories, now: int
) -> None:
    what = asked(cohorts)
    load(memory, people)
    expected = [members_at(cohorts, events, now) for events in people]
    whole = [folded(delta_of(what.plan, events), what.plan, now) for events in people]
    kept = reduced(memory, what, len(people), now)
    assert [verdicts(record, what.plan, now) for record in whole] == expected
    assert [verdicts(folded(delta, what.plan, now), what.plan, now) for delta in kept] == expected
    assert by_sql(memory, what, len(people), now) == expected


@lots_of(PEOPLE)
@given(cohort_sets(personal=False), crowds, histories(), st.integers(START, HORIZON))
def test_a_reduced_history_answers_as_the_whole_one_at_all_later_times_whatever_is_still_to_come(
    memory: Memory, cohorts: Cohorts, people: Histories, late: Sequence[Event], now: int
) -> None:
    what = asked(cohorts)
    load(memory, people)
    arriving = delta_of(what.plan, late)
    for events, seed in zip(people, reduced(memory, what, len(people), now), strict=True):
        whole = united([delta_of(what.plan, events), arriving])
        part = united([seed, arriving])
        for t in range(now, HORIZON):
            assert verdicts(part, what.plan, t) == verdicts(whole, what.plan, t), t


def united(deltas: Sequence[Delta]) -> Record:
    """Entries of all deltas together, unpruned."""
    lines: dict[int, set[tuple[int, ...]]] = {}
    registers: dict[str, Register] = {}
    for delta in deltas:
        for entry in delta.entries:
            at = (entry.time_ms, entry.tag)
            lines.setdefault(entry.selector, set()).add(at if entry.value is None else (*at, entry.value))
        for name, version, value in delta.registers:
            registers[name] = max((version, value), registers.get(name, (version, value)))
    return Record(timelines={selector: tuple(sorted(line)) for selector, line in lines.items()}, registers=registers)
