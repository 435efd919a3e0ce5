"""Counts on their way out: when the log takes them, when it does not, and at the end."""

import asyncio
from collections.abc import Callable, Sequence

from cohort_store.clocks import SteppedClock
from cohort_store.errors import Retry
from cohort_store.flag_evaluations import FlagEvaluations
from evaluator.metrics import Metrics
from evaluator.usage.evaluation_metrics import EvaluationMetrics
from evaluator.usage.reporting import EvaluationReporter, RememberedEvaluationLog
from evaluator.usage.tally import EvaluationTally
from tests.insight.counting import answered

DEADLINE_S = 20.0
INTERVAL_S = 0.01


class FailingFirst(RememberedEvaluationLog):
    """A log that fails so often first, and notes what it was sent."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures
        self.attempts: list[Sequence[FlagEvaluations]] = []

    async def send(self, batch: Sequence[FlagEvaluations]) -> None:
        self.attempts.append(batch)
        if len(self.attempts) <= self.failures:
            raise Retry("nobody listens")
        await super().send(batch)


def reporter(tally: EvaluationTally, log: RememberedEvaluationLog, interval_s: float) -> EvaluationReporter:
    return EvaluationReporter(
        tally, log, EvaluationMetrics(Metrics().registry).folded, SteppedClock(1_000), interval_s=interval_s
    )


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            await asyncio.sleep(0.005)


async def test_counts_leave_in_the_background_and_once() -> None:
    tally, log = EvaluationTally("e1"), RememberedEvaluationLog()
    reporting = reporter(tally, log, INTERVAL_S)
    task = asyncio.create_task(reporting.run())
    for _ in range(3):
        tally.count(1, [answered("f")])
    await until(lambda: bool(log.sent))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await reporting.close()
    assert [(each.flag, each.count) for each in log.sent] == [("f", 3)]


async def test_a_batch_that_is_not_confirmed_is_sent_again_as_it_is_and_the_rest_behind_it() -> None:
    tally, log = EvaluationTally("e1"), FailingFirst(1)
    reporting = reporter(tally, log, INTERVAL_S)
    task = asyncio.create_task(reporting.run())
    tally.count(1, [answered("f")])
    await until(lambda: bool(log.attempts))
    for _ in range(2):
        tally.count(1, [answered("f")])
    await until(lambda: sum(each.count for each in log.sent) == 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert log.attempts[0] == log.attempts[1]
    assert [(each.count, each.sequence) for each in log.sent] == [(1, 1), (2, 2)]


async def test_an_evaluator_that_ends_sends_what_it_has_the_unconfirmed_batch_first() -> None:
    tally, log = EvaluationTally("e1"), FailingFirst(1)
    reporting = reporter(tally, log, 3_600.0)
    tally.count(1, [answered("f")])
    await reporting.close()
    assert log.sent == []
    tally.count(1, [answered("g")])
    await reporting.close()
    assert [each.flag for each in log.sent] == ["f", "g"]


async def test_where_nothing_is_to_be_sent_metrics_are_told_all_the_same() -> None:
    tally, log, metrics = EvaluationTally(), RememberedEvaluationLog(), Metrics()
    reporting = EvaluationReporter(
        tally, log, EvaluationMetrics(metrics.registry).folded, SteppedClock(1_000), interval_s=0
    )
    tally.count(1, [answered("f")])
    await reporting.close()
    assert log.sent == []
    assert b'{flag="f",reason="condition_match",team="1",value="true"} 1.0' in metrics.render()
