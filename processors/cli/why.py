"""`muster why`: the reason of a membership."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console

from cohort_store.clocks import clock_from
from cohort_store.durations import UNITS_MS, format_duration
from cohort_store.settings import Settings
from processors.cli.explanation import lines_of
from processors.cli.file_options import instant_of
from processors.cli.invocation import TEAM_DEFAULT, Failed, Json, Team, invocation, run_async

if TYPE_CHECKING:
    from cohort_store.explaining import Why
    from cohort_store.records import Record
    from cohort_store.subjects import Subject
    from processors.cli.roll import Roll

_HELP = """Say why PERSON is in COHORT, or is not: the tree of conditions, each with its verdict and what decides it.

It holds for the instant of the person's data (see muster person), and says when it changes if nothing more is done.
What is kept of a person answers only from then on: for --at in the past her whole history is read from ClickHouse,
which must have it; an instant to come is answered as if nothing more were done.

\b
Examples:
  muster why user_0580 regulars
  muster why user_0580 regulars --at "$(date -Is -d yesterday)" --json
"""


def register(app: typer.Typer) -> None:
    app.command("why", help=_HELP)(why)


def why(
    context: typer.Context,
    person: Annotated[str, typer.Argument(metavar="PERSON", help="A person's id, or a distinct id.")],
    cohort: Annotated[str, typer.Argument(metavar="COHORT", help="Key or id.")],
    at: Annotated[str | None, typer.Option(metavar="INSTANT", help="Another instant, ISO 8601; UTC if naive.")] = None,
    team: Team = TEAM_DEFAULT,
    as_json: Json = False,
) -> None:
    shared = invocation(context, as_json)
    at_ms = None if at is None else instant_of(at, "--at")
    found = run_async(_why(shared.settings(), (team, person, cohort), at_ms))
    shared.answer(_plain(found), lambda console: _show(console, found))


class _Found(msgspec.Struct):
    """The answer, and how good it is."""

    person: str
    distinct_id: str | None
    known: bool
    status: str
    data_age_ms: int
    from_history: bool
    why: Why


async def _why(settings: Settings, wanted: tuple[int, str, str], at_ms: int | None) -> _Found:
    from cohort_store.explaining import explain
    from cohort_store.freshness import data_age_ms, member_of, status_of, trouble_with, view_of
    from processors.cli.roll import opened_roll

    team, person, key = wanted
    async with opened_roll(settings) as roll:
        cohort, version = roll.cohort(team, key)
        subject, by_distinct_id = await roll.subject(team, person)
        (raw,) = await roll.reader.records([subject])
        (membership,) = await roll.reader.memberships([subject])
        view = view_of(cohort, roll.registry.version)
        if member_of(view, membership) is None:
            raise Failed(f"nothing can be said of {subject.id} yet: {trouble_with(view, membership)}")
        is_past = at_ms is not None and at_ms < membership.now_ms
        record = await _record(settings, roll, subject, raw, at_ms if is_past else None)
        now = clock_from(settings.clock).now_ms()
        instant = membership.now_ms if at_ms is None else at_ms
        return _Found(
            person=subject.id,
            distinct_id=person if by_distinct_id else None,
            known=raw is not None,
            status=status_of(view, membership, settings.max_hold_ms, now).value,
            data_age_ms=data_age_ms(membership, now),
            from_history=is_past,
            why=explain(record, roll.registry.team(team), cohort, version, instant),
        )


async def _record(settings: Settings, roll: Roll, subject: Subject, raw: bytes | None, past_ms: int | None) -> Record:
    """What is stored of her; for an instant that is past, what the history holds up to then."""
    from cohort_store.records import EMPTY, RESERVED_PREFIX, decode_record
    from processors.clickhouse.history_source import source_of
    from processors.offline.definitions import asked_of
    from processors.offline.past import record_at

    stored = EMPTY if raw is None else decode_record(raw)
    if past_ms is None:
        return stored
    asked = asked_of(roll.registry, subject.team)
    past = await record_at(settings.clickhouse, asked, subject.id, past_ms, source_of(settings))
    # Who is in a static list is no event; the present list answers for every instant.
    lists = {name: register for name, register in stored.registers.items() if name.startswith(RESERVED_PREFIX)}
    return past._replace(registers={**past.registers, **lists})


def _plain(found: _Found) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain


def _show(console: Console, found: _Found) -> None:
    for line in lines_of(found.why, found.person):
        console.print(line, markup=False)
    if found.from_history:
        console.print("\nOut of ClickHouse's history.")
        return
    age = format_duration(found.data_age_ms // UNITS_MS["s"] * UNITS_MS["s"])
    console.print(f"\nStatus {found.status}; the data is {age} old." if found.known else "\nNothing is stored of her.")
