"""`muster status`: how everything stands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from cohort_store.durations import UNITS_MS, format_duration, format_instant
from cohort_store.settings import Settings
from processors.cli.invocation import Json, invocation, run_async
from processors.cli.web import get, url_of

if TYPE_CHECKING:
    from processors.backfill.ports import FillingStatus
    from processors.control.status import CohortStatus, ShardsStatus, Status

_HELP = """Show how everything stands: each cohort's size and state, entries and exits in the last hour, and the shards.

Sizes are read from Redis; entries and exits are counted by control, and left out while it does not answer.

\b
States: ready; warming (events that may matter are not known); building (no version
answers yet); unavailable (not every shard has folded it).

\b
Examples:
  muster status
  muster status --json
"""
HOUR_MS = UNITS_MS["h"]


def register(app: typer.Typer) -> None:
    app.command("status", help=_HELP)(status)


def status(context: typer.Context, as_json: Json = False) -> None:
    shared = invocation(context, as_json)
    found, flow = run_async(_read(shared.settings()))
    plain = msgspec.to_builtins(found) | {"flow": flow}
    shared.answer(plain, lambda console: _show(console, found, flow))


async def _read(settings: Settings) -> tuple[Status, list[Any] | None]:
    """The status, and control's counts; None where it does not answer."""
    from processors.control import wiring

    try:
        code, body = await asyncio.to_thread(get, url_of(settings.control_host, settings.control_port, "/flow/"))
        flow: list[Any] | None = msgspec.json.decode(body) if code == 200 else None
    except (OSError, msgspec.DecodeError):
        flow = None
    return await wiring.status(settings), flow


def _show(console: Console, found: Status, flow: list[Any] | None) -> None:
    console.print(f"Registry version {found.registry_version}: {len(found.cohorts)} cohorts, {found.flags} flags.")
    if found.refused:
        console.print(f"The last apply was refused: {found.refused}", style="red", markup=False)
    console.print(_shards(found.shards))
    if found.backfill is not None:
        console.print(sentence_of(found.backfill), markup=False)
    if not found.cohorts:
        console.print("Nothing is defined yet: muster apply FILE...")
        return
    recent = _recent(flow, found.at_ms)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("cohort", "v", "size", "entered", "left", "state"):
        table.add_column(title, justify="right" if title in ("size", "entered", "left") else "left", no_wrap=True)
    for cohort in found.cohorts:
        entered, left = recent.get((cohort.team, cohort.key), (0, 0)) if flow is not None else ("?", "?")
        size = f"all but {cohort.size:,}" if cohort.complemented else f"{cohort.size:,}"
        key = cohort.key if cohort.team == 1 else f"{cohort.key} (team {cohort.team})"
        table.add_row(key, _version(cohort), size, str(entered), str(left), _state(cohort))
    console.print(table)
    if flow is None:
        console.print("Entries and exits are unknown: control does not answer.")


def _shards(shards: ShardsStatus) -> str:
    if shards.age_ms is None:
        return f"No shard of {shards.total} was ever owned: start muster membership."
    lag = "unknown" if shards.lag is None else f"{shards.lag:,}"
    age = (
        format_duration(shards.age_ms // UNITS_MS["s"] * UNITS_MS["s"])
        if shards.age_ms >= UNITS_MS["s"]
        else "under 1s"
    )
    stale = f", {shards.stale} stale" if shards.stale else ""
    return f"Shards: {shards.ready} of {shards.total} ready{stale}, {age} behind, {lag} messages not folded yet."


def sentence_of(backfill: FillingStatus) -> str:
    """What is being filled in, and how far that is."""
    cohorts = f"{len(backfill.handles)} version{'' if len(backfill.handles) == 1 else 's'}"
    purpose = f"Filling in the history of {cohorts}"
    if backfill.restores:
        purpose = f"Making {len(backfill.restores)} shards whole again, with {cohorts}"
    if backfill.waits_for:
        return f"{purpose}: waiting for {backfill.waits_for}."
    where = f"team {backfill.team}, {backfill.part} of {backfill.parts} parts" if backfill.parts else "reading"
    if backfill.halvings:
        where += f" (halved {backfill.halvings}×: ClickHouse ran out of memory)"
    return f"{purpose}: {where}, {backfill.persons + backfill.of_part:,} persons so far."


def _recent(flow: list[Any] | None, now_ms: int) -> dict[tuple[int, str], tuple[int, int]]:
    """Entries and exits of the last hour, by team and cohort, from the windows of a minute."""
    found: dict[tuple[int, str], tuple[int, int]] = {}
    for window in flow or ():
        if window["length_ms"] < HOUR_MS and window["starts_ms"] > now_ms - HOUR_MS:
            name = (window["team"], window["cohort"])
            entered, left = found.get(name, (0, 0))
            found[name] = (entered + window["entered"], left + window["left"])
    return found


def _version(cohort: CohortStatus) -> str:
    return f"{cohort.version}→{cohort.building}" if cohort.building else str(cohort.version)


def _state(cohort: CohortStatus) -> str:
    if cohort.state != "warming":
        return cohort.state
    if cohort.warming_until_ms is None:
        return f"warming, since {_day(cohort.complete_from_ms)}"
    return f"warming until {_minute(cohort.warming_until_ms)}"


def _minute(instant_ms: int) -> str:
    return format_instant(instant_ms)[:16].replace("T", " ")


def _day(instant_ms: int) -> str:
    return format_instant(instant_ms)[:10]
