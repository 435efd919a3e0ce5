"""`muster router`, `membership`, `control`, `archive`, `evaluator`: one role a process, for production."""

from __future__ import annotations

from collections.abc import Callable

import typer

from processors.cli.invocation import invocation
from processors.roles import WIRINGS, play

_ENDS = """It runs until SIGTERM or Ctrl-C, logs to stderr, and takes its addresses from the settings.

\b
Example:
  MUSTER_KAFKA=kafka:9092 MUSTER_REDIS=redis://redis:6379/0 muster {role}
"""

_HELP = {
    "router": "Play the router: raw events in, deltas out. Start as many as there is work for.",
    "membership": "Play an owner of shards: deltas in, membership out. Start as many as there is work for.",
    "control": "Play control: compile definitions, keep the books, show them on a web page. One is enough.",
    "archive": "Play the archive: raw events into ClickHouse. Leave it out where ClickHouse is fed already.",
    "evaluator": "Play the evaluator: answer flags and memberships over HTTP. Start as many as there is load for.",
}


def register(app: typer.Typer) -> None:
    for role in WIRINGS:
        app.command(role, help=f"{_HELP[role]}\n\n{_ENDS.format(role=role)}")(_command(role))


def _command(role: str) -> Callable[[typer.Context], None]:
    def command(context: typer.Context) -> None:
        play(role, invocation(context).settings())

    return command
