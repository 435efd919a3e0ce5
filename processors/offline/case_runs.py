"""Running cases: each is a small log of its own, asked by the engine of timelines, and explained where it is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cohort_store.durations import format_instant
from cohort_store.errors import Crash
from cohort_store.explaining import Why, explain
from cohort_store.records import EMPTY, Record
from processors.offline.case_files import Case, CasePerson, ReadCases, instant_ms_of, read_cases
from processors.offline.definitions import Asked, read_asked
from processors.offline.event_rows import EventRow
from processors.offline.lines import Refuse, Rows
from processors.offline.log import Log
from processors.offline.persons import PersonRow
from processors.offline.timelines_engine import records_of, roll_call
from processors.row_files import BadLine


class WrongPerson(msgspec.Struct, frozen=True):
    """Somebody who is in a cohort and should not be, or the other way round."""

    person: str
    cohort: str
    expected: bool
    known: bool
    """Whether the case has such a person at all."""
    why: Why


class CaseResult(msgspec.Struct, frozen=True):
    """How a case ended."""

    file: str
    name: str
    wrong: list[WrongPerson]

    @property
    def passed(self) -> bool:
        return not self.wrong


def run_files(paths: Sequence[Path]) -> Iterator[CaseResult]:
    """Every case of the files, in their order.

    Raises BadDefinition for the first thing that is wrong in a file or in the definitions that it names, before any of
    that file's cases is run.
    """
    for path in paths:
        cases = read_cases(path)
        asked = read_asked(cases.definitions, cases.file.team)
        for index in range(len(cases.file.cases)):
            _check_expected(cases, asked, index)
        for index, case in enumerate(cases.file.cases):
            yield _run(cases, asked, index, case)


def _check_expected(cases: ReadCases, asked: Asked, index: int) -> None:
    for key in cases.file.cases[index].expect:
        if asked.registry.cohort(key) is None:
            known = ", ".join(sorted(cohort.key for cohort in asked.registry.cohorts)) or "none is"
            raise cases.refusal(f"cases[{index}].expect.{key}", f"cohort {key!r} is not defined; these are: {known}")


def _run(cases: ReadCases, asked: Asked, index: int, case: Case) -> CaseResult:
    def refuse(part: Path, line: BadLine) -> None:
        raise cases.refusal(f"cases[{index}].{part}[{line.number}]", line.problem)

    log = Log(_CaseLog(case, asked.team), case.now_ms, refuse)
    records = records_of(asked, log)
    everybody = log.identities.everybody()
    members = roll_call(asked.plan, ((person, records.get(person, EMPTY)) for person in everybody), case.now_ms)
    known = frozenset(everybody)
    wrong = [
        _wrong(asked, case, key, person, records.get(person, EMPTY), known=person in known)
        for key, expected in case.expect.items()
        for person in sorted(set(expected) ^ set(members[key]))
    ]
    return CaseResult(str(cases.path), case.name, wrong)


def _wrong(asked: Asked, case: Case, key: str, person: str, record: Record, *, known: bool) -> WrongPerson:
    cohort = asked.registry.cohort(key)
    if cohort is None:
        raise Crash(f"cohort {key!r} was checked, and is not in the registry")
    why = explain(record, asked.registry, cohort, cohort.versions[-1], case.now_ms)
    return WrongPerson(person, key, person in case.expect[key], known, why)


@dataclass(frozen=True, slots=True)
class _CaseLog:
    """A LogSource. The file that a row is told by is the name of its list, and its number is its place there."""

    case: Case
    team: int

    def event_rows(self, _refuse: Refuse) -> Iterator[tuple[Path, Rows[EventRow]]]:
        numbers: list[int] = []
        rows: list[EventRow] = []
        for place, event in enumerate(self.case.events):
            properties = msgspec.Raw(msgspec.json.encode(event.properties))
            for time_ms in event.times_ms(self.case.now_ms):
                numbers.append(place)
                ids = (event.distinct_id, event.person_id, event.uuid)
                rows.append(EventRow(event.event, time_ms, *ids, properties, self.team))
        yield Path("events"), Rows(numbers, rows)

    def person_rows(self, _refuse: Refuse) -> Iterator[tuple[Path, Rows[PersonRow]]]:
        rows = [_person_row(person, self.case.now_ms) for person in self.case.persons]
        yield Path("persons"), Rows(range(len(rows)), rows)


def _person_row(person: CasePerson | str, now_ms: int) -> PersonRow:
    if isinstance(person, str):
        return PersonRow(id=person)
    created_at = None if person.created_at is None else format_instant(instant_ms_of(person.created_at, now_ms))
    return PersonRow(
        id=person.id, distinct_ids=list(person.distinct_ids), created_at=created_at, properties=person.properties
    )
