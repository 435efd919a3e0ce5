"""A role's process: what stops all of it for a while, since that is later for every event."""

import subprocess
import sys

_HOLD = """
import gc, sys
from processors.process import run_until_signalled

async def hold():
    before = gc.get_stats()
    held = {number: ([number], {number: (number,)}) for number in range(int(sys.argv[1]))}
    print(*(now["collections"] - then["collections"] for then, now in zip(before, gc.get_stats())))

run_until_signalled(hold)
"""

_REPLACE = """
import asyncio, gc, time
from processors.process import run_until_signalled

async def replace():
    held = {number: [number] for number in range(100)}
    began, deadline_s = gc.get_stats()[0]["collections"], time.monotonic() + 10
    while gc.get_stats()[0]["collections"] < began + 3 and time.monotonic() < deadline_s:
        for number in held:
            held[number] = [number]
        await asyncio.sleep(0)
    print(gc.get_stats()[0]["collections"] - began)

run_until_signalled(replace)
"""


def collections_while_holding(count: int) -> list[int]:
    """By generation, how often the garbage collector ran while so many objects came to be held."""
    done = subprocess.run([sys.executable, "-c", _HOLD, str(count)], capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


def test_what_is_new_is_looked_through_in_time_though_as_much_is_let_go() -> None:
    done = subprocess.run([sys.executable, "-c", _REPLACE], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 3


def test_what_is_held_is_looked_through_once_by_the_garbage_collector_and_never_again() -> None:
    new, *older = collections_while_holding(200_000)
    assert older == [0, 0]
    assert new > 1
