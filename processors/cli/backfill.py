"""`muster backfill`: what history is being filled in, would be, or is to be once more."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console

from cohort_store.clocks import clock_from
from cohort_store.durations import format_duration, format_instant
from cohort_store.registry import Cohort, Fill
from cohort_store.settings import Settings
from processors.access.audit import Act, some
from processors.cli.audited import audited
from processors.cli.file_options import instant_of
from processors.cli.invocation import (
    CANCELLED,
    NOTHING,
    TEAM_DEFAULT,
    Failed,
    Invocation,
    Json,
    Team,
    invocation,
    print_json,
    run_async,
)

if TYPE_CHECKING:
    from processors.cli.backfill_runs import Cancelled, How
    from processors.cli.roll import Roll
    from processors.clickhouse.seed_history import SeedHistory

WORDS = ("list", "pause", "resume", "cancel")
PERSONS_PER_S_MAX = 1_000_000
THREADS_MAX = 1_024

_HELP = f"""Fill the history of COHORTS (keys or ids) in once more out of ClickHouse, and wait for it.

What lacks its history is filled in by itself: this is for when the history itself was mended, or the filling in was
cancelled. Nothing has to stop for it, and who is in a cohort already stays so meanwhile. In the place of cohorts may
stand one word:

\b
  list     what is being filled in, and what lacks its history
  pause    let it rest until
  resume
  cancel   stop it, and leave what lacks its history so until it is asked for

A terminal shows a bar; elsewhere, and with --json, each line is JSON, the last one with the outcome.

\b
Examples:
  muster backfill regulars
  muster backfill --all --rate 500 --max-threads 1
  muster backfill regulars --since 2026-01-01
  muster backfill --plan regulars        what ClickHouse would be asked, how much it would read, how long it takes
  muster backfill --dry-run regulars     who would come and go, as far as is known now; nothing is written
  muster backfill list --json

