"""Asking control to fill history in, watching it, and cancelling it."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, Self

from rich.progress import BarColumn, Progress, TextColumn

from cohort_store.durations import format_duration
from cohort_store.redis.wiring import connect_mirror
from cohort_store.registry import Cohort, CohortVersion, Fill, Registry
from cohort_store.settings import Settings
from processors.backfill.asking import Asked, Asking, Ended, Outcome
from processors.backfill.filling_in import noted_status
from processors.backfill.ports import FillingStatus, Notes, Reading
from processors.backfill.progress import Progress as Standings
from processors.backfill.progress import Standing
from processors.cli.invocation import Failed, output, print_json
from processors.cli.roll import opened_roll

LOOK_S = 0.2
LINE_S = 1.0
"""At least so long between two lines of JSON."""
BEGUN_WITHIN_S = 30.0
"""How long control may take until it has noticed what is asked for: one that begins anew joins its group first."""
CANCELLED_WITHIN_S = 60.0
"""How long control may take to stop: what it is sending is sent to the end."""


class How(NamedTuple):
    """The bounds of a run."""

    since_ms: int | None = None
    persons_per_s: int | None = None
    max_threads: int | None = None

    @property
    def reading(self) -> Reading:
        """How ClickHouse is to be read."""
        return Reading(self.since_ms, self.max_threads)


class Shown(Protocol):
    """Where a run's progress is shown, from `with` to the end of it."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def look(self, status: FillingStatus | None, standing: Standing | None, waits_for: str) -> None:
        """One look. `status` None: nothing is under way yet."""
        ...


class Lines:
    """A line of JSON where something is new."""

    def __init__(self) -> None:
        self._last: Any = None
        self._at_s = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def look(self, status: FillingStatus | None, standing: Standing | None, waits_for: str) -> None:
        """See Shown."""
        news: dict[str, Any] = {"waits_for": waits_for}
        if status is not None and standing is not None:
            news |= {"part": status.part, "parts": status.parts, "persons": standing.persons}
        if news == self._last or time.monotonic() < self._at_s + LINE_S:
            return
        self._last, self._at_s = news, time.monotonic()
        if standing is not None:
            rate, left_s = standing.persons_per_s, standing.left_s
            news = news | {
                "share": round(standing.share, 4),
                "persons_per_s": None if rate is None else round(rate, 1),
                "left_s": None if left_s is None else round(left_s, 1),
            }
        print_json(news)


class Bar:
    """A bar on a terminal, gone at the end."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), console=output(), transient=True
        )
        self._task = self._bar.add_task("waiting for control", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def look(self, status: FillingStatus | None, standing: Standing | None, waits_for: str) -> None:
        """See Shown."""
        text = f"waiting for {waits_for}" if waits_for or standing is None else text_of(standing)
        share = None if standing is None or status is None or not status.parts else standing.share
        self._bar.update(self._task, description=text, total=None if share is None else 1.0, completed=share or 0.0)


def shown(as_json: bool) -> Shown:
    """A bar on a terminal, lines of JSON elsewhere."""
    return Lines() if is_for_scripts(as_json) else Bar()


def is_for_scripts(as_json: bool) -> bool:
    """Whether lines of JSON are wanted."""
    return as_json or not sys.stdout.isatty()


def text_of(standing: Standing) -> str:
    """How far it is, for people."""
    text = f"{standing.persons:,} persons"
    if standing.persons_per_s is not None:
        text += f", {standing.persons_per_s:,.0f}/s"
    if standing.left_s is not None:
        text += f", {format_duration(max(1, round(standing.left_s)) * 1_000)} left"
    return text


async def run(settings: Settings, chosen: Sequence[Cohort], how: How, as_json: bool) -> Ended:
    """Ask for the cohorts' history, and show how far it is until it has ended. Cancelled, it goes on without us."""
    handles = tuple(version.handle for each in chosen for version in each.versions)
    mirror = connect_mirror(settings)
    try:
        asking = Asking(mirror)
        before = await asking.asked()
        if before is not None:
            raise Failed(
                f"a backfill of {len(before.handles)} versions that was asked for has not ended, and there is one at a "
                "time: wait for it (muster backfill list says how far it is), or end it with muster backfill cancel"
            )
        asked = Asked(uuid.uuid4().hex, handles, *how)
        await asking.ask(asked)
        with shown(as_json) as view:
            return await until_ended(mirror, asking, asked, view)
    finally:
        await mirror.aclose()


