"""`muster import posthog`: cohorts and flags of PostHog's as a definitions file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cohort_store.posthog.importing import Imported, import_posthog
from processors.cli.invocation import Failed, Json, invocation, warn
from processors.definition_reading import text_of

_GROUP_HELP = """Take definitions along from elsewhere.

\b
Example:
  muster import posthog export.json > cohorts.yaml
"""
_HELP = """Turn PostHog's cohorts and flags into Muster's definitions, and print them as YAML.

Files are what PostHog's API gives: one cohort, a list, a page ({"results": [...]}), or a bundle {"cohorts": [...],
"actions": [...], "flags": [...], "team": {"timezone": ..., "test_account_filters": [...]}}. A static cohort needs its
"members". What is left out, or means something slightly different here, is told on stderr.
`muster apply` takes the same files directly.

\b
Examples:
  muster import posthog cohorts.json actions.json > cohorts.yaml
  muster import posthog export.json --output cohorts.yaml && muster apply cohorts.yaml
"""


def register(app: typer.Typer) -> None:
    group = typer.Typer(help=_GROUP_HELP, no_args_is_help=True, rich_markup_mode=None)
    group.callback()(_from)
    group.command("posthog", help=_HELP)(posthog)
    app.add_typer(group, name="import")


def _from() -> None:
    pass


def posthog(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False, readable=True, help="JSON.")
    ],
    to: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", dir_okay=False, help="Write there, not to stdout.")
    ] = None,
    as_json: Json = False,
) -> None:
    shared = invocation(context, as_json)
    made = import_posthog([text_of(file) for file in files])
    warn(shared, made.warnings)
    if to is not None:
        _write(to, made)
    plain = {"cohorts": made.cohorts, "flags": made.flags, "warnings": made.warnings}
    shared.answer(plain, lambda console: _show(console, made, to))


def _write(to: Path, made: Imported) -> None:
    try:
        to.write_text(made.yaml(), encoding="utf-8")
    except OSError as error:
        raise Failed(f"{to} cannot be written ({error.strerror}); name another file") from None


def _show(console: Console, made: Imported, to: Path | None) -> None:
    if to is None:
        console.out(made.yaml(), end="")
    else:
        counted = f"{len(made.cohorts)} cohorts and {len(made.flags)} flags"
        console.print(f"{counted} written to {to}, with {len(made.warnings)} warnings.", markup=False)
