"""`muster apply`: put definitions in force."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from cohort_store.durations import format_instant
from processors.access.audit import Act, some
from processors.cli.audited import audited
from processors.cli.invocation import Json, invocation, run_async, warn

if TYPE_CHECKING:
    from processors.definitions_log import ApplyReport, CohortNotice

_HELP = """Put the cohorts and flags that files define in force, all of them or none.

Files are YAML or JSON, in PostHog's form too (see `muster import posthog`). Everything is validated first, and nothing
is written where anything is refused. Definitions that no file holds stay as they are, but for --prune. It ends when
control has compiled what was written.

\b
Examples:
  muster apply examples/shop/*.yaml
  muster apply --dry-run cohorts.yaml      what would change
  muster apply --prune definitions/*.yaml  drop what these files do not define
"""
_COLOURS = {"created": "green", "edited": "yellow", "dropped": "red", "unchanged": "dim"}


def register(app: typer.Typer) -> None:
    app.command("apply", help=_HELP)(apply)


def apply(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False, readable=True, help="YAML or JSON.")
    ],
    prune: Annotated[
        bool, typer.Option("--prune", help="Drop what none of the files defines, in the teams that they name.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Validate, say what would change, and write nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    from processors import definitions_log

    shared = invocation(context, as_json)
    settings = shared.settings()
    if dry_run:
        report = run_async(definitions_log.apply(settings, files, prune=prune, dry_run=True))
    else:
        with audited(shared, settings, Act.APPLY, prune=prune, files=some([str(each) for each in files])) as account:
            report = run_async(definitions_log.apply(settings, files, prune=prune, dry_run=False))
            account.about |= _account_of(report)
    warn(shared, report.warnings)
    shared.answer(_plain(report), lambda console: _show(console, report))


def summary(report: ApplyReport) -> str:
    """How many definitions were created, edited, …, in one sentence."""
    counted = Counter(change.action.value for change in report.changes)
    done = ", ".join(f"{counted[action]} {action}" for action in _COLOURS if counted[action]) or "nothing to do"
    if report.registry_version is None:
        return f"{done} (a dry run: nothing was written)"
    return f"{done}; in force with registry version {report.registry_version}"


def _account_of(report: ApplyReport) -> dict[str, Any]:
    """What the account of an apply says that it did."""
    changes = [f"{each.action} {each.name}" for each in report.changes if each.action.value != "unchanged"]
    return {"apply": report.id, "registry_version": report.registry_version, "changes": some(changes)}


def _plain(report: ApplyReport) -> dict[str, Any]:
    return {
        "apply": report.id,
        "registry_version": report.registry_version,
        "changes": [{**change.name._asdict(), "action": change.action.value} for change in report.changes],
        "notices": [asdict(notice) for notice in report.notices],
        "warnings": list(report.warnings),
    }


def _show(console: Console, report: ApplyReport) -> None:
    notices = {(notice.team, notice.key): notice for notice in report.notices}
    for change in report.changes:
        name = change.name
        line = Text(f"{change.action.value:9}", _COLOURS[change.action.value])
        line.append(f"  {name.kind:6}  {name.key}", "default")
        notice = notices.get((name.team, name.key)) if name.kind == "cohort" else None
        line.append(f"  {_said(notice)}" if notice else "", "dim")
        console.print(line)
    console.print(f"{summary(report)}.")


def _said(notice: CohortNotice) -> str:
    """What the author of a cohort should know of it, in a few words."""
    said = []
    if notice.members is not None:
        said.append(f"a list of {notice.members:,}")
    if notice.building:
        said.append(
            "answers once its list is everywhere"
            if notice.first
            else "the version before answers until this one is ready"
        )
    if notice.complemented:
        said.append("holds for people never seen: exceptions are kept")
    if notice.kept_for_ever:
        said.append(f"{' and '.join(notice.kept_for_ever)}: a record for ever of everybody concerned")
    if notice.warming_until_ms is None:
        said.append(f"complete from {format_instant(notice.complete_from_ms)[:16]}Z on")
    else:
        said.append(f"complete at {format_instant(notice.warming_until_ms)[:16]}Z")
    return "; ".join(said)
