"""`muster test`: cohorts tested like code."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from cohort_store.errors import BadDefinition
from processors.cli.explanation import lines_of
from processors.cli.invocation import FAILED, USAGE, Json, invocation

if TYPE_CHECKING:
    from processors.offline.case_runs import CaseResult, WrongPerson

_HELP = """Run the cases in FILE: each says who must be in which cohort at an instant, after some events.

Of a folder, those of all files *.test.yaml in it and below are run.

\b
  definitions: cohorts.yaml               seen from the file's own folder; or a list
  cases:
    - name: three purchases in 90 days make a regular
      now: 2026-01-12T12:00:00Z
      events:
        - {person_id: ann, event: purchase, at: [-1d, -2d, -89d]}
        - {person_id: bob, event: purchase, at: [-1d, -2d, -90d]}
      persons: [cyd]                      or {id: cyd, distinct_ids: [device-1], properties: {plan: pro}}
      expect:
        regulars: [ann]

No service needs to run. For each person who is in a cohort and should not be, or the other way round, the reason is
shown. Of a file named *.test.yaml, muster apply knows that it defines nothing. Exit status: 0 all passed; 1 a case
failed; 2 a file is refused, or wrong usage.

\b
Examples:
  muster test examples/shop
  muster test cohorts.test.yaml --junit report.xml
"""


def register(app: typer.Typer) -> None:
    app.command("test", help=_HELP)(run_cases)


def run_cases(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", exists=True, readable=True, help="Cases, or folders.")
    ],
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the results there too, in JUnit's XML.")
    ] = None,
    as_json: Json = False,
) -> None:
    from processors.cli.junit import junit_xml
    from processors.definition_reading import test_files_of
    from processors.offline.case_runs import run_files

    shared = invocation(context, as_json)
    try:
        results = list(run_files(test_files_of(files)))
    except BadDefinition as error:
        shared.errors.print(f"muster: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(USAGE) from None
    if junit is not None:
        junit.write_bytes(junit_xml(results))
    shared.answer(_plain(results), lambda console: _show(console, results))
    if any(not result.passed for result in results):
        raise typer.Exit(FAILED)


def _plain(results: Sequence[CaseResult]) -> dict[str, Any]:
    failed = sum(not result.passed for result in results)
    cases = [{**msgspec.to_builtins(result), "passed": result.passed} for result in results]
    return {"passed": len(results) - failed, "failed": failed, "cases": cases}


def _show(console: Console, results: Sequence[CaseResult]) -> None:
    for file, of_file in groupby(results, lambda result: result.file):
        console.print(file, markup=False)
        for result in of_file:
            mark = Text("  ok    ", "green") if result.passed else Text("  FAIL  ", "red")
            console.print(mark.append(result.name, "default"))
            for line in failure_lines(result):
                console.print(f"        {line}", markup=False)
    failed = sum(not result.passed for result in results)
    cases = "1 case" if len(results) == 1 else f"{len(results)} cases"
    console.print(f"{cases}: {len(results) - failed} passed, {failed} failed.")


def failure_lines(result: CaseResult) -> list[str]:
    """What is wrong in a case: for each cohort the persons too many and too few, and then the reason of each."""
    lines = []
    for cohort, wrong in groupby(result.wrong, lambda each: each.cohort):
        found = list(wrong)
        missing = [each.person for each in found if each.expected]
        extra = [each.person for each in found if not each.expected]
        lines += [f"{cohort}:", *(f"  - {each}  expected, and not in it" for each in missing)]
        lines += [f"  + {each}  in it, and not expected" for each in extra]
        for each in found:
            lines += [f"  {line}" for line in _reason(each)]
    return lines


def _reason(wrong: WrongPerson) -> list[str]:
    if not wrong.known:
        return [f"{wrong.person} is nobody in this case; name her under `persons`, or correct the id"]
    return list(lines_of(wrong.why, wrong.person))
