"""Counts in memory: what is told, what waits, and what is let go."""

from cohort_store.flag_evaluations import FlagEvaluations
from evaluator.metrics import Metrics
from evaluator.usage.evaluation_metrics import SERIES_MAX, EvaluationMetrics
from evaluator.usage.tally import EvaluationTally, Series
from tests.insight.counting import answered

RED, ON, OFF = (Series(1, "f", value, "condition_match") for value in ("red", "true", "false"))


def test_answers_are_counted_by_team_flag_value_and_reason() -> None:
    tally = EvaluationTally()
    for value in ("red", "red", True, False):
        tally.count(1, [answered("f", value)])
    tally.count(2, [answered("f", "red"), answered("f", "red", "flag_disabled")])
    assert tally.fold(5_000) == (
        {RED: 2, ON: 1, OFF: 1, Series(2, *RED[1:]): 1, Series(2, "f", "red", "flag_disabled"): 1},
        0,
    )
    assert tally.fold(6_000) == ({}, 0)


def test_what_waits_is_added_up_with_its_first_and_last_instant() -> None:
    tally = EvaluationTally("e1")
    tally.fold(1_000)
    tally.count(1, [answered("f", "red")])
    tally.fold(2_000)
    tally.fold(3_000)
    tally.count(1, [answered("f", "red"), answered("f")])
    tally.fold(4_000)
    found = {each.value: (each.count, each.from_ms, each.last_called_ms, each.sequence) for each in tally.take()}
    assert found == {"red": (2, 1_000, 4_000, 1), "true": (1, 3_000, 4_000, 1)}
    assert tally.take() == ()


def test_each_taking_has_a_number_of_its_own_and_the_evaluators_name() -> None:
    tally = EvaluationTally("e1")
    taken: list[FlagEvaluations] = []
    for now_ms in (1_000, 2_000):
        tally.count(1, [answered("f")])
        tally.fold(now_ms)
        taken += tally.take()
    assert [(each.evaluator, each.sequence) for each in taken] == [("e1", 1), ("e1", 2)]
    assert EvaluationTally().take() == ()


def test_beyond_the_bound_the_series_that_waited_longest_goes_and_is_counted() -> None:
    tally = EvaluationTally(series_max=2)
    for key in ("a", "a", "b"):
        tally.count(1, [answered(key)])
    assert tally.fold(1_000)[1] == 0
    tally.count(1, [answered("c")])
    assert tally.fold(2_000)[1] == 2
    assert [each.flag for each in tally.take()] == ["b", "c"]


def test_metrics_tell_so_many_series_apart_and_add_up_the_others() -> None:
    metrics = Metrics()
    told_to = EvaluationMetrics(metrics.registry)
    told_to.folded({Series(1, f"f{n}", "true", "condition_match"): 1 for n in range(SERIES_MAX)}, 0)
    told_to.folded({Series(1, f"g{n}", "true", "condition_match"): 2 for n in range(3)}, 4)
    told_to.folded({Series(1, "f1", "true", "condition_match"): 1}, 0)
    told = metrics.render().decode()
    name = "muster_evaluator_flag_evaluations_total"
    assert f'{name}{{flag="other",reason="other",team="0",value="other"}} 6.0' in told
    assert f'{name}{{flag="f1",reason="condition_match",team="1",value="true"}} 2.0' in told
    assert told.count(f"{name}{{") == SERIES_MAX + 1
    assert "muster_evaluator_evaluations_lost_total 4.0" in told