async def until_ended(notes: Notes, asking: Asking, asked: Asked, view: Shown) -> Ended:
    """How the run ended, once it has. Raises Failed where control does not begin it, or another took its place."""
    standings = Standings()
    begun_by, is_begun = time.monotonic() + BEGUN_WITHIN_S, False
    while True:
        ended = await _ended(asking, asked.run)
        if ended is not None:
            return ended
        status = await noted_status(notes)
        is_begun = is_begun or status is not None or await asking.is_taken(asked.run)
        if not is_begun and time.monotonic() > begun_by and await asking.withdraw(asked):
            raise Failed(
                f"control has not noticed it in {BEGUN_WITHIN_S:g} s: is muster control running, with "
                "MUSTER_CLICKHOUSE set? It is asked for no more"
            )
        if status is None:
            view.look(None, None, "control")
        elif status.run != asked.run and not status.restores:
            view.look(None, None, "what is filled in by itself")
        else:
            standing = standings.look(status, time.monotonic())
            view.look(status, standing, status.waits_for)
        await asyncio.sleep(LOOK_S)


async def _ended(asking: Asking, run: str) -> Ended | None:
    """How the run ended; None: it has not. Raises Failed where another one was asked for in its place."""
    asked = await asking.asked()
    ended = await asking.ended()
    if ended is not None and ended.run == run:
        return ended
    if asked is None or asked.run != run:
        raise Failed("another backfill was asked for in this one's place: wait for that one, and ask again")
    return None


class Cancelled(NamedTuple):
    """What became of it."""

    left: tuple[tuple[int, str, int], ...]
    """(team, cohort, version): those that lack their history from here on."""
    is_run_ended: bool
    """Whether a run that somebody had asked for was ended."""


async def cancel(settings: Settings) -> Cancelled | None:
    """Stop what is under way or about to be, and wait until it has stopped; None: there is nothing.

    Raises Failed for what cannot be cancelled, and where control does not answer.
    """
    async with opened_roll(settings) as roll:
        awaiting = {version.handle for _, _, version in _versions(roll.registry) if version.awaits_history}
    mirror = connect_mirror(settings)
    try:
        asking = Asking(mirror)
        status, asked = await noted_status(mirror), await asking.asked()
        _check_no_restores(status)
        handles = frozenset(awaiting.union(status.handles if status else (), asked.handles if asked else ()))
        if not handles:
            return None
        await asking.cancel(handles)
        try:
            async with asyncio.timeout(CANCELLED_WITHIN_S):
                while await asking.cancelled():
                    _check_no_restores(await noted_status(mirror))
                    await asyncio.sleep(LOOK_S)
        except Failed:
            await asking.forget_cancelled()
            raise
        except TimeoutError:
            raise Failed(
                f"control has not stopped it in {CANCELLED_WITHIN_S:g} s: is muster control running, and do membership "
                "and Kafka answer? It is stopped as soon as control sees it"
            ) from None
        ended = await asking.ended()
    finally:
        await mirror.aclose()
    async with opened_roll(settings) as roll:
        left = tuple(
            (team, cohort.key, version.number)
            for team, cohort, version in _versions(roll.registry)
            if version.handle in handles and version.fill is Fill.LEFT
        )
    is_run_ended = (
        asked is not None
        and ended is not None
        and (ended.run, ended.outcome)
        == (
            asked.run,
            Outcome.CANCELLED,
        )
    )
    return Cancelled(left, is_run_ended)


def _check_no_restores(status: FillingStatus | None) -> None:
    if status is not None and status.restores:
        raise Failed(
            f"{len(status.restores)} shards that lost their records are being made whole again, which cannot be "
            "cancelled: nothing else would ever make them whole. muster backfill pause lets it rest"
        )


def _versions(registry: Registry) -> Sequence[tuple[int, Cohort, CohortVersion]]:
    return [
        (team.team, cohort, version)
        for team in registry.teams.values()
        for cohort in team.cohorts
        for version in cohort.versions
    ]
