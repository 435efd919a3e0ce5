"""`python -m processors.demo`: exit status 0 where Muster and ClickHouse agree everywhere, 1 otherwise."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from cohort_store.clocks import SystemClock
from cohort_store.durations import UNITS_MS, format_duration, format_instant
from cohort_store.errors import MusterError
from processors.cli.apply import summary
from processors.cli.invocation import output
from processors.definitions_log import apply
from processors.demo.display import Display, Drawn, Lines, final_tables
from processors.demo.log import COHORTS, EVENTS, FLAGS, EventLog, load_log, moved_definitions
from processors.demo.play import performance
from processors.demo.scene import Comparison
from processors.demo.stage import Stage

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LEAD_MS = UNITS_MS["d"]
"""The clock starts so long before the first event."""


def main() -> int:
    console = output()
    for name in _ENDING:
        signal.signal(name, signal.default_int_handler)
    if not EVENTS.is_file():
        console.print(f"the demo plays {EVENTS}, which is part of the source tree and not of the package")
        return 1
    started_s = time.monotonic()
    log = load_log(EVENTS, SystemClock().now_ms() // UNITS_MS["s"] * UNITS_MS["s"])
    display = Drawn(console) if console.is_terminal else Lines(console)
    with tempfile.TemporaryDirectory(prefix="muster-demo-") as folder:
        stage = Stage(Path(folder), log.first_ms - LEAD_MS, display.say)
        try:
            comparisons = _perform(stage, log, display)
        except KeyboardInterrupt:
            console.print("ended by hand")
            return 130
        except MusterError as error:
            console.print(f"the demo failed: {error}", markup=False)
            return 1
        finally:
            for name in _ENDING:
                signal.signal(name, signal.SIG_IGN)
            stage.stop()
    return _judge(console, comparisons, time.monotonic() - started_s)


def _perform(stage: Stage, log: EventLog, display: Display) -> list[Comparison]:
    moved = format_duration(log.shift_ms // UNITS_MS["m"] * UNITS_MS["m"])
    display.say(
        f"{len(log.events):,} events of {format_instant(log.first_ms)[:10]} to {format_instant(log.last_ms)[:10]}"
        f" (all times moved by {moved}, so that the log ends now)"
    )
    stage.start()
    names = ", ".join(address.name for address in stage.installation.addresses())
    display.say(f"up: {names}")
    definitions = stage.installation.folder / "shop.json"
    definitions.write_text(json.dumps(moved_definitions(COHORTS, log.shift_ms)))
    files = [definitions, FLAGS]
    display.say(summary(asyncio.run(apply(stage.installation.settings, files, prune=False, dry_run=False))))
    return asyncio.run(_play(stage, log, display))


async def _play(stage: Stage, log: EventLog, display: Display) -> list[Comparison]:
    with display:
        async with performance(stage, log, display) as performed:
            return await performed.run()


def _judge(console: Console, comparisons: list[Comparison], seconds: float) -> int:
    """Print the tables and the verdict; the exit status."""
    console.print("\nEach cohort's members in Muster = in ClickHouse (SQL over the raw events), as sets:\n")
    for table in final_tables(comparisons):
        console.print(table)
        console.print()
    different = sum(not found.equal for comparison in comparisons for found in comparison.cohorts.values())
    empty = [
        cohort for cohort in comparisons[0].cohorts if not any(each.cohorts[cohort].muster for each in comparisons)
    ]
    total = sum(len(comparison.cohorts) for comparison in comparisons)
    if different:
        console.print(f"{different} of {total} differ", style="bold red")
    for cohort in empty:
        console.print(f"{cohort} was empty at every instant, which shows nothing", style="bold red")
    if different or empty:
        return 1
    console.print(f"All {total} sets are equal, after {seconds:.0f} s.", style="bold green")
    return 0


if __name__ == "__main__":
    sys.exit(main())
