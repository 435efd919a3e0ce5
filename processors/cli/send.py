"""`muster send`: events from a file into Kafka."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from cohort_store.clocks import clock_from
from cohort_store.durations import UNITS_MS, format_duration, format_instant, parse_instant_ms
from cohort_store.settings import Settings
from processors.cli.invocation import FAILED, Failed, Invocation, Json, invocation, run_async
from processors.cli.sending import Pace, Sending, Sent
from processors.codecs.codec import EventCodec, codecs_of
from processors.codecs.event import YEAR_2000_MS
from processors.event_files import EventLine, read_lines
from processors.row_files import BadLine, is_csv, opened

BAD_LINES_SHOWN_MAX = 20
PROGRESS_EVERY = 200

_HELP = """Send the events of FILE to Kafka: JSONL or CSV, gzipped where the name ends with .gz.

A JSONL line is one event in the shape of its topic's codec. In a CSV the columns uuid, event, person_id, distinct_id,
timestamp and team_id are the event's fields, properties holds a JSON object, and every other one is a property. A
line that is no event is reported with its number, and the rest is sent.

\b
Examples:
  muster send examples/shop/events.csv.gz --end now     all times moved, so that the last is now
  muster send events.jsonl --speed 60                   an hour of events a minute
  muster send posthog.jsonl --topic clickhouse_events_json --codec posthog
