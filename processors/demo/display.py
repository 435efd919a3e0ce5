"""Showing the scene: drawn anew several times a second in a terminal, as plain lines anywhere else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cohort_store.durations import format_instant
from processors.cli.watch import line_of
from processors.demo.scenario import HERO, HERO_FLAG, INSTANTS
from processors.demo.scene import Comparison, Scene

REFRESH_A_SECOND = 8
_BARS = " ▁▂▃▄▅▆▇█"
_COHORTS_A_TABLE = 5


class Display(Protocol):
    """Where the demo is seen."""

    def __enter__(self) -> Display: ...
    def __exit__(self, *error: object) -> None: ...

    def say(self, sentence: str) -> None:
        """Show a sentence that stays."""
        ...

    def update(self, scene: Scene) -> None:
        """The scene has changed."""
        ...

    def compared(self, comparison: Comparison) -> None:
        """Muster and ClickHouse were compared."""
        ...


class Lines:
    """Plain lines."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        return

    def say(self, sentence: str) -> None:
        self._console.print(sentence, markup=False)

    def update(self, scene: Scene) -> None:
        """What moves is for terminals only."""

    def compared(self, comparison: Comparison) -> None:
        sizes = " ".join(
            f"{cohort} {len(found.muster)}" for cohort, found in comparison.cohorts.items() if found.muster
        )
        verdict = "equal" if comparison.equal else "DIFFERENT"
        self._console.print(f"{format_instant(comparison.at_ms)[:16]}  {verdict}: {sizes}", markup=False)


class Drawn:
    """A picture of the scene, in place."""

    def __init__(self, console: Console) -> None:
        self._scene: Scene | None = None
        self._live = Live(
            get_renderable=self._picture, console=console, refresh_per_second=REFRESH_A_SECOND, transient=True
        )
        self._console = console

    def __enter__(self) -> Drawn:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def say(self, sentence: str) -> None:
        self._console.print(sentence, markup=False)

    def update(self, scene: Scene) -> None:
        self._scene = scene

    def compared(self, comparison: Comparison) -> None:
        """The picture counts them."""

    def _picture(self) -> RenderableType:
        return "" if self._scene is None else picture(self._scene)


def picture(scene: Scene) -> RenderableType:
    """The whole scene."""
    equal = sum(comparison.equal for comparison in scene.comparisons)
    head = Text.assemble(
        (format_instant(scene.clock_ms)[:16].replace("T", " "), "bold"),
        f"   {scene.sent:,} of {scene.events:,} events   {scene.changes_seen:,} changes   ",
        (
            f"equal to ClickHouse at {equal} of {len(scene.comparisons)} instants",
            "green" if equal == len(scene.comparisons) else "red",
        ),
        f" (of {INSTANTS})",
    )
    changes = Panel(Group(*map(line_of, list(scene.changes))), title="changes", title_align="left", border_style="dim")
    story = Panel(
        "\n".join(scene.story) or "...", title=f"{HERO}, flag {HERO_FLAG}", title_align="left", border_style="dim"
    )
    return Group(head, _cohorts(scene), Columns([changes, story], expand=False))


def _cohorts(scene: Scene) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("cohort", no_wrap=True)
    table.add_column("members", justify="right", min_width=11)
    table.add_column("so far", no_wrap=True)
    for cohort, sizes in scene.sizes.items():
        stored = f"all but {sizes[-1]}" if cohort in scene.complemented else str(sizes[-1])
        table.add_row(cohort, stored, Text(_bars(list(sizes)), "cyan"))
    return table


def _bars(sizes: Sequence[int]) -> str:
    highest = max(sizes) or 1
    return "".join(_BARS[-(-size * (len(_BARS) - 1) // highest)] for size in sizes)


def final_tables(comparisons: list[Comparison]) -> Iterable[Table]:
    """Each cohort's size beside the one that ClickHouse counts, at every instant."""
    cohorts = list(comparisons[0].cohorts)
    for start in range(0, len(cohorts), _COHORTS_A_TABLE):
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("at", no_wrap=True)
        chosen = cohorts[start : start + _COHORTS_A_TABLE]
        for cohort in chosen:
            table.add_column(cohort.replace("-", "-\n", 1), justify="right", no_wrap=True)
        for comparison in comparisons:
            cells = (comparison.cohorts[cohort] for cohort in chosen)
            table.add_row(
                format_instant(comparison.at_ms)[:10],
                *(_cell(len(c.muster), len(c.clickhouse), c.equal) for c in cells),
            )
        yield table


def _cell(muster: int, clickhouse: int, equal: bool) -> Text:
    if equal:
        return Text(f"{muster} = {clickhouse}", "dim" if not muster else "")
    return Text(f"{muster} ≠ {clickhouse}", "bold red")