Exit status: 0 done; 1 refused or failed; 2 wrong usage; {CANCELLED} somebody cancelled it; {NOTHING} nothing to do.
"""


def register(app: typer.Typer) -> None:
    app.command("backfill", help=_HELP)(backfill)


def backfill(  # noqa: PLR0913 - a command has an argument for each option
    context: typer.Context,
    cohorts: Annotated[
        list[str], typer.Argument(metavar="[COHORTS | list | pause | resume | cancel]", help="Keys or ids.")
    ] = [],  # noqa: B006 - typer makes a new one
    every: Annotated[bool, typer.Option("--all", help="All cohorts of the team.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done, and do nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say who would come and go, and write nothing.")] = False,
    since: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Read only events at or after that instant.")
    ] = None,
    rate: Annotated[
        int | None, typer.Option(min=1, max=PERSONS_PER_S_MAX, metavar="N", help="Persons a second, at most.")
    ] = None,
    max_threads: Annotated[
        int | None,
        typer.Option(min=1, max=THREADS_MAX, metavar="N", help="ClickHouse's threads; else MUSTER_BACKFILL_THREADS."),
    ] = None,
    team: Team = TEAM_DEFAULT,
    as_json: Json = False,
) -> None:
    from processors.cli.backfill_runs import How

    shared = invocation(context, as_json)
    settings = shared.settings()
    if not settings.clickhouse:
        raise Failed("there is no ClickHouse to fill history in from: set MUSTER_CLICKHOUSE")
    how = How(None if since is None else instant_of(since, "--since"), rate, max_threads)
    if len(cohorts) == 1 and cohorts[0] in WORDS and not every:
        if plan or dry_run or how != How():
            raise typer.BadParameter(
                f"--plan, --dry-run, --since, --rate and --max-threads go with cohorts or --all, not with {cohorts[0]}"
            )
        _do(shared, settings, cohorts[0])
        return
    if every is bool(cohorts):
        raise typer.BadParameter("name cohorts, or give --all, or one of the words list, pause, resume and cancel")
    if plan and dry_run:
        raise typer.BadParameter("--plan and --dry-run are two questions: give one of them")
    if rate and (plan or dry_run):
        raise typer.BadParameter("--rate bounds what is sent, and --plan and --dry-run send nothing: leave it out")
    if plan:
        planned = run_async(_plan(settings, team, cohorts, how))
        shared.answer(planned, lambda console: _show_plan(console, planned))
    elif dry_run:
        _compare(shared, settings, (team, cohorts), how)
    else:
        _fill(shared, settings, (team, cohorts), how)


def _do(shared: Invocation, settings: Settings, word: str) -> None:
    if word == "cancel":
        from processors.cli.backfill_runs import cancel

        with audited(shared, settings, Act.CANCEL_BACKFILL) as account:
            cancelled = run_async(cancel(settings))
            account.about["left"] = some([] if cancelled is None else [cohort for _, cohort, _ in cancelled.left])
        _show_cancelled(shared, cancelled)
        return
    act = {"pause": Act.PAUSE_BACKFILL, "resume": Act.RESUME_BACKFILL}.get(word)
    with nullcontext() if act is None else audited(shared, settings, act):
        found = run_async(_list(settings, None if word == "list" else word == "pause"))
    shared.answer(found, lambda console: _show_list(console, found))


def _show_cancelled(shared: Invocation, cancelled: Cancelled | None) -> None:
    left = () if cancelled is None else cancelled.left
    is_done = bool(left) or (cancelled is not None and cancelled.is_run_ended)
    names = ", ".join(f"{cohort} (version {version})" for _, cohort, version in left)
    said = "Cancelled. Every version that it was for had its history before, and has it."
    if left:
        said = f"Cancelled. Without their history until muster backfill COHORTS fills it in: {names}."
    elif cancelled is None:
        said = "Nothing is being filled in, and nothing is about to be."
    elif not is_done:
        said = "It was done before it could be cancelled."
    plain = {
        "cancelled": is_done,
        "lacking": [{"team": team, "cohort": cohort, "version": version} for team, cohort, version in left],
    }
    shared.answer(plain, lambda console: console.print(said, markup=False))
    if not is_done:
        raise typer.Exit(NOTHING)


def _fill(shared: Invocation, settings: Settings, named: tuple[int, Sequence[str]], how: How) -> None:
    from processors.backfill.asking import Outcome
    from processors.cli.backfill_runs import is_for_scripts, run

    chosen = run_async(_checked(settings, named, how))
    names = [each.key for each in chosen]
    if not chosen:
        _nothing(shared, named[0])
    try:
        with audited(shared, settings, Act.BACKFILL, named[0], cohorts=some(names), **how._asdict()) as account:
            ended = run_async(run(settings, chosen, how, shared.as_json))
            account.about["ended"] = ended.outcome
    except KeyboardInterrupt:
        shared.errors.print("It goes on: muster backfill list says how far it is, muster backfill cancel stops it.")
        raise
    if is_for_scripts(shared.as_json):
        print_json({"outcome": ended.outcome, "cohorts": names, "persons": ended.persons})
    elif ended.outcome is Outcome.DONE:
        said = f"Filled in once more: {', '.join(names)} ({ended.persons:,} persons)."
        shared.answer(None, lambda console: console.print(said, markup=False))
    if ended.outcome is Outcome.CANCELLED:
        shared.errors.print("muster: it was cancelled; muster backfill list says what lacks its history")
        raise typer.Exit(CANCELLED)


def _compare(shared: Invocation, settings: Settings, named: tuple[int, Sequence[str]], how: How) -> None:
    from processors.cli.backfill_dry_run import compared, show

    chosen = run_async(_checked(settings, named, how))
    if not chosen:
        _nothing(shared, named[0])
    found = run_async(compared(settings, named[0], chosen, how, shared.as_json))
    shared.answer(found, lambda console: show(console, found))


def _nothing(shared: Invocation, team: int) -> None:
    shared.errors.print(f"muster: team {team} defines no cohort, so there is nothing to be filled in")
    raise typer.Exit(NOTHING)


async def _checked(settings: Settings, named: tuple[int, Sequence[str]], how: How) -> list[Cohort]:
    """The cohorts that are named. Raises Failed where that cannot be asked of them."""
    from processors.cli.roll import opened_roll

    async with opened_roll(settings) as roll:
        chosen = _chosen(roll, *named)
    if how.since_ms is not None:
        _check_since(chosen, how.since_ms, clock_from(settings.clock).now_ms())
    await _history(settings, how)
    return chosen


def _check_since(chosen: Sequence[Cohort], since_ms: int, now_ms: int) -> None:
    """Raise Failed where a part of the past would say nothing, or what is wrong."""
    from processors.backfill.wanted import of_any_time

    since = format_instant(since_ms)
    if since_ms > now_ms:
        raise Failed(f"--since {since} lies ahead of {format_instant(now_ms)}, and history before: give an earlier one")
    wrong = list(dict.fromkeys(of_any_time(chosen)))
    if wrong:
        names = ", ".join(f"{cohort} ({kind})" for cohort, kind in wrong)
        raise Failed(
            f"--since {since} leaves out what came before, and for these an event of any time decides: {names}. "
            "Fill them in without --since, and the others with it"
        )


async def _history(settings: Settings, how: How) -> SeedHistory:
    """Raises Failed where there is none."""
    from processors.backfill.wiring import history_of

    history = history_of(settings)
    if not await history.is_there():
        raise Failed("ClickHouse holds no table of Muster's archive: start muster archive")
    return history.read_as(how.reading)


def _chosen(roll: Roll, team: int, cohorts: Sequence[str]) -> list[Cohort]:
    """Those of the team, or all where none is named. Raises Failed for one that is not there."""
    return [roll.defined(team, name) for name in dict.fromkeys(cohorts)] or list(roll.registry.team(team).cohorts)


async def _list(settings: Settings, paused: bool | None) -> dict[str, Any]:
    """What is under way; before that, let it rest or go on."""
    from cohort_store.redis.wiring import connect_mirror
    from processors.backfill.asking import Asking
    from processors.backfill.filling_in import noted_status
    from processors.cli.roll import opened_roll

    mirror = connect_mirror(settings)
    try:
        asking = Asking(mirror)
        if paused is not None:
            await asking.pause(paused)
        status, asked = await noted_status(mirror), await asking.asked()
        is_paused = await asking.is_paused()
    finally:
        await mirror.aclose()
    async with opened_roll(settings) as roll:
        lacking = [
            {
                "team": team.team,
                "cohort": cohort.key,
                "version": version.number,
                "left": version.fill is Fill.LEFT,
            }
            for team in roll.registry.teams.values()
            for cohort in team.cohorts
            for version in cohort.versions
            if not version.backfilled or version.awaits_history
        ]
    return {
        "paused": is_paused,
        "backfill": msgspec.to_builtins(status),
        "asked": msgspec.to_builtins(asked),
        "lacking": lacking,
    }


def _show_list(console: Console, found: dict[str, Any]) -> None:
    from processors.backfill.ports import FillingStatus
    from processors.cli.status import sentence_of

    if found["paused"]:
        console.print("Paused: muster backfill resume lets it go on.")
    if found["backfill"] is not None:
        console.print(sentence_of(msgspec.convert(found["backfill"], FillingStatus)), markup=False)
    if found["asked"] is not None:
        console.print(_asked_sentence(found["asked"]), markup=False)
    if not found["lacking"]:
        console.print("No cohort lacks its history.")
    for is_left, said in (
        (False, "Lacking their history"),
        (True, "Left without all of their history until muster backfill COHORTS"),
    ):
        names = (
            f"{each['cohort']} (version {each['version']})" for each in found["lacking"] if each["left"] is is_left
        )
        if text := ", ".join(names):
            console.print(f"{said}: {text}.", markup=False)


def _asked_sentence(asked: dict[str, Any]) -> str:
    bounds = []
    if "since_ms" in asked:
        bounds.append(f"of events since {format_instant(asked['since_ms'])}")
    if "persons_per_s" in asked:
        bounds.append(f"at most {asked['persons_per_s']:,} persons a second")
    if "max_threads" in asked:
        bounds.append(f"threads of ClickHouse: {asked['max_threads']}")
    count = len(asked["handles"])
    purpose = f"Asked for: the history of {count} version{'' if count == 1 else 's'}"
    return f"{', '.join([purpose, *bounds])}."


async def _plan(settings: Settings, team: int, cohorts: Sequence[str], how: How) -> dict[str, Any]:
    from processors.backfill.ports import Part
    from processors.backfill.wanted import wanted_of
    from processors.cli.roll import opened_roll

    chosen = await _checked(settings, (team, cohorts), how)
    async with opened_roll(settings) as roll:
        registry = roll.registry
    history = await _history(settings, how)
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


def _parts(count: int) -> str:
    return f"{count} part{'' if count == 1 else 's'}"


def _show_plan(console: Console, planned: dict[str, Any]) -> None:
    console.print(planned["sql"], markup=False)
    seconds = format_duration(max(1, round(planned["seconds"])) * 1_000)
    console.print(
        f"-- {planned['persons']:,} persons in {_parts(planned['parts'])}: {planned['rows']:,} rows, "
        f"{planned['bytes'] / 2**20:,.0f} MiB to be read in about {seconds}, by the time that the first part took.",
        markup=False,
    )
