"""`muster history` and `muster sizes`: what was told of a person, and how many a cohort had, out of ClickHouse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cohort_store.clocks import clock_from
from cohort_store.durations import UNITS_MS, format_instant, parse_duration_ms
from cohort_store.settings import Settings
from processors.cli.file_options import instant_of
from processors.cli.invocation import TEAM_DEFAULT, Failed, Json, Team, invocation, run_async
from processors.cli.invocation import subject_id as checked_id

if TYPE_CHECKING:
    from processors.clickhouse.change_history import ChangeHistory, Stay, Turn

EVERY_DEFAULT = "1d"
SPAN_DEFAULT_MS = 30 * UNITS_MS["d"]

_HISTORY_HELP = """Show which cohorts PERSON has been in: each stay, from when to when, and what began and ended it.

Every change of membership is written down in ClickHouse within seconds. What held before a person's first is not told.

\b
Examples:
  muster history user_0580
  muster history user_0580 --cohort regulars --json
"""
_SIZES_HELP = """Show how many were in COHORT (its key or id) over time, by the changes of membership in ClickHouse.

Of a cohort that holds for people who never did anything, those who were not in it are counted.

\b
Examples:
  muster sizes regulars
  muster sizes regulars --since 2026-01-01 --until 2026-01-08 --every 6h --json
"""


def register(app: typer.Typer) -> None:
    app.command("history", help=_HISTORY_HELP)(history)
    app.command("sizes", help=_SIZES_HELP)(sizes)


@asynccontextmanager
async def opened_history(settings: Settings, team: int) -> AsyncIterator[tuple[ChangeHistory, int]]:
    """The team's changes, and the instant of the first. Raises Failed where none is written down."""
    from processors.clickhouse.change_history import change_history

    if not settings.clickhouse:
        raise Failed("there is no ClickHouse to ask: name one in MUSTER_CLICKHOUSE; control writes changes there")
    async with change_history(settings.clickhouse, team) as past:
        begins_ms = await past.begins_ms()
        if begins_ms is None:
            raise Failed(f"no change of membership of team {team} is written down in ClickHouse yet")
        yield past, begins_ms


def history(
    context: typer.Context,
    person: Annotated[str, typer.Argument(metavar="PERSON", help="A person's id, or a distinct id.")],
    cohort: Annotated[str | None, typer.Option(metavar="KEY", help="Only this cohort.")] = None,
    team: Team = TEAM_DEFAULT,
    as_json: Json = False,
) -> None:
    shared = invocation(context, as_json)
    found = run_async(_history(shared.settings(), team, checked_id(person), cohort))
    shared.answer(found, lambda console: _show_history(console, found))


async def _history(settings: Settings, team: int, person: str, cohort: str | None) -> dict[str, Any]:
    from processors.cli.roll import opened_roll

    async with opened_roll(settings) as roll:
        subject, by_distinct_id = await roll.subject(team, person)
        keys = {each.id: each.key for each in roll.registry.team(team).cohorts}
    async with opened_history(settings, team) as (past, begins_ms):
        stays = [(keys.get(stay.cohort, stay.key), stay) for stay in await past.stays(subject.id)]
    return {
        "person": subject.id,
        "distinct_id": person if by_distinct_id else None,
        "team": team,
        "known_from": format_instant(begins_ms),
        "stays": [_plain(key, stay) for key, stay in stays if cohort in (None, key)],
    }


def _plain(key: str, stay: Stay) -> dict[str, Any]:
    return {"cohort": key, "id": stay.cohort, "entered": _turn(stay.entered), "left": _turn(stay.left)}


def _turn(turn: Turn | None) -> dict[str, Any] | None:
    return turn and {"at": format_instant(turn.at_ms), "cause": turn.cause, "version": turn.version}


def _show_history(console: Console, found: dict[str, Any]) -> None:
    if not found["stays"]:
        console.print(f"Of {found['person']} nothing was told since {found['known_from']}.", markup=False)
        return
    table = Table(box=None, pad_edge=False)
    for name in ("cohort", "from", "by", "until", "by"):
        table.add_column(name)
    for stay in found["stays"]:
        table.add_row(stay["cohort"], *_cells(stay["entered"], "before it was told"), *_cells(stay["left"], "now"))
    console.print(table)


def _cells(turn: dict[str, Any] | None, absent: str) -> tuple[str, str]:
    return (turn["at"], turn["cause"]) if turn else (absent, "")


def sizes(
    context: typer.Context,
    cohort: Annotated[str, typer.Argument(metavar="COHORT", help="Key or id.")],
    since: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="The first instant, ISO 8601; else 30 days before the last.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="INSTANT", help="The last instant at most; else now.")] = None,
    every: Annotated[str, typer.Option(metavar="DURATION", help="From one instant to the next.")] = EVERY_DEFAULT,
    team: Team = TEAM_DEFAULT,
    as_json: Json = False,
) -> None:
    shared = invocation(context, as_json)
    settings = shared.settings()
    until_ms = clock_from(settings.clock).now_ms() if until is None else instant_of(until, "--until")
    since_ms = until_ms - SPAN_DEFAULT_MS if since is None else instant_of(since, "--since")
    found = run_async(_sizes(settings, (team, cohort), _instants(since_ms, until_ms, every)))
    shared.answer(found, lambda console: _show_sizes(console, found))


def _instants(since_ms: int, until_ms: int, every: str) -> range:
    from processors.clickhouse.change_history import POINTS_MAX

    try:
        step_ms = parse_duration_ms(every)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--every") from None
    if step_ms == 0 or since_ms > until_ms:
        raise typer.BadParameter("it leads nowhere: give a step longer than 0 and a --since before --until")
    instants = range(since_ms, until_ms + 1, step_ms)
    if len(instants) > POINTS_MAX:
        raise typer.BadParameter(f"that makes {len(instants):,} instants, at most {POINTS_MAX:,}: lengthen --every")
    return instants


async def _sizes(settings: Settings, wanted: tuple[int, str], instants: range) -> dict[str, Any]:
    from processors.cli.roll import opened_roll

    async with opened_roll(settings) as roll:
        cohort, version = roll.cohort(*wanted)
    async with opened_history(settings, wanted[0]) as (past, begins_ms):
        counts = await past.sizes(cohort.id, instants, complemented=version.complemented)
    return {
        "cohort": cohort.key,
        "id": cohort.id,
        "complemented": version.complemented,
        "known_from": format_instant(begins_ms),
        "sizes": [{"at": format_instant(at), "stored": count} for at, count in zip(instants, counts, strict=True)],
    }


def _show_sizes(console: Console, found: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("at")
    table.add_column("not in it" if found["complemented"] else "in it", justify="right")
    for each in found["sizes"]:
        table.add_row(each["at"], f"{each['stored']:,}")
    console.print(table)
    console.print(f"(Changes are written down from {found['known_from']} on.)", markup=False)
