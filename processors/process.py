"""A role's process: an event loop that ends cleanly when it is told to."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Awaitable, Callable

from cohort_store.errors import Crash
from cohort_store.kafka import metadata

NEVER = 2**30
GARBAGE_THRESHOLDS = (20_000, NEVER, NEVER)
"""The collector's: so many more objects that are held than at the last look, and then no more; see below."""
LOOK_S = 0.1
"""Where as many are let go as come to be, their number says nothing, and those that are new pile up for seconds."""


def run_until_signalled(main: Callable[[], Awaitable[None]]) -> None:
    """Run `main` on uvloop until it ends, or SIGTERM or SIGINT cancels it. Its exceptions end the process.

    The garbage collector looks at objects once, when they are new, and a few milliseconds at a time: often where few
    come to be, and by their number where many do. What is held for longer (a hundred thousand records) it never looks
    at again: a second and more would pass meanwhile in which nothing is folded, for cycles that hardly come about and
    do not live that long.
    """
    import uvloop

    metadata.enable()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)

    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_cancellable(main))


async def _cancellable(main: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.ensure_future(main())
    looking = asyncio.create_task(_look_for_garbage())
    loop = asyncio.get_running_loop()
    is_told = False

    def end() -> None:
        nonlocal is_told
        is_told = True
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    try:
        await task
    except asyncio.CancelledError as error:
        if not is_told:
            raise Crash("cancelled by nobody: a library let the end of a task of its own through") from error
    finally:
        looking.cancel()


async def _look_for_garbage() -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        gc.collect(0)
