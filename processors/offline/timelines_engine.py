"""Members by the product's own conditions over whole, unpruned timelines: exact at any instant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cohort_store.deltas import DeltaEntry
from cohort_store.folding import ask_at
from cohort_store.plans import TeamPlan
from cohort_store.records import EMPTY, Record
from cohort_store.timelines import Entry
from processors.offline.definitions import Asked
from processors.offline.log import Log
from processors.router.routes import entries_of

Members = dict[str, list[str]]
"""Cohort key → persons, both sorted; every cohort is there."""

_Histories = dict[str, dict[int, list[Entry]]]
"""Person (or distinct id) → selector → entries, in no order and with repetitions."""


def members_at(asked: Asked, log: Log, now: int) -> Members:
    """Who is in each cohort at `now`."""
    records = records_of(asked, log)
    everybody = log.identities.everybody()
    return roll_call(asked.plan, ((person, records.get(person, EMPTY)) for person in everybody), now)


def roll_call(plan: TeamPlan, records: Iterable[tuple[str, Record]], now: int) -> Members:
    """Each cohort asked of each record, in the order of the records."""
    members: Members = {key: [] for key in sorted(cohort.key for cohort in plan.cohorts)}
    cohorts = [(cohort.verdict, members[cohort.key]) for cohort in plan.cohorts]
    nobody = ask_at(EMPTY, plan, now)
    for person, record in records:
        ask = nobody if record is EMPTY else ask_at(record, plan, now)
        for verdict, ids in cohorts:
            if verdict(ask):
                ids.append(person)
    return members


def records_of(asked: Asked, log: Log) -> Mapping[str, Record]:
    """Everything that is known by now, by person; of others nothing is."""
    named: _Histories = {}
    unnamed: _Histories = {}
    routes = asked.routes
    for event in log.events(routes):
        person = event.person_id
        entries = entries_of(event, routes.of(event.event)).entries
        if person is not None:
            _add(named.setdefault(person, {}), entries)
        elif event.distinct_id is not None:
            _add(unnamed.setdefault(event.distinct_id, {}), entries)
    for distinct_id, lines in unnamed.items():
        whole = named.setdefault(log.identities.person_of(distinct_id), {})
        for selector, line in lines.items():
            whole.setdefault(selector, []).extend(line)
    return with_registers({person: _record(lines) for person, lines in named.items()}, asked, log)


def with_registers(records: dict[str, Record], asked: Asked, log: Log) -> Mapping[str, Record]:
    """The records with what is known of persons' properties and lists, once the log has been read to its end."""
    for person, registers in log.registers(asked).items():
        records[person] = records.get(person, EMPTY)._replace(registers=registers)
    return records


def _add(lines: dict[int, list[Entry]], entries: Iterable[DeltaEntry]) -> None:
    for selector, time_ms, tag, value in entries:
        entry = (time_ms, tag) if value is None else (time_ms, tag, value)
        known = lines.get(selector)
        if known is None:
            lines[selector] = [entry]
        else:
            known.append(entry)


def _record(lines: Mapping[int, list[Entry]]) -> Record:
    return Record(timelines={selector: tuple(sorted(set(entries))) for selector, entries in lines.items() if entries})
