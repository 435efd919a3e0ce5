"""`muster stale`: flags that have had their day."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from processors.cli.evaluator_requests import ask
from processors.cli.invocation import Failed, Json, invocation, run_async

_HELP = """List flags that have had their day, each with what shows it.

A flag is stale that nobody has asked for (a week, counted), or not for 30 days; that is off, or the same for
everybody, and was not edited for 30 days; that is targeted and answered everybody alike for 30 days; or that asks a
cohort with nobody in it, everybody in it, or that nobody defines any more. A running evaluator is asked; calls are
counted in ClickHouse, and what is not known is said. With --prompt, the text for a coding assistant that cleans up.

\b
Examples:
  muster stale
  muster stale --prompt old-checkout
  muster stale --json
"""


def register(app: typer.Typer) -> None:
    app.command("stale", help=_HELP)(stale)


def stale(
    context: typer.Context,
    prompt: Annotated[str | None, typer.Option(metavar="KEY", help="Only the clean-up prompt for this flag.")] = None,
    as_json: Json = False,
) -> None:
    shared = invocation(context, as_json)
    found = run_async(ask(shared.settings(), "/flags/stale"))
    if prompt is not None:
        found = _of(found, prompt)
        shared.answer(found, lambda console: console.print(found["prompt"], markup=False, end=""))
        return
    shared.answer(found, lambda console: _show(console, found))


def _of(found: dict[str, Any], key: str) -> dict[str, Any]:
    flag: dict[str, Any] | None = next((each for each in found["flags"] if each["key"] == key), None)
    if flag is None:
        raise Failed(f"nothing is stale about flag {key!r}; muster stale lists the flags that are")
    return flag


def _show(console: Console, found: dict[str, Any]) -> None:
    for flag in found["flags"]:
        console.print(flag["key"], style="bold", markup=False)
        for finding in flag["findings"]:
            console.print(f"  {finding['kind']}: {finding['detail']}", markup=False)
    stale, all_flags = len(found["flags"]), found["looked_at"]
    console.print(f"{stale} of {all_flags} flags are stale." if stale else f"No flag of {all_flags} is stale.")
    for each in found.get("unknown", ()):
        console.print(f"Not known: {each}.", markup=False)
    if found["flags"]:
        console.print(
            f"What to do, for a coding assistant: muster stale --prompt {found['flags'][0]['key']}", markup=False
        )
