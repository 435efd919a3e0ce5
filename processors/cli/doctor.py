"""`muster doctor`: what is wrong, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from processors.cli.invocation import FAILED, Json, invocation

if TYPE_CHECKING:
    from processors.cli.diagnosis import Finding

_HELP = """Try every part that is configured, and say what is wrong and what to do.

The exit status is 1 where something is wrong.

\b
Examples:
  muster doctor
  muster doctor --json
"""
_COLOURS = {"ok": "green", "note": "yellow", "wrong": "red"}


def register(app: typer.Typer) -> None:
    app.command("doctor", help=_HELP)(doctor)


def doctor(context: typer.Context, as_json: Json = False) -> None:
    from processors.cli.diagnosis import Verdict, examine

    shared = invocation(context, as_json)
    findings = examine(shared.settings())
    well = all(finding.verdict is not Verdict.WRONG for finding in findings)
    plain = {"well": well, "findings": [finding._asdict() for finding in findings]}
    shared.answer(plain, lambda console: _show(console, findings))
    if not well:
        raise typer.Exit(FAILED)


def _show(console: Console, findings: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        verdict = f"[{_COLOURS[finding.verdict]}]{finding.verdict}[/]"
        table.add_row(verdict, finding.part, finding.detail)
        if finding.remedy:
            table.add_row("", "", f"→ {finding.remedy}")
    console.print(table)
