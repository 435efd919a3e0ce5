"""`docs/cli.md`, made from the commands' own help: `python -m processors.cli.reference` prints it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from processors.cli.application import build

WIDTH = 100

_HEAD = """# The command `muster`

Made by `make docs` from what `muster --help` and `muster COMMAND --help` print; a test holds the two to each other.
"""


def render() -> str:
    """The whole page."""
    group = typer.main.get_command(build())
    if not isinstance(group, TyperGroup):
        raise TypeError("the application has only one command")
    parts = [_HEAD, _section("muster", group, None)]
    parts += _sections(group, "")
    return "\n".join(parts)


def _sections(group: TyperGroup, before: str) -> Iterator[str]:
    """Every command of a group, and behind a group its own."""
    for name, command in group.commands.items():
        yield _section(f"muster {before}{name}", command, f"{before}{name}")
        if isinstance(command, TyperGroup):
            yield from _sections(command, f"{before}{name} ")


def _section(title: str, command: Any, name: str | None) -> str:
    context = typer.Context(command, info_name=title, terminal_width=WIDTH, help_option_names=["-h", "--help"])
    lines = (line.rstrip() for line in command.get_help(context).splitlines())
    heading = f"## {title}" if name is None else f"## {name}"
    return f"{heading}\n\n```text\n" + "\n".join(lines) + "\n```\n"


if __name__ == "__main__":
    sys.stdout.write(render())
