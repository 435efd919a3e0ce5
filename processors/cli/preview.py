"""`muster preview`: how many a cohort would have, before it is applied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cohort_store.clocks import clock_from
from cohort_store.definitions import parse_tree
from cohort_store.durations import format_instant
from processors.cli.file_options import OnlyTeam, instant_of
from processors.cli.invocation import Failed, Json, invocation, run_async, warn

if TYPE_CHECKING:
    from processors.clickhouse.preview import Preview

SAMPLE_DEFAULT = 5
SAMPLE_MAX = 1_000

_HELP = """Say how many persons the cohorts of FILES would have, with some of them, out of the events in ClickHouse.

Nothing is written. Persons are those whom an event names, or a list; what a cohort refers to must be in the files too.

\b
Examples:
  muster preview cohorts.yaml
  muster preview cohorts.yaml --now 2026-01-12 --sample 100 --json
"""


def register(app: typer.Typer) -> None:
    app.command("preview", help=_HELP)(preview)


def preview(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILES", help="Definitions, as for muster apply.")],
    now: Annotated[str, typer.Option(metavar="INSTANT", help="The instant of the question; default: now.")] = "",
    sample: Annotated[
        int, typer.Option(min=0, max=SAMPLE_MAX, help="How many members to name, drawn at random.")
    ] = SAMPLE_DEFAULT,
    team: OnlyTeam = None,
    as_json: Json = False,
) -> None:
    from processors.clickhouse import preview as clickhouse
    from processors.clickhouse.history_source import source_of
    from processors.offline.definitions import read_asked

    shared = invocation(context, as_json)
    settings = shared.settings()
    if not settings.clickhouse:
        raise Failed("there is no ClickHouse to ask: set MUSTER_CLICKHOUSE; of files alone, muster members tells")
    asked = read_asked(files, team)
    warn(shared, asked.warnings)
    now_ms = instant_of(now, "--now") if now else clock_from(settings.clock).now_ms()
    trees = {cohort.key: parse_tree(cohort.versions[-1].when) for cohort in asked.registry.cohorts}
    if not trees:
        raise Failed("the files define no cohort")
    wanted = clickhouse.Asked(asked.team, trees, asked.lists)
    found = run_async(clickhouse.preview(settings.clickhouse, source_of(settings), wanted, now_ms, max(sample, 1)))
    plain = {
        "now": format_instant(now_ms),
        "begins": None if found.begins_ms is None else format_instant(found.begins_ms),
        "cohorts": {
            key: {"members": each.members, "some": list(each.some[:sample])} for key, each in found.cohorts.items()
        },
    }
    shared.answer(plain, lambda console: _show(console, found, now_ms, sample))


def _show(console: Console, found: Preview, now_ms: int, sample: int) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("cohort", "members", "among them"):
        table.add_column(title, justify="right" if title == "members" else "left", overflow="fold")
    for key, each in found.cohorts.items():
        table.add_row(key, f"{each.members:,}", Text(", ".join(each.some[:sample])))
    console.print(table)
    if found.begins_ms is None:
        console.print("\nClickHouse holds no event of this team.")
    else:
        begins = format_instant(found.begins_ms)
        console.print(f"\nAt {format_instant(now_ms)}, by events from {begins} on.", markup=False)
