"""Options that take files: one or several behind each other, as a shell's pattern writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from cohort_store.durations import parse_instant_ms
from processors.cli.invocation import Failed, Invocation
from processors.row_files import BadLine

BAD_LINES_SHOWN_MAX = 100
_OPTIONS = ("--definitions", "--events", "--persons")


def _files(name: str, said: str) -> Any:
    return typer.Option(
        name, exists=True, dir_okay=False, readable=True, metavar="FILE...", show_default=False, help=said
    )


DefinitionFiles = Annotated[list[Path], _files("--definitions", "Cohorts, as for muster apply.")]
EventFiles = Annotated[list[Path], _files("--events", "What happened.")]
PersonFiles = Annotated[list[Path], _files("--persons", "Who there is, beside those of the events.")]
OnlyTeam = Annotated[
    int | None,
    typer.Option("--team", min=1, metavar="N", help="The team; else the definitions' only one."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse files with a line that cannot be used.")]


class ManyFiles(TyperCommand):
    """A command whose options for files may each be followed by several."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_repeated(args)))


def _repeated(args: list[str]) -> Iterator[str]:
    """The arguments, with the option said again before each further file."""
    option: str | None = None
    is_first = False
    for each in args:
        if each.startswith("-"):
            option, is_first = each if each in _OPTIONS else None, True
        elif option is not None:
            if not is_first:
                yield option
            is_first = False
        yield each


def instant_of(text: str, option: str) -> int:
    """An option's instant, in milliseconds; UTC where it names no zone. Raises BadParameter."""
    try:
        return parse_instant_ms(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


class BadLines:
    """Tells of lines that cannot be used, on stderr, the first BAD_LINES_SHOWN_MAX one by one."""

    def __init__(self, shared: Invocation) -> None:
        self._shared = shared
        self._count = 0

    def add(self, path: Path, line: BadLine) -> None:
        self._count += 1
        if self._count <= BAD_LINES_SHOWN_MAX:
            self._shared.errors.print(f"{path}:{line.number}: {line.problem}", markup=False, soft_wrap=True)

    def finish(self, *, strict: bool) -> None:
        """Say how many there were beyond those shown. Raises Failed where none is allowed."""
        if self._count > BAD_LINES_SHOWN_MAX:
            self._shared.errors.print(f"... and {self._count - BAD_LINES_SHOWN_MAX} more")
        if strict and self._count:
            raise Failed(f"{self._count} lines cannot be used, and --strict allows none: correct or remove them")
