"""Tells others how flags were answered: metrics every second, the log of evaluations about once a minute.

A batch that the log did not confirm is sent again as it is, so that one which arrived all the same counts once; what
is counted meanwhile is added up behind it. Requests wait for nothing of this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from cohort_store.clocks import Clock
from cohort_store.errors import MusterError
from cohort_store.flag_evaluations import FlagEvaluations
from evaluator.usage.tally import EvaluationTally, Series

FOLD_S = 1.0
"""How often counts are folded; so exact is the instant of a last call."""
PAUSE_MAX_S = 60.0
"""Between two attempts at a batch that is not confirmed; it doubles from FOLD_S to this."""
LAST_BATCH_S = 2.0
"""How long an evaluator that ends waits for its last counts to be confirmed."""

Report = Callable[[Mapping[Series, int], int], None]
"""Told of every fold: what was counted, and how many counts had to be let go."""

logger = logging.getLogger(__name__)


class EvaluationLog(Protocol):
    """Where sums go. Sending a batch twice is as good as once."""

    async def send(self, batch: Sequence[FlagEvaluations]) -> None:
        """Return once all are kept. Raises Retry where that is not known."""
        ...

    async def close(self) -> None:
        """Disconnect. Doing it twice is harmless."""
        ...


class RememberedEvaluationLog:
    """The in-memory twin: messages in the order in which they came."""

    def __init__(self) -> None:
        self.sent: list[FlagEvaluations] = []

    async def send(self, batch: Sequence[FlagEvaluations]) -> None:
        """Keep all."""
        self.sent += batch

    async def close(self) -> None:
        """Nothing is open."""


class EvaluationReporter:
    """Folds and sends from `run` to `close`. `interval_s` 0: nothing is sent, and metrics are told all the same."""

    def __init__(
        self, tally: EvaluationTally, log: EvaluationLog, report: Report, clock: Clock, *, interval_s: float
    ) -> None:
        self._tally = tally
        self._log = log
        self._report = report
        self._clock = clock
        self._interval_s = interval_s
        self._unsent: Sequence[FlagEvaluations] = ()
        self._pause_s = 0.0
        self._away = False

    @property
    def is_waiting(self) -> bool:
        """Whether the log did not confirm the batch under way when it was sent last."""
        return self._away

    async def run(self) -> None:
        """Report until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_folding(), name="folding of evaluations")
            if self._interval_s:
                group.create_task(self._keep_sending(), name="sending of evaluations")

    async def _keep_folding(self) -> None:
        while True:
            await asyncio.sleep(min(FOLD_S, self._interval_s or FOLD_S))
            self._fold()

    async def _keep_sending(self) -> None:
        """A task of its own, since a log that is slow to answer must not keep metrics waiting."""
        while True:
            await asyncio.sleep(self._pause_s or self._interval_s)
            await self._send()

    async def close(self) -> None:
        """Send what is counted, once and for a short while, and disconnect."""
        self._fold()
        if self._interval_s:
            try:
                async with asyncio.timeout(LAST_BATCH_S):
                    if await self._send():
                        await self._send()
            except TimeoutError:
                logger.warning("the counts of the last minute could not be sent within %g s", LAST_BATCH_S)
        await self._log.close()

    def _fold(self) -> None:
        self._report(*self._tally.fold(self._clock.now_ms()))

    async def _send(self) -> bool:
        """Whether the batch under way is kept; a new one is begun where the last one was."""
        self._unsent = self._unsent or self._tally.take()
        if not self._unsent:
            return True
        try:
            await self._log.send(self._unsent)
        except MusterError as error:
            self._pause_s = min(PAUSE_MAX_S, 2 * self._pause_s or FOLD_S)
            if not self._away:
                logger.warning("counts of evaluations wait, and are added up: %s", error)
            self._away = True
            return False
        if self._away:
            logger.info("counts of evaluations are sent again")
        self._unsent, self._pause_s, self._away = (), 0.0, False
        return True
