"""Several calls at the same time, and which of their failures is told."""

import asyncio

import pytest

from cohort_store.errors import Crash, Retry
from processors.membership.concurrency import together


async def test_results_are_in_the_order_of_the_calls() -> None:
    async def after(steps: int) -> int:
        for _ in range(steps):
            await asyncio.sleep(0)
        return steps

    assert await together(after(steps) for steps in (3, 1, 2)) == [3, 1, 2]


async def test_a_crash_is_not_lost_behind_a_retry_and_nothing_is_under_way_when_it_is_raised() -> None:
    ended = []

    async def fail(error: Exception, steps: int) -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        ended.append(error)
        raise error

    with pytest.raises(Crash, match="for good"):
        await together([fail(Retry("again"), 1), fail(Crash("for good"), 2), fail(Retry("again"), 5)])
    assert len(ended) == 3
