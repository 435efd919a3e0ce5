"""`muster watch`: changes of membership as they happen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from cohort_store.changes import ENTERED, LEFT, Change, decode_change
from cohort_store.errors import Retry
from cohort_store.kafka.topics import MEMBERSHIP_CHANGES
from cohort_store.settings import Settings
from processors.cli.invocation import Invocation, Json, invocation, output, print_json, run_async

_HELP = """Print every change of membership as it happens, until Ctrl-C.

A change is told at least once, so one may come twice; the one with the highest sequence counts.

\b
Examples:
  muster watch
  muster watch --cohort regulars --from-start --json
"""
_MARKS = {ENTERED: ("+", "green"), LEFT: ("-", "red")}


def register(app: typer.Typer) -> None:
    app.command("watch", help=_HELP)(watch)


def watch(
    context: typer.Context,
    cohort: Annotated[list[str] | None, typer.Option(metavar="KEY", help="Only this cohort; may be repeated.")] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the oldest change that is kept.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="End after N changes.")] = None,
    as_json: Json = False,
) -> None:
    shared = invocation(context, as_json)
    wanted = frozenset(cohort or ())
    run_async(_watch(shared, wanted, from_start, limit))


async def _watch(shared: Invocation, wanted: frozenset[str], from_start: bool, limit: int | None) -> None:
    console = output()
    seen = 0
    async for change in changes(shared.settings(), from_start):
        if wanted and change.cohort not in wanted and change.status in _MARKS:
            continue
        if shared.as_json:
            print_json(change)
        else:
            console.print(line_of(change))
        seen += 1
        if seen == limit:
            return


async def changes(settings: Settings, from_start: bool) -> AsyncIterator[Change]:
    """Every change from now on, or from the oldest that is kept. Raises Retry without a broker."""
    from aiokafka import TopicPartition
    from aiokafka.errors import KafkaError

    from cohort_store.kafka import clients
    from cohort_store.kafka.ends import end_offsets

    consumer = clients.partition_consumer(settings.kafka)
    try:
        await consumer.start()
        partitions = [TopicPartition(MEMBERSHIP_CHANGES, number) for number in range(settings.partitions)]
        consumer.assign(partitions)
        if from_start:
            await consumer.seek_to_beginning(*partitions)
        else:
            for partition, offset in (await end_offsets(settings.kafka, partitions)).items():
                consumer.seek(partition, offset)
        async for message in consumer:
            yield decode_change(message.value)
    except (KafkaError, OSError, TimeoutError) as error:
        raise Retry(f"changes cannot be read at {settings.kafka} ({error!r}): is a broker running there?") from error
    except msgspec.MsgspecError as error:
        raise Retry(f"{MEMBERSHIP_CHANGES} holds a message that is no change: {error}") from error
    finally:
        await clients.stop(consumer)


def line_of(change: Change) -> Text:
    """One change for people."""
    if change.status not in _MARKS:
        return Text(
            f"{change.last_updated}  shard {change.shard} is told anew from here on ({change.status})", "yellow"
        )
    mark, colour = _MARKS[change.status]
    text = Text(f"{change.last_updated[:23]}  ")
    text.append(f"{mark} {change.person_id}", colour)
    return text.append(f"  {change.status} {change.cohort} (version {change.version}, by {change.cause})")
