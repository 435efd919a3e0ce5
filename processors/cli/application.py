"""The list of commands, and what happens to an error that none of them expected."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from cohort_store.errors import MusterError, Retry
from processors.cli import (
    apply,
    audit,
    backfill,
    doctor,
    flag,
    forget,
    importing,
    keys,
    members,
    offline,
    past,
    preview,
    reconcile,
    roles,
    send,
    stale,
    status,
    testing,
    up,
    watch,
    why,
)
from processors.cli.invocation import CONFIG, FAILED, USAGE, Invocation, WrongSettings

DISTRIBUTION = "muster-cohorts"
INTERRUPTED = 130
_ADDRESSES = ("MUSTER_KAFKA", "MUSTER_REDIS", "MUSTER_CLICKHOUSE")

_HELP = """Who is, right now, in which behavioral cohort: from Kafka events to feature flags.

\b
Try it on one machine, with nothing else installed:
  muster up                                          in one terminal
  muster apply examples/shop/*.yaml                  in another
  muster send examples/shop/events.csv.gz --end now
  muster who regulars

Settings are environment variables MUSTER_* above a file: the one that MUSTER_CONFIG names, else
./muster.toml, else that of the `muster up` that runs on ./muster-data (or on that of `muster --data DIR who ...`).
"""

_EPILOG = "Exit status: 0 done; 1 refused or failed, with the reason on stderr; 2 wrong usage or wrong settings."


def _version(wanted: bool) -> None:
    if wanted:
        try:
            number = version(DISTRIBUTION)
        except PackageNotFoundError:
            number = "of a source tree that is not installed"
        typer.echo(f"muster {number}")
        raise typer.Exit


def _shared(
    context: typer.Context,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Speak to the `muster up` that runs on this folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON, as after each command.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    context.obj = Invocation(data, as_json)


def build() -> typer.Typer:
    """The application, with every command."""
    app = typer.Typer(
        name="muster",
        help=_HELP,
        epilog=_EPILOG,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_shared)
    for module in (
        *(up, apply, importing, preview, backfill, reconcile, send, status, members, past, why, flag, stale, forget),
        *(offline, testing, watch, doctor, keys, audit, roles),
    ):
        module.register(app)
    return app


def run(arguments: list[str] | None = None) -> int:
    """Run one command line; the exit status."""
    try:
        typer.main.get_command(build()).main(args=arguments, prog_name="muster")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except WrongSettings as error:
        return _say(error, USAGE)
    except Retry as error:
        return _say(f"{error}{_where_it_was_looked()}", FAILED)
    except MusterError as error:
        return _say(error, FAILED)
    except BrokenPipeError:
        return FAILED
    return 0


def _where_it_was_looked() -> str:
    """A way out for whoever stands in another folder than that of her `muster up`."""
    if CONFIG in os.environ or Path("muster.toml").exists() or any(name.startswith(_ADDRESSES) for name in os.environ):
        return ""
    return (
        "\nThere are no settings here, and no `muster up` runs on ./muster-data: go to its folder, or say "
        "muster --data DIR before the command"
    )


def _say(error: Exception | str, status: int) -> int:
    typer.echo(f"muster: {error}", err=True)
    return status
