"""`python -m processors.demo`: exit status 0 where Muster and ClickHouse agree everywhere, 1 otherwise."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from cohort_store.clocks import SystemClock
from cohort_store.durations import UNITS_MS, format_duration, format_instant
from cohort_store.errors import MusterError
from processors.cli.invocation import output
from processors.demo.chapters import begin_with_history, edit_while_asked, lose_everything
from processors.demo.display import Display, Drawn, Lines, final_tables
from processors.demo.live import Live
from processors.demo.log import EVENTS, EventLog, load_log
from processors.demo.play import opened
from processors.demo.scenario import Chapter, begins_ms
from processors.demo.scene import Comparison
from processors.demo.stage import Stage

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
        stage = Stage(Path(folder), begins_ms(log), display.say)
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
    return asyncio.run(_play(stage, log, display))


async def _play(stage: Stage, log: EventLog, display: Display) -> list[Comparison]:
    with display:
        async with opened(stage, log, display) as play:
            await begin_with_history(play)
            await Live(play).run()
            await edit_while_asked(play)
            await lose_everything(play)
            return play.scene.comparisons


def _judge(console: Console, comparisons: list[Comparison], seconds: float) -> int:
    """Print the tables and the verdict; the exit status."""
    console.print("\nEach cohort's members in Muster = in ClickHouse (SQL over the raw events), as sets:\n")
    for table in final_tables(comparisons):
        console.print(table)
        console.print()
    live = [comparison for comparison in comparisons if comparison.chapter is Chapter.LIVE]
    empty = [cohort for cohort in live[0].cohorts if not any(each.cohorts[cohort].muster for each in live)]
    sets = different = 0
    for chapter in Chapter:
        found = [set_ for each in comparisons if each.chapter is chapter for set_ in each.cohorts.values()]
        equal = sum(each.equal for each in found)
        sets, different = sets + len(found), different + len(found) - equal
        console.print(f"{chapter:14}  {equal:3} of {len(found):3} sets equal", highlight=False)
    if different:
        console.print(f"{different} of {sets} differ", style="bold red")
    for cohort in empty:
        console.print(f"{cohort} was empty at every live instant, which shows nothing", style="bold red")
    if different or empty:
        return 1
    console.print(f"All {sets} sets are equal, after {seconds:.0f} s.", style="bold green")
    return 0


if __name__ == "__main__":
    sys.exit(main())
