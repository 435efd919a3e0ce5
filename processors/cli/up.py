"""`muster up`: everything on the embedded parts, until Ctrl-C."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from processors.cli.invocation import Failed, Invocation, Json, invocation, load_settings, output, print_json
from processors.up.configuration import CONFIGURATION_FILE

if TYPE_CHECKING:
    from processors.up.installation import Installation

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_S = 0.25
READY_DEADLINE_S = 60.0

_HELP = """Run all of Muster on this machine: broker, view, history and every role, in one process tree.

Everything is kept in one data folder, but for the log: the embedded broker holds it in memory. Ctrl-C ends all
of it. Commands in other terminals find it by themselves when they run in the same folder, or by
`muster --data DIR` before their name.

\b
Examples:
  muster up
  muster up --data /var/tmp/muster --port 8300
"""

Port = Annotated[int | None, typer.Option(metavar="PORT", min=1, max=65_535, help="Its port; any free one otherwise.")]


def register(app: typer.Typer) -> None:
    app.command("up", help=_HELP)(up)


def up(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="The data folder; ./muster-data otherwise.")] = None,
    port: Annotated[
        int | None,
        typer.Option(metavar="PORT", min=1, max=65_535, help="The evaluator's; 8300, or a free one, otherwise."),
    ] = None,
    kafka_port: Port = None,
    redis_port: Port = None,
    clickhouse_port: Port = None,
    as_json: Json = False,
) -> None:
    from processors.up.column import PartPorts
    from processors.up.installation import Installation

    shared = invocation(context, as_json)
    chosen: dict[str, Any] = {} if port is None else {"evaluator_port": port}
    settings = load_settings(**chosen)
    folder = data or shared.data or Path(settings.data_dir)
    ports = PartPorts(kafka=kafka_port, redis=redis_port, clickhouse=clickhouse_port)
    for name in _ENDING:
        signal.signal(name, signal.default_int_handler)
    installation = Installation(folder, ports, chosen, shared.errors.print)
    try:
        _run(installation, shared)
    except KeyboardInterrupt:
        shared.errors.print("ending ...")
    finally:
        for name in _ENDING:
            signal.signal(name, signal.SIG_IGN)
        installation.stop()


def _run(installation: Installation, shared: Invocation) -> None:
    installation.start()
    _wait_until_well(installation)
    _show(installation, shared)
    while True:
        time.sleep(POLL_S)
        installation.tend()


def _wait_until_well(installation: Installation) -> None:
    from processors.cli.diagnosis import examine_until_well

    deadline = time.monotonic() + READY_DEADLINE_S
    while not installation.answers():
        if time.monotonic() > deadline:
            raise Failed(f"not every role answered within {READY_DEADLINE_S:g} s; see {installation.folder / 'logs'}")
        time.sleep(POLL_S)
        installation.tend()
    wrong = examine_until_well(installation.settings, deadline - time.monotonic())
    if wrong:
        raise Failed("; ".join(f"{finding.part}: {finding.detail}" for finding in wrong))


def _show(installation: Installation, shared: Invocation) -> None:
    addresses = installation.addresses()
    if shared.as_json:
        print_json({"folder": str(installation.folder), "addresses": {each.name: each.address for each in addresses}})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("part", "address", "log"):
        table.add_column(title, no_wrap=True)
    for each in addresses:
        table.add_row(each.name, each.address, str(each.log.relative_to(installation.folder)))
    console = output()
    console.print(table)
    console.print(f"\nMuster is up on {installation.folder} (settings: {CONFIGURATION_FILE} there). Ctrl-C ends it.")
    console.print(f"A secret key with every right is in {installation.settings.secret_key_file}.")
