"""A flag that is asked all the time, and what must be true of the answers while its cohorts are edited or lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import cycle
from types import TracebackType
from typing import Any, NamedTuple

from cohort_store.freshness import Status

BY_POLICY = "cohort_unavailable"
"""The reason's code where the flag's `on_unavailable` answered."""

PAUSE_S = 0.005
"""After each answer."""


class Asked(NamedTuple):
    """What a flag answered about one person."""

    person: str
    enabled: bool
    code: str
    """Of the reason."""
    why: str
    """The reason in words."""
    status: Status
    """The worst one of the cohorts that the flag asks."""
    versions: tuple[int, ...]
    """Those cohorts' versions, by their keys."""

    @property
    def by_policy(self) -> bool:
        return self.code == BY_POLICY


def read_answer(answer: dict[str, Any], flag: str, person: str) -> Asked:
    """The evaluator's answer to `POST /flags?muster=1`, as JSON."""
    told = answer["flags"][flag]
    cohorts = [cohort for _, cohort in sorted(answer["muster"]["cohorts"].items())]
    order = list(Status)
    return Asked(
        person,
        told["enabled"],
        told["reason"]["code"],
        told["reason"]["description"],
        max((Status(cohort["status"]) for cohort in cohorts), key=order.index),
        tuple(cohort["version"] for cohort in cohorts),
    )


class Asker:
    """Asks about persons, one after the other and round after round, while it is entered."""

    def __init__(self, ask: Callable[[str], Awaitable[Asked]], persons: Sequence[str]) -> None:
        self._ask = ask
        self._persons = persons
        self._task: asyncio.Task[None] | None = None
        self.answers: list[Asked] = []

    async def __aenter__(self) -> Asker:
        self._task = asyncio.create_task(self._run(), name="asking")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def latest(self) -> list[Asked]:
        """The last answer about everybody; empty before the first round is over."""
        count = len(self._persons)
        return self.answers[-count:] if len(self.answers) >= count else []

    async def is_past(self, answers: int) -> bool:
        """Whether everybody was asked once more after so many answers. Raises what ended the asking."""
        if self._task is not None and self._task.done():
            await self._task
        return len(self.answers) >= answers + len(self._persons)

    async def _run(self) -> None:
        for person in cycle(self._persons):
            self.answers.append(await self._ask(person))
            await asyncio.sleep(PAUSE_S)


def neither_old_nor_new(
    answers: Sequence[Asked], old: frozenset[str], new: frozenset[str], after: tuple[int, ...]
) -> list[Asked]:
    """The answers that are wrong while cohorts are edited: `old` had the flag on before, `new` has it on afterwards.

    Every answer is the old versions' or, with the versions `after`, the new ones': of all the flag's cohorts, never by
    its policy, and old ones only before the first new one.
    """
    wrong: list[Asked] = []
    before: tuple[int, ...] | None = None
    switched = False
    for each in answers:
        switched = switched or each.versions == after
        before = before or each.versions
        expected = new if switched else old
        is_known = each.versions == (after if switched else before)
        if each.by_policy or not is_known or each.enabled is not (each.person in expected):
            wrong.append(each)
    return wrong


class Meanwhile(NamedTuple):
    """The answers while the store was being filled again."""

    statuses: Counter[Status]
    by_policy: int
    reason: str
    """Of the first one by the policy; empty where there is none."""
    unmarked: list[Asked]
    """Wrong, with the status OK: there must be none."""

    @property
    def told(self) -> str:
        """How many answers had which status."""
        return ", ".join(f"{self.statuses[status]:,} {status}" for status in Status if self.statuses[status])


def meanwhile(answers: Sequence[Asked], right: frozenset[str]) -> Meanwhile:
    """`right` has the flag on; whoever has not is told so, or the answer says by its status that it may be wrong."""
    of_policy = [each for each in answers if each.by_policy]
    wrong = [each for each in answers if each.enabled is not (each.person in right)]
    return Meanwhile(
        Counter(each.status for each in answers),
        len(of_policy),
        of_policy[0].why if of_policy else "",
        [each for each in wrong if each.status is Status.OK],
    )
