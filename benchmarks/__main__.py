"""Every measurement, one after another. `python -m benchmarks [EVENTS]` takes fewer events than the full 2,000,000."""

from __future__ import annotations

import asyncio
import sys

from benchmarks import flags, ingest, latency, memory

EVENTS, PERSONS = 2_000_000, 100_000


def main() -> None:
    """Ingest, latency at half of the rate that ingest took, flags, memory."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    taken = asyncio.run(ingest.measure(events, PERSONS))
    ingest.report(taken)
    latency.report(asyncio.run(latency.measure(int(taken.events / taken.seconds / 2))))
    flags.report(asyncio.run(flags.measure()))
    memory.report(asyncio.run(memory.measure()))
    if taken.wrong:
        sys.exit(f"ingest: {taken.wrong} wrong members: the figures do not count")


if __name__ == "__main__":
    main()
