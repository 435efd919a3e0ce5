"""What `muster backfill --dry-run` says: who would come into cohorts and who would go, with nothing written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from cohort_store.durations import format_instant
from cohort_store.plans import compile_plan
from cohort_store.registry import Cohort
from cohort_store.settings import Settings
from processors.backfill.dry_run import DryRun, Movement
from processors.backfill.wanted import wanted_of
from processors.backfill.wiring import history_of
from processors.cli.backfill_runs import How, is_for_scripts
from processors.cli.invocation import Failed, output
from processors.cli.roll import opened_roll

SAMPLE = 5


async def compared(settings: Settings, team: int, chosen: Sequence[Cohort], how: How, as_json: bool) -> dict[str, Any]:
    """By cohort, who would come and who would go, of the version that is to answer next.

    Raises Failed while there are shards of which nothing is known.
    """
    history = history_of(settings).read_as(how.reading)
    async with opened_roll(settings) as roll:
        positions = await roll.reader.positions(range(settings.shards))
        if len(positions) < settings.shards:
            raise Failed(
                f"{settings.shards - len(positions)} of {settings.shards} shards have no position, so that nothing can "
                "be compared with them: start muster membership, and ask again"
            )
        handles = [each.versions[-1].handle for each in chosen]
        wanted = wanted_of(roll.registry, team, frozenset(handles))
        persons = await history.persons(team)
        parts = -(-persons // settings.backfill_part_persons) or 1
        run = DryRun(roll.reader, compile_plan(roll.registry).team(team), positions, handles)
        with Progress(console=output(), disable=is_for_scripts(as_json), transient=True) as bar:
            task = bar.add_task(f"comparing {persons:,} persons", total=parts)
            found = await run.compare(history, wanted, parts, SAMPLE, lambda done: bar.update(task, completed=done))
        stored = await roll.reader.sizes(handles)
    return {
        "now": format_instant(min(position.now_ms for position in positions.values())),
        "persons": run.persons,
        "cohorts": {
            each.cohort.key: {
                "version": each.cohort.number,
                "stored": size,
                "complemented": each.cohort.complemented,
                "come": _plain(each.come),
                "go": _plain(each.go),
            }
            for each, size in zip(found, stored, strict=True)
        },
    }


def _plain(movement: Movement) -> dict[str, Any]:
    return {"persons": movement.count, "some": sorted(movement.some)}


def show(console: Console, found: dict[str, Any]) -> None:
    """The answer, for people."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("cohort", "v", "size", "come", "go", "among them"):
        is_number = title in ("v", "size", "come", "go")
        table.add_column(title, justify="right" if is_number else "left", overflow="fold")
    for key, each in found["cohorts"].items():
        size = f"all but {each['stored']:,}" if each["complemented"] else f"{each['stored']:,}"
        some = [f"+{person}" for person in each["come"]["some"]] + [f"-{person}" for person in each["go"]["some"]]
        come, go = (f"{each[name]['persons']:,}" for name in ("come", "go"))
        table.add_row(key, str(each["version"]), size, come, go, Text(", ".join(some)))
    console.print(table)
    console.print(
        f"\nOf {found['persons']:,} persons, at {found['now']}; nothing was written. What is in flight between Kafka "
        "and the roll may make a difference.",
        markup=False,
    )
