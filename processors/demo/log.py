"""The example log, its times moved as a whole so that it ends at a given instant."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cohort_store.definition_text import DefinitionText, read_text
from cohort_store.durations import format_instant, parse_instant_ms
from cohort_store.errors import Crash
from processors.codecs.event import Limits
from processors.codecs.plain import PlainCodec
from processors.event_files import EventLine, read_lines
from processors.row_files import opened

SHOP = Path(__file__).resolve().parents[2] / "examples" / "shop"
EVENTS = SHOP / "events.csv.gz"
COHORTS = SHOP / "cohorts.yaml"
FLAGS = SHOP / "flags.yaml"


class LoggedEvent(NamedTuple):
    """One event as it is sent, and when it happened."""

    time_ms: int
    person: str
    raw: bytes


class EventLog:
    """All events by time, and by how much their times were moved."""

    def __init__(self, events: Sequence[LoggedEvent], shift_ms: int) -> None:
        self.events = tuple(sorted(events, key=lambda event: event.time_ms))
        self.shift_ms = shift_ms
        self._times = [event.time_ms for event in self.events]

    @property
    def first_ms(self) -> int:
        return self._times[0]

    @property
    def last_ms(self) -> int:
        return self._times[-1]

    def moved(self, written: str) -> int:
        """An instant of the log as it is shipped, where it lies now."""
        return parse_instant_ms(written) + self.shift_ms

    def until(self, instant_ms: int) -> int:
        """How many events happened at or before the instant."""
        return bisect_right(self._times, instant_ms)

    def instants(self, count: int, after_ms: int | None = None) -> list[int]:
        """So many instants after one (None: the log's beginning), evenly spread, each the very time of an event.

        The last one is the log's end. Why at an event's time: there the interval's closed end is put to the test.
        """
        begin_ms = self.first_ms if after_ms is None else after_ms
        spread = (begin_ms + (self.last_ms - begin_ms) * step // count for step in range(1, count + 1))
        return [self._times[self.until(instant) - 1] for instant in spread]


def load_log(path: Path, end_ms: int) -> EventLog:
    """The log, ending at `end_ms`."""
    with opened(path) as (source, _):
        lines = [_line(line) for line in read_lines(source, PlainCodec(Limits()), as_csv=True)]
    shift_ms = end_ms - max(line.time_ms for line in lines)
    return EventLog([LoggedEvent(line.time_ms + shift_ms, line.key, line.moved(shift_ms)) for line in lines], shift_ms)


def moved_definitions(path: Path, shift_ms: int) -> Any:
    """A definitions file's value, every `since` and `until` moved as the events are."""
    return _moved(read_text(DefinitionText(path.name, path.read_bytes())).value, shift_ms)


def _moved(value: Any, shift_ms: int) -> Any:
    if isinstance(value, list):
        return [_moved(item, shift_ms) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: format_instant(parse_instant_ms(inner) + shift_ms)
        if key in ("since", "until")
        else _moved(inner, shift_ms)
        for key, inner in value.items()
    }


def _line(line: object) -> EventLine:
    if not isinstance(line, EventLine):
        raise Crash(f"the example log is damaged: {line}")
    return line
