"""Several calls at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from cohort_store.errors import Retry

T = TypeVar("T")


async def together(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of calls at the same time.

    When a failure is raised, none is under way any more. Of several, one that is no Retry goes first: it would be lost
    behind what is just tried again.
    """
    results = await asyncio.gather(*calls, return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures:
        raise min(failures, key=lambda failure: isinstance(failure, Retry))
    return [result for result in results if not isinstance(result, BaseException)]
