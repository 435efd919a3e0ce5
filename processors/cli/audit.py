"""`muster audit`: which administrative acts were done, by whom, and how they ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from cohort_store.settings import Settings
from processors.access.audit import Act
from processors.cli.invocation import Json, invocation, run_async

if TYPE_CHECKING:
    from processors.access.audit import AuditLine

SHOWN_DEFAULT, SHOWN_MAX = 50, 100_000

_HELP = f"""Show who applied, forgot, repaired, changed keys or told backfills what to do: the newest acts, in order.

Every such command writes a line into the topic muster.audit, which keeps all of them. A person who was forgotten
stands there as a digest of her id. What was merely read is not told of.

\b
Acts: {", ".join(Act)}.

\b
Examples:
  muster audit
  muster audit --act revoke_key --limit 5 --json
"""


def register(app: typer.Typer) -> None:
    app.command("audit", help=_HELP)(audit)


def audit(
    context: typer.Context,
    acts: Annotated[
        list[Act], typer.Option("--act", metavar="ACT", help="Only acts of this kind; repeat for more.")
    ] = [],  # noqa: B006 - typer makes a new one
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=SHOWN_MAX, metavar="N", help="So many, the newest.")
    ] = SHOWN_DEFAULT,
    as_json: Json = False,
) -> None:
    shared = invocation(context, as_json)
    found = [line for line in run_async(_read(shared.settings())) if not acts or line.act in acts][-limit:]
    shared.answer(msgspec.to_builtins(found), lambda console: _show(console, found))


async def _read(settings: Settings) -> list[AuditLine]:
    from cohort_store.kafka.topics import AUDIT, ensure_topics, muster_topics
    from processors.access.audit import read_account
    from processors.kafka.single_partition import SinglePartitionLog

    await ensure_topics(settings.kafka, muster_topics(settings.partitions), replication=settings.topic_replication)
    async with SinglePartitionLog(settings.kafka, AUDIT) as log:
        return await read_account(log)


def _show(console: Console, lines: list[AuditLine]) -> None:
    if not lines:
        console.print("Nothing was done yet.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("at", "act", "by", "outcome", "team", "about"):
        table.add_column(title, no_wrap=title != "about")
    for line in lines:
        about = msgspec.json.encode(line.about).decode() if line.about else ""
        said = f"{about} {line.error}".strip() if line.error else about
        table.add_row(line.at, line.act, line.by, line.outcome, str(line.team or "-"), said)
    console.print(table, markup=False)
