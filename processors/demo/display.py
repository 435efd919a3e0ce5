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
from processors.backfill.ports import FillingStatus
from processors.cli.status import sentence_of
from processors.cli.watch import line_of
from processors.demo.scenario import HERO, HERO_FLAG, INSTANTS, Chapter
from processors.demo.scene import Comparison, Scene

REFRESH_A_SECOND = 8
_BARS = " ▁▂▃▄▅▆▇█"
_COHORTS_A_TABLE = 5
_BAR = 20


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

    def filling(self, sentence: str) -> None:
        """How far the filling in of history is; empty where there is none."""
        ...

    def compared(self, comparison: Comparison) -> None:
        """Muster and ClickHouse were compared."""
        ...


class Lines:
    """Plain lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._filling = ""

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        return

    def say(self, sentence: str) -> None:
        self._console.print(sentence, markup=False)

    def update(self, scene: Scene) -> None:
        """What moves is for terminals only."""

    def filling(self, sentence: str) -> None:
        if sentence and sentence != self._filling:
            self.say(sentence)
        self._filling = sentence

    def compared(self, comparison: Comparison) -> None:
        sizes = " ".join(
            f"{cohort} {len(found.muster)}" for cohort, found in comparison.cohorts.items() if found.muster
        )
        verdict = "equal" if comparison.equal else "DIFFERENT"
        chapter = "" if comparison.chapter is Chapter.LIVE else f", {comparison.chapter}"
        self._console.print(f"{format_instant(comparison.at_ms)[:16]}{chapter}  {verdict}: {sizes}", markup=False)


class Drawn:
    """A picture of the scene, in place."""

    def __init__(self, console: Console) -> None:
        self._scene: Scene | None = None
        self._filling = ""
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

    def filling(self, sentence: str) -> None:
        self._filling = sentence

    def compared(self, comparison: Comparison) -> None:
        """The picture counts them."""

    def _picture(self) -> RenderableType:
        scene = "" if self._scene is None else picture(self._scene)
        return Group(scene, Text(self._filling, "cyan")) if self._filling else scene


def picture(scene: Scene) -> RenderableType:
    """The whole scene."""
    live = [comparison for comparison in scene.comparisons if comparison.chapter is Chapter.LIVE]
    equal = sum(comparison.equal for comparison in live)
    head = Text.assemble(
        (format_instant(scene.clock_ms)[:16].replace("T", " "), "bold"),
        f"   {scene.sent:,} of {scene.events:,} events   {scene.changes_seen:,} changes   ",
        (
            f"equal to ClickHouse at {equal} of {len(live)} instants",
            "green" if equal == len(live) else "red",
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


def bar_of(filling: FillingStatus) -> str:
    """How much of a filling in is done, as a bar, before the words of `muster status`."""
    done = _BAR * filling.part // filling.parts if filling.parts else 0
    return f"{'█' * done}{'░' * (_BAR - done)}  {sentence_of(filling)}"


def final_tables(comparisons: list[Comparison]) -> Iterable[Table]:
    """Each cohort's size beside the one that ClickHouse counts, at every instant: a row each."""
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
                format_instant(comparison.at_ms)[:10] if comparison.chapter is Chapter.LIVE else comparison.chapter,
                *(_cell(len(c.muster), len(c.clickhouse), c.equal) for c in cells),
            )
        yield table


def _cell(muster: int, clickhouse: int, equal: bool) -> Text:
    if equal:
        return Text(f"{muster} = {clickhouse}", "dim" if not muster else "")
    return Text(f"{muster} ≠ {clickhouse}", "bold red")
