"""`muster members`: who is in which cohort at an instant, from files alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cohort_store.durations import format_instant
from processors.cli.file_options import (
    BadLines,
    DefinitionFiles,
    EventFiles,
    ManyFiles,
    OnlyTeam,
    PersonFiles,
    Strict,
    instant_of,
)
from processors.cli.invocation import Json, invocation, warn

if TYPE_CHECKING:
    from processors.offline.log import Log
    from processors.offline.timelines_engine import Members

IDS_SHOWN_MAX = 5

Engine = Literal["timelines", "clickhouse"]

_HELP = """Say who is in each cohort at an instant, from files alone: no service needs to run.

The persons are those of the persons files and of the events, whenever these are dated; events after --now do not count
yet. A file does not say when its events arrived, so none is refused for being too far ahead of its arrival. Properties
in the persons files are the present ones, and stand above what events set. Files may be JSONL or CSV (.csv), gzipped
(.gz), or Parquet (.parquet):

\b
  events   {"uuid"?, "event", "person_id" and/or "distinct_id", "timestamp", "properties"?, "team_id"?},
           or PostHog's clickhouse_events_json
  persons  {"person_id" or "id", "distinct_ids"?, "created_at"?, "properties"?}

\b
Examples:
  muster members --definitions cohorts.yaml --events events.jsonl --now 2026-01-12T12:00:00Z
  muster members --definitions examples/shop/*.yaml --events examples/shop/events.csv.gz --now 2024-03-01 --json
"""


def register(app: typer.Typer) -> None:
    app.command("members", help=_HELP, cls=ManyFiles)(members)


def members(  # noqa: PLR0913 - a command has an argument for each option
    context: typer.Context,
    definitions: DefinitionFiles,
    events: EventFiles,
    now: Annotated[str, typer.Option(metavar="INSTANT", help="The instant of the question, ISO 8601; UTC if naive.")],
    persons: PersonFiles = [],  # noqa: B006 - typer makes a new one
    engine: Annotated[
        Engine, typer.Option(help="timelines: the conditions themselves; clickhouse: SQL, in chDB.")
    ] = "timelines",
    team: OnlyTeam = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    from processors.offline.definitions import read_asked
    from processors.offline.engines import members_by
    from processors.offline.log import Log, LogFiles

    shared = invocation(context, as_json)
    now_ms = instant_of(now, "--now")
    asked = read_asked(definitions, team)
    warn(shared, asked.warnings)
    told = BadLines(shared)
    log = Log(LogFiles(tuple(events), tuple(persons), asked.team), now_ms, told.add)
    found = members_by(engine, asked, log, now_ms)
    told.finish(strict=strict)
    shared.answer(found, lambda console: _show(console, found, log, now_ms))


def _show(console: Console, found: Members, log: Log, now_ms: int) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("cohort", "members", "among them"):
        table.add_column(title, justify="right" if title == "members" else "left", overflow="fold")
    for key, ids in found.items():
        shown = ", ".join(ids[:IDS_SHOWN_MAX]) + (", ..." if len(ids) > IDS_SHOWN_MAX else "")
        table.add_row(key, f"{len(ids):,}", Text(shown))
    console.print(table)
    later = f"; {log.later:,} events are dated later and do not count yet" if log.later else ""
    everybody = len(log.identities.everybody())
    console.print(f"\nOf {everybody:,} persons, at {format_instant(now_ms)}{later}.", markup=False)
