"""Every measurement, one after another; `python -m benchmarks --help` shows what can be chosen."""

from __future__ import annotations

import argparse
import asyncio
import sys

import uvloop

from benchmarks import (
    backfill,
    beside,
    conditions,
    flags,
    ingest,
    latency,
    members,
    memory,
    push,
    reconcile,
    worst_person,
)


def main() -> None:
    """Ingest, latency at half of its rate, flags, push, memory, conditions, members of files, backfill, beside it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    ingest.load_arguments(parser)
    load = ingest.load_of(parser.parse_args())
    taken = asyncio.run(ingest.measure(load))
    ingest.report(taken)
    latency.report(asyncio.run(latency.measure(int(taken.rate / 2), broker=load.broker)))
    flags.report(uvloop.run(flags.measure()))
    push.report(asyncio.run(push.measure()))
    memory.report(asyncio.run(memory.measure()))
    conditions.report(conditions.measure())
    worst_person.report(worst_person.measure())
    members.report(members.measure())
    backfill.report(asyncio.run(backfill.measure()))
    reconcile.report(asyncio.run(reconcile.measure()))
    beside.report(asyncio.run(beside.measure()))
    if taken.wrong:
        sys.exit(f"ingest: {taken.wrong} wrong members: the figures do not count")


if __name__ == "__main__":
    main()
