"""`muster backfill`: what history is being filled in, would be, or is to be once more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from cohort_store.clocks import clock_from
from cohort_store.durations import format_duration
from cohort_store.registry import Cohort
from cohort_store.settings import Settings
from processors.cli.invocation import TEAM_DEFAULT, Failed, Json, Team, invocation, output, print_json, run_async

if TYPE_CHECKING:
    from processors.backfill.ports import FillingStatus
    from processors.cli.roll import Roll

LOOK_S = 0.2
BEGUN_WITHIN_S = 15.0
"""How long control may take until it has noticed what is asked for."""

_HELP = """Fill the history of COHORTS (keys or ids) in once more out of ClickHouse, and wait for it.

What lacks its history is filled in by itself: this is for when the history itself was mended. Nothing has to stop for
it, and who is in a cohort already stays so meanwhile. In the place of cohorts may stand one word:

\b
  list     what is being filled in, and what lacks its history
  pause    let it rest until
  resume

\b
Examples:
  muster backfill regulars
  muster backfill --all
  muster backfill --plan regulars        what ClickHouse would be asked, how much it would read, how long it takes
  muster backfill list --json
"""


def register(app: typer.Typer) -> None:
    app.command("backfill", help=_HELP)(backfill)


def backfill(
    context: typer.Context,
    cohorts: Annotated[
        list[str], typer.Argument(metavar="[COHORTS | list | pause | resume]", help="Keys or ids.")
    ] = [],  # noqa: B006 - typer makes a new one
    every: Annotated[bool, typer.Option("--all", help="All cohorts of the team.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done, and do nothing.")] = False,
    team: Team = TEAM_DEFAULT,
    as_json: Json = False,
) -> None:
    shared = invocation(context, as_json)
    settings = shared.settings()
    if not settings.clickhouse:
        raise Failed("there is no ClickHouse to fill history in from: set MUSTER_CLICKHOUSE")
    words = ("list", "pause", "resume")
    if len(cohorts) == 1 and cohorts[0] in words and not every:
        found = run_async(_list(settings, None if cohorts[0] == "list" else cohorts[0] == "pause"))
        shared.answer(found, lambda console: _show_list(console, found))
        return
    if every is bool(cohorts):
        raise typer.BadParameter("name cohorts, or give --all, or one of the words list, pause and resume")
    if plan:
        planned = run_async(_plan(settings, team, cohorts))
        shared.answer(planned, lambda console: _show_plan(console, planned))
        return
    done = run_async(_again(settings, team, cohorts, shared.as_json))
    names = ", ".join(done["cohorts"])
    shared.answer(done, lambda console: console.print(f"Filled in once more: {names}.", markup=False))


def _chosen(roll: Roll, team: int, cohorts: Sequence[str]) -> list[Cohort]:
    """Those of the team, or all where none is named. Raises Failed for one that is not there."""
    return [roll.defined(team, name) for name in dict.fromkeys(cohorts)] or list(roll.registry.team(team).cohorts)


async def _list(settings: Settings, paused: bool | None) -> dict[str, Any]:
    """What is under way; before that, let it rest or go on."""
    from cohort_store.redis.wiring import connect_mirror
    from processors.backfill.filling_in import PAUSED_NOTE, noted_status
    from processors.cli.roll import opened_roll

    mirror = connect_mirror(settings)
    try:
        if paused is not None:
            await mirror.keep_note(PAUSED_NOTE, b"1" if paused else None)
        status = await noted_status(mirror)
        is_paused = await mirror.note(PAUSED_NOTE) is not None
    finally:
        await mirror.aclose()
    async with opened_roll(settings) as roll:
        lacking = [
            {"team": team.team, "cohort": cohort.key, "version": version.number}
            for team in roll.registry.teams.values()
            for cohort in team.cohorts
            for version in cohort.versions
            if not version.backfilled
        ]
    return {"paused": is_paused, "backfill": msgspec.to_builtins(status), "lacking": lacking}


def _show_list(console: Console, found: dict[str, Any]) -> None:
    from processors.backfill.ports import FillingStatus
    from processors.cli.status import sentence_of

    if found["paused"]:
        console.print("Paused: muster backfill resume lets it go on.")
    if found["backfill"] is not None:
        console.print(sentence_of(msgspec.convert(found["backfill"], FillingStatus)), markup=False)
    names = ", ".join(f"{each['cohort']} (version {each['version']})" for each in found["lacking"])
    console.print(f"Lacking their history: {names}." if names else "No cohort lacks its history.", markup=False)


async def _plan(settings: Settings, team: int, cohorts: Sequence[str]) -> dict[str, Any]:
    from processors.backfill.ports import Part
    from processors.backfill.wanted import wanted_of
    from processors.cli.roll import opened_roll
    from processors.clickhouse.history_source import source_of
    from processors.clickhouse.seed_history import SeedHistory

    async with opened_roll(settings) as roll:
        chosen = _chosen(roll, team, cohorts)
        registry = roll.registry
    threads, memory_bytes = settings.backfill_threads, settings.backfill_memory_bytes
    history = SeedHistory(settings.clickhouse, threads, memory_bytes, source_of(settings))
    if not await history.is_there():
        raise Failed("ClickHouse holds no table of Muster's archive: start muster archive")
    asked = wanted_of(registry, team, frozenset(each.versions[-1].handle for each in chosen))
    persons = await history.persons(team)
    parts = -(-persons // settings.backfill_part_persons) or 1
    if asked.asks_nothing:
        return {"persons": persons, "parts": 0, "rows": 0, "bytes": 0, "seconds": 0.0, "sql": ""}
    now_ms, first = clock_from(settings.clock).now_ms(), Part(0, parts)
    read = await history.plan(asked, now_ms, first)
    began = time.monotonic()
    async for _ in history.seeds(asked, now_ms, first):
        pass
    return {
        "persons": persons,
        "parts": parts,
        "rows": read.rows * parts,
        "bytes": read.bytes * parts,
        "seconds": round((time.monotonic() - began) * parts, 1),
        "sql": read.sql,
    }


def _show_plan(console: Console, planned: dict[str, Any]) -> None:
    console.print(planned["sql"], markup=False)
    seconds = format_duration(max(1, round(planned["seconds"])) * 1_000)
    console.print(
        f"-- {planned['persons']:,} persons in {planned['parts']} parts: {planned['rows']:,} rows, "
        f"{planned['bytes'] / 2**20:,.0f} MiB to be read in about {seconds}, by the time that the first part took.",
        markup=False,
    )


async def _again(settings: Settings, team: int, cohorts: Sequence[str], as_json: bool) -> dict[str, Any]:
    """Ask for it, and show how far it is until it is done."""
    from cohort_store.redis.wiring import connect_mirror
    from processors.backfill.filling_in import AGAIN_NOTE, noted_status
    from processors.cli.roll import opened_roll

    async with opened_roll(settings) as roll:
        chosen = _chosen(roll, team, cohorts)
        handles = [version.handle for each in chosen for version in each.versions]
    mirror = connect_mirror(settings)
    try:
        await mirror.keep_note(AGAIN_NOTE, msgspec.json.encode(handles))
        begun_by = time.monotonic() + BEGUN_WITHIN_S
        with Progress(console=output(), disable=as_json, transient=True) as bar:
            task = bar.add_task("waiting for control", total=None)
            is_begun = False
            while True:
                status = await noted_status(mirror)
                if status is not None and set(handles) & set(status.handles):
                    is_begun = True
                    _tell(bar, task, status, as_json)
                elif is_begun:
                    return {"cohorts": [each.key for each in chosen]}
                elif await mirror.note(AGAIN_NOTE) is None:
                    # Done before it was looked at, or about to begin.
                    is_begun = time.monotonic() > begun_by
                elif time.monotonic() > begun_by:
                    raise Failed("control has not noticed it: is muster control running, with MUSTER_CLICKHOUSE set?")
                await asyncio.sleep(LOOK_S)
    finally:
        await mirror.aclose()


def _tell(bar: Progress, task: Any, status: FillingStatus, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.to_builtins(status))
        return
    text = f"waiting for {status.waits_for}" if status.waits_for else f"{status.persons:,} persons"
    bar.update(task, description=text, total=status.parts or None, completed=status.part)
