"""Entries and exits of each cohort, counted in windows of a minute and of an hour by Faust tables.

A batch that is read twice after a kill is counted twice: these are figures to look at, and nothing decides by them
(ClickHouse's `membership_changes` has each change once). A count belongs to the partition that it was read from, so
that it moves with that partition and is restored with it. Windows are of the time at which changes happened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import faust
import msgspec

from cohort_store.changes import ENTERED, LEFT, Change
from processors.control.books import change_time

MINUTE_S, HOUR_S = 60, 3_600
MINUTES_KEPT = 60
HOURS_KEPT = 48

_Key = tuple[str, tuple[float, float]]
"""A series' name, and the window's first and last instant in seconds: how Faust keys a windowed table."""


class FlowWindow(msgspec.Struct, frozen=True):
    """What happened to one cohort in one window."""

    team: int
    cohort: str
    starts_ms: int
    length_ms: int
    entered: int
    left: int


class FlowTables:
    """The two tables. `counted` is called inside the agent that reads the changes, with one partition's of a batch."""

    def __init__(self, app: faust.App, partitions: int) -> None:
        self._tables: dict[int, Any] = {
            length_s: app.Table(name, default=int, partitions=partitions)
            .tumbling(length_s, expires=kept * length_s)
            .table
            for name, length_s, kept in (("minutes", MINUTE_S, MINUTES_KEPT), ("hours", HOUR_S, HOURS_KEPT))
        }
        self._kept = {MINUTE_S: MINUTES_KEPT, HOUR_S: HOURS_KEPT}

    def count(self, partition: int, changes: Iterable[Change]) -> None:
        """Add changes that were read from that partition."""
        moved = [change for change in changes if change.status in (ENTERED, LEFT)]
        for table in self._tables.values():
            found: Counter[_Key] = Counter()
            for change in moved:
                found[_series(partition, change), table.window.current(_seconds(change))] += 1
            for key, number in found.items():
                _put(table, partition, key, table.data.get(key, 0) + number)

    def forget(self, owned: Iterable[int], now_ms: int) -> None:
        """Drop the windows that ended too long ago, of those partitions."""
        mine = set(owned)
        for length_s, table in self._tables.items():
            horizon = now_ms / 1_000 - self._kept[length_s] * length_s
            for key in [key for key in list(table.data) if key[1][1] < horizon]:
                partition = _parse(key[0])[0]
                if partition in mine:
                    _put(table, partition, key, None)
                else:
                    table.data.pop(key, None)

    def windows(self, owned: Iterable[int]) -> list[FlowWindow]:
        """Every window, the latest first, as far as these partitions know."""
        mine = set(owned)
        found: dict[tuple[int, str, int, int], Counter[str]] = {}
        for length_s, (name, (start_s, _)), number in self._counts():
            partition, team, status, cohort = _parse(name)
            if partition in mine:
                at = (team, cohort, int(start_s * 1_000), length_s * 1_000)
                found.setdefault(at, Counter())[status] += number
        windows = [FlowWindow(*at, counts[ENTERED], counts[LEFT]) for at, counts in found.items()]
        return sorted(windows, key=lambda w: (-w.length_ms, -w.starts_ms, w.team, w.cohort))

    def _counts(self) -> Iterator[tuple[int, _Key, int]]:
        for length_s, table in self._tables.items():
            for key, number in list(table.data.items()):
                yield length_s, key, number


def _put(table: Any, partition: int, key: _Key, number: int | None) -> None:
    """Set (None: delete) one count and tell the changelog, in the partition that the count belongs to.

    Not `table[key] = number`: that would log to the partition of whichever message the agent saw last.
    """
    if number is None:
        table.data.pop(key, None)
        table.send_changelog(partition, key, None, value_serializer="raw")
    else:
        table.data[key] = number
        table.send_changelog(partition, key, number)


def _series(partition: int, change: Change) -> str:
    return f"{partition}:{change.team_id}:{change.status}:{change.cohort}"


def _parse(name: str) -> tuple[int, int, str, str]:
    partition, team, status, cohort = name.split(":", 3)
    return int(partition), int(team), status, cohort


def _seconds(change: Change) -> float:
    return change_time(change).timestamp()
