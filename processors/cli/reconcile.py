"""`muster reconcile`: whether what is stored is what ClickHouse says."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cohort_store.durations import format_instant
from cohort_store.settings import Settings
from processors.access.audit import Act, some
from processors.cli.audited import audited
from processors.cli.invocation import FAILED, TEAM_DEFAULT, Failed, Json, Team, invocation, output, run_async

if TYPE_CHECKING:
    from cohort_store.explaining import Why
    from processors.cli.roll import Roll
    from processors.reconcile.checking import Checking
    from processors.reconcile.ports import Agreement

SAMPLE_DEFAULT = "100%"
EXPLAINED_MAX = 3
"""Persons a cohort whose two sides are shown as trees."""
SHOWN_MAX = 20
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")

_HELP = """Compare who is in COHORTS (default: all of the team) with what ClickHouse says about the same instant.

Everybody is compared: what readers find stored, what the person's record says now and, if nothing more is done, later,
and what ClickHouse's events say. Nothing stops for it; whoever had an event just now is looked at again. Who differs
still is named, with both sides' reasons, and the table drift in ClickHouse keeps the figures.

Exit status: 0 they agree, or --repair made them; 1 they do not; 2 wrong usage.

\b
Examples:
  muster reconcile
  muster reconcile regulars --sample 1%
  muster reconcile --repair --json
"""


def register(app: typer.Typer) -> None:
    app.command("reconcile", help=_HELP)(reconcile)


def reconcile(
    context: typer.Context,
    cohorts: Annotated[list[str], typer.Argument(metavar="[COHORTS]", help="Keys or ids.")] = [],  # noqa: B006 - typer makes a new one
    sample: Annotated[
        str, typer.Option(metavar="PERCENT", help="Compare a share of the persons, drawn at random.")
    ] = SAMPLE_DEFAULT,
    repair: Annotated[bool, typer.Option("--repair", help="Make good what differs, by what ClickHouse says.")] = False,
    team: Team = TEAM_DEFAULT,
    as_json: Json = False,
) -> None:
    shared = invocation(context, as_json)
    settings = shared.settings()
    if not settings.clickhouse:
        raise Failed("there is no ClickHouse to compare with: set MUSTER_CLICKHOUSE")
    chosen = random.sample(range(settings.shards), _shards_of(sample, settings.shards))
    account = audited(shared, settings, Act.REPAIR, team, cohorts=some(cohorts)) if repair else nullcontext()
    with account:
        found = run_async(_reconcile(settings, team, cohorts, chosen, repairing=repair, quiet=shared.as_json))
    plain = {"agreements": msgspec.to_builtins(found.agreements), "explained": msgspec.to_builtins(found.explained)}
    shared.answer(plain, lambda console: _show(console, found))
    if any(not each.repaired for agreement in found.agreements for each in agreement.drifted):
        raise typer.Exit(FAILED)


class _Explained(msgspec.Struct):
    """Why a person is in a cohort or is not, by the two sides."""

    person: str
    cohort: str
    live: Why
    history: Why


class _Found(msgspec.Struct):
    agreements: list[Agreement]
    explained: list[_Explained]


def _shards_of(sample: str, shards: int) -> int:
    """How many shards a sample is: persons are spread over them at random."""
    given = _PERCENT.fullmatch(sample)
    percent = float(given[1]) if given else 0.0
    if not 0 < percent <= 100:
        raise typer.BadParameter(f"{sample!r} is no share; write 1%, 0.5% or 100%", param_hint="--sample")
    return max(1, round(shards * percent / 100))


async def _reconcile(
    settings: Settings, team: int, names: Sequence[str], shards: Sequence[int], *, repairing: bool, quiet: bool
) -> _Found:
    from cohort_store.definition_files import Name
    from cohort_store.redis.wiring import connect_mirror
    from processors.backfill.wiring import knows_persons
    from processors.cli.roll import opened_roll
    from processors.definition_changes import lists_of
    from processors.reconcile.checking import Checking
    from processors.reconcile.judged import judged_of, merged
    from processors.reconcile.reconciling import reconcile as turns
    from processors.reconcile.wiring import opened_parts

    mirror = connect_mirror(settings)
    try:
        lists = lists_of({Name.parse(name): part for name, part in (await mirror.lists()).items()}, team)
    finally:
        await mirror.aclose()
    async with opened_roll(settings) as roll, opened_parts(settings, roll.registry) as parts:
        if not await parts.checking.history.is_there():
            raise Failed("ClickHouse holds no history: start muster archive, or describe yours in the setting history")
        keys = [roll.defined(team, name).key for name in names]
        judged, found = judged_of(roll.registry, team, keys, lists, knows_persons=knows_persons(settings))
        with Progress(console=output(), disable=quiet, transient=True) as bar:
            task = bar.add_task("comparing", total=len(shards))
            async for turn in turns(parts, roll.registry, judged, shards, repairing=repairing):
                bar.advance(task, turn.shards)
                found += turn.agreements
        agreements = merged(found)
        checking = Checking(parts.checking, roll.registry, judged)
        return _Found(agreements, [each async for each in _explain(roll, checking, agreements)])


async def _explain(roll: Roll, checking: Checking, agreements: Sequence[Agreement]) -> AsyncIterator[_Explained]:
    """Both sides' reasons, for some of those who differ."""
    from cohort_store.explaining import explain

    for agreement in agreements:
        for each in agreement.drifted[:EXPLAINED_MAX]:
            cohort, version = roll.cohort(agreement.team, agreement.key)
            of_team = roll.registry.team(agreement.team)
            sides = await checking.both_sides(each.person, each.at_ms)
            live, history = (explain(side, of_team, cohort, version, each.at_ms) for side in sides)
            yield _Explained(each.person, agreement.key, live, history)


def _show(console: Console, found: _Found) -> None:
    from processors.cli.explanation import tree_lines

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("cohort", "compared", "in flight", "drift", "repaired", "at"):
        table.add_column(title, justify="left" if title in ("cohort", "at") else "right")
    for each in found.agreements:
        if each.not_judged:
            table.add_row(each.key, "", "", "", "", each.not_judged)
            continue
        repaired = sum(person.repaired for person in each.drifted)
        figures = [f"{count:,}" for count in (each.persons, each.in_flight, len(each.drifted), repaired)]
        table.add_row(each.key, *figures, format_instant(each.at_ms))
    console.print(table)
    for each in found.agreements:
        for person in each.drifted[:SHOWN_MAX]:
            said = {True: "in", False: "not in", None: "unknown"}
            sides = f"{said[person.live]} here, {said[person.history]} by the history"
            console.print(f"{person.person}, {each.key}, at {format_instant(person.at_ms)}: {sides}", markup=False)
    for explained in found.explained:
        for side, why in (("Here", explained.live), ("By ClickHouse's events", explained.history)):
            console.print(f"\n{side}, {explained.person} and {explained.cohort}:", markup=False)
            for line in tree_lines(why.reason):
                console.print(line, markup=False)