"""


@dataclass(frozen=True, slots=True)
class _Source:
    """The lines of a file that are to be sent, and the topic that they are for."""

    file: Path
    limit: int | None
    topic: str
    codec: EventCodec

    def lines(self, source: BinaryIO) -> Iterator[EventLine | BadLine]:
        """The lines, up to the limit. Raises Failed where the file cannot be read on."""
        try:
            yield from islice(read_lines(source, self.codec, as_csv=is_csv(self.file)), self.limit)
        except (OSError, EOFError, zlib.error) as error:
            raise Failed(f"{self.file} cannot be read to its end ({error}); is it damaged or cut off?") from None

    def last_ms(self) -> int | None:
        """The latest time in it; None where no line is an event."""
        with opened(self.file) as (source, _):
            return max((line.time_ms for line in self.lines(source) if isinstance(line, EventLine)), default=None)


def register(app: typer.Typer) -> None:
    app.command("send", help=_HELP)(send)


def send(  # noqa: PLR0913 - a command has an argument for each option
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, help="The events.")
    ],
    end: Annotated[
        str | None, typer.Option(metavar="now|INSTANT", help="Move all times as a whole, so that the last one is this.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.001, metavar="N", help="N times the events' own pace; at once otherwise.")
    ] = None,
    topic: Annotated[
        str | None, typer.Option(metavar="NAME", help="The topic; the first source that has the codec otherwise.")
    ] = None,
    codec: Annotated[str | None, typer.Option(metavar="plain|posthog", help="The shape of the lines.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the first N lines.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where a line was not sent.")] = False,
    as_json: Json = False,
) -> None:
    shared = invocation(context, as_json)
    settings = shared.settings()
    source = _source(settings, file, limit, (topic, codec))
    last_ms = source.last_ms() if end is not None else None
    shift_ms = 0 if end is None or last_ms is None else _end_ms(settings, end) - last_ms
    sent = _send(settings, shared, source, Pace(shift_ms=shift_ms, speed=speed))
    shared.answer(
        _plain(source.topic, sent, shift_ms), lambda console: console.print(_sentence(source.topic, sent, shift_ms))
    )
    if strict and sent.refused:
        raise typer.Exit(FAILED)


def _send(settings: Settings, shared: Invocation, source: _Source, pace: Pace) -> Sent:
    shown = 0

    def refuse(line: BadLine) -> None:
        nonlocal shown
        shown += 1
        if shown <= BAD_LINES_SHOWN_MAX:
            shared.errors.print(f"{source.file}:{line.number}: {line.problem}", markup=False)

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with (
        opened(source.file) as (plain, stored),
        Progress(*columns, console=shared.errors, transient=True, disable=not shared.errors.is_terminal) as progress,
    ):
        task = progress.add_task(source.file.name, total=os.fstat(stored.fileno()).st_size)
        sending = Sending(source.topic, clock_from(settings.clock), pace, refuse)
        lines = _watched(source.lines(plain), lambda: progress.update(task, completed=stored.tell()))
        sent = run_async(sending.run(settings.kafka, lines))
    if shown > BAD_LINES_SHOWN_MAX:
        shared.errors.print(f"... and {shown - BAD_LINES_SHOWN_MAX} more")
    return sent


def _source(settings: Settings, file: Path, limit: int | None, wanted: tuple[str | None, str | None]) -> _Source:
    """The file with its topic and codec: as wanted, else as the settings say. Raises Failed where they do not agree."""
    topic, codec = wanted
    if codec not in (None, "plain", "posthog"):
        raise typer.BadParameter(f"{codec!r} is no codec; use plain or posthog", param_hint="--codec")
    if topic is None:
        topic = next((name for name, its in settings.event_sources.items() if codec in (None, its)), None)
        if topic is None:
            raise Failed(f"no source is read as {codec}; name one in the setting MUSTER_SOURCES, or give --topic")
    if topic in settings.person_sources or topic in settings.pair_sources:
        has = "persons" if topic in settings.person_sources else "distinct ids"
        raise Failed(f"{topic} has {has}, not events; name another one with --topic")
    its_codec = settings.sources.get(topic) or codec or "plain"
    if codec not in (None, its_codec):
        raise Failed(f"{topic} is read as {its_codec}, not as {codec}; change the setting MUSTER_SOURCES or --codec")
    if is_csv(file) and its_codec != "plain":
        raise Failed(
            f"a CSV's rows become plain events, and {topic} is read as {its_codec}; name a topic that is plain"
        )
    reading = settings.model_copy(update={"sources": {topic: its_codec}})
    return _Source(file, limit, topic, codecs_of(reading)[topic])


def _end_ms(settings: Settings, end: str) -> int:
    now = clock_from(settings.clock).now_ms()
    if end == "now":
        return now
    try:
        end_ms = parse_instant_ms(end)
    except ValueError as error:
        raise typer.BadParameter(f"{error}, or now", param_hint="--end") from None
    latest = now + settings.future_ms_max
    if not YEAR_2000_MS <= end_ms <= latest:
        raise typer.BadParameter(
            f"events of {end} are refused; the last one must be of 2000-01-01 to {format_instant(latest)}",
            param_hint="--end",
        )
    return end_ms


def _watched(lines: Iterator[EventLine | BadLine], progress: Callable[[], None]) -> Iterator[EventLine | BadLine]:
    for index, line in enumerate(lines):
        if index % PROGRESS_EVERY == 0:
            progress()
        yield line


def _plain(topic: str, sent: Sent, shift_ms: int) -> dict[str, object]:
    return {
        "topic": topic,
        "sent": sent.events,
        "refused": sent.refused,
        "shift_ms": shift_ms,
        "first": None if sent.first_ms is None else format_instant(sent.first_ms),
        "last": None if sent.last_ms is None else format_instant(sent.last_ms),
    }


def _sentence(topic: str, sent: Sent, shift_ms: int) -> str:
    if sent.first_ms is None or sent.last_ms is None:
        return f"No event sent; {sent.refused} lines refused."
    events = "1 event" if sent.events == 1 else f"{sent.events:,} events"
    said = [f"{events} sent to {topic}, of {format_instant(sent.first_ms)} to {format_instant(sent.last_ms)}"]
    if shift_ms:
        minute = UNITS_MS["m"]
        moved = format_duration(abs(shift_ms) // minute * minute)
        said.append(f"moved {moved} {'later' if shift_ms > 0 else 'earlier'}")
    said.append(f"{sent.refused} lines refused")
    return "; ".join(said) + "."
