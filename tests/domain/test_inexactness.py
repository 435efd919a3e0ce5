"""What becomes of an answer when a timeline is cut at its cap: unknown at worst, never wrong.

The caps are lowered here, so that a few events do what takes hundreds otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cohort_store.conditions.sequence import ENTRIES_MAX
from cohort_store.folding import advance
from cohort_store.plans import AnyBound, BoundCondition, TeamPlan
from cohort_store.records import EMPTY
from tests.domain.roll import Roll, as_delta, members, plan_of
from tests.domain.strategies import AGGREGATES, HORIZON, SEQUENCES, START, Arrival, Cohorts, iso, streams
from tests.oracle.membership import Event, members_at

CAP = 2
SINCE = {"since": iso(START + 3)}
SEQUENCE: dict[str, Any] = {
    "kind": "sequence",
    "first": {"event": "a"},
    "then": {"event": "b"},
    "then_within": "3ms",
    "within": "10ms",
}
COHORTS: Cohorts = [
    {"key": "c", "when": SEQUENCE},
    {"key": "not-c", "when": {"not": SEQUENCE}},
    {"key": "or-b", "when": {"any": [SEQUENCE, {"kind": "performed", "event": "b", "within": "10ms"}]}},
    {"key": "and-b", "when": {"all": [SEQUENCE, {"kind": "performed", "event": "b", "within": "10ms"}]}},
]


def capped(bound: AnyBound) -> AnyBound:
    if not isinstance(bound, BoundCondition) or bound.capped is None:
        return bound
    condition: Any = replace(bound.condition, cap=CAP)  # type: ignore[type-var]  # every condition is a dataclass
    return BoundCondition(condition, bound.selectors, condition)


def capped_plan(cohorts: Cohorts) -> TeamPlan:
    plan = plan_of(cohorts)
    return replace(plan, conditions=tuple(map(capped, plan.conditions)))


def firsts(*times: int) -> list[Event]:
    return [Event(f"a{time}", "a", START + time) for time in times]


_LONG = [part for part in SEQUENCES if part.get("within") not in [f"{window}ms" for window in range(1, 7)]]
_summing = st.sampled_from(
    [{**part, **each} for part in AGGREGATES if part["fn"] in ("sum", "avg") for each in ({"within": "10ms"}, SINCE)]
)
_names = st.sampled_from(("a", "b", "any"))


@st.composite
def capped_cohorts(draw: st.DrawFn) -> Cohorts:
    """Cohorts of two conditions, one of them at least cut at its cap, under all, any and not."""
    leaves: list[dict[str, Any]] = []
    for part in draw(st.lists(st.one_of(st.sampled_from((*_LONG, None)), _summing), min_size=2, max_size=2)):
        if part is None:
            leaves.append({"kind": "performed", "event": draw(_names), "within": "4ms"})
        elif part["kind"] == "aggregate":
            leaves.append({**part, "event": draw(_names)})
        else:
            leaves.append({**part, "first": {"event": draw(_names)}, "then": {"event": draw(_names)}})
    first, second = leaves
    trees: list[dict[str, Any]] = [{"all": leaves}, {"any": leaves}, {"all": [first, {"not": second}]}, {"not": first}]
    return [{"key": f"c{index}", "when": tree} for index, tree in enumerate(trees)]


@given(capped_cohorts(), streams(max_size=14))
def test_a_cut_timeline_makes_an_answer_unknown_at_worst_and_never_wrong(
    cohorts: Cohorts, stream: list[Arrival]
) -> None:
    roll, known = Roll(capped_plan(cohorts)), list[Event]()
    for t in range(START, HORIZON):
        roll.run_timers(t)
        for at_ms, event in stream:
            if at_ms == t:
                roll.receive([event], t)
                known.append(event)
        answers, expected = roll.members(), members_at(cohorts, known, t)
        assert answers == {key: None if answers[key] is None else value for key, value in expected.items()}, f"at {t}"
        if not roll.record.inexact:
            assert None not in answers.values()
        asked = members(advance(roll.record, roll.plan, t).record, roll.plan)
        assert asked == {key: None if asked[key] is None else answers[key] for key in answers}, f"a turn missed at {t}"
    bounds = [bound for bound in roll.plan.conditions if isinstance(bound, BoundCondition)]
    if all(bound.capped is None or bound.capped.interval.window_ms for bound in bounds):
        assert roll.record.inexact == {}
        assert roll.members() == members_at(cohorts, known, HORIZON)


@given(streams(max_size=12), st.integers(0, 12))
def test_a_cut_that_was_not_needed_is_never_remembered(stream: list[Arrival], cut: int) -> None:
    roll = Roll(plan_of(COHORTS))
    for at_ms, event in stream[:cut]:
        roll.receive([event], at_ms)
    assert roll.record.inexact == {}
    assert None not in roll.members().values()


def test_one_first_event_too_many_makes_what_depends_on_the_sequence_unknown_until_it_left_the_window() -> None:
    roll = Roll(capped_plan(COHORTS))
    roll.receive(firsts(0, 1), START + 2)
    assert roll.members() == {"c": False, "not-c": True, "or-b": False, "and-b": False}
    roll.receive(firsts(2), START + 2)
    assert roll.members() == {"c": None, "not-c": None, "or-b": None, "and-b": False}
    assert roll.due_ms == START + 10
    roll.run_timers(START + 9)
    assert roll.members()["c"] is None
    roll.run_timers(START + 10)
    assert roll.members() == {"c": False, "not-c": True, "or-b": False, "and-b": False}
    assert roll.record.inexact == {}


def test_what_is_kept_may_still_prove_the_answer_and_what_does_not_depend_on_the_loss_stays_known() -> None:
    roll = Roll(capped_plan(COHORTS))
    roll.receive(firsts(0, 1, 2), START + 2)
    roll.receive([Event("b", "b", START + 4)], START + 4)
    assert roll.members() == {"c": True, "not-c": False, "or-b": True, "and-b": True}


def test_a_late_second_event_that_what_was_lost_would_have_needed_leaves_the_answer_unknown() -> None:
    roll = Roll(capped_plan(COHORTS))
    roll.receive(firsts(0, 5, 6), START + 6)
    roll.receive([Event("b", "b", START + 2)], START + 7)
    assert roll.members() == {"c": None, "not-c": None, "or-b": True, "and-b": None}
    assert members_at(COHORTS, [*firsts(0), Event("b", "b", START + 2)], START + 7)["c"] is True


def test_unknown_is_stored_as_the_negative_handle_and_counted_as_one_cut() -> None:
    plan = capped_plan(COHORTS[:1])
    (cohort,) = plan.cohorts
    roll = Roll(plan)
    roll.receive(firsts(0, 1, 2), START + 2)
    assert roll.record.memberships == {-cohort.handle}
    assert roll.changes == [(START + 2, -cohort.handle, True)]


def test_marks_go_with_the_definitions_that_made_them() -> None:
    roll = Roll(capped_plan(COHORTS[:1]))
    roll.receive(firsts(0, 1, 2), START + 2)
    roll.adopt(plan_of([{"key": "other", "when": {"kind": "performed", "event": "a", "within": "10ms"}}]), START + 3)
    assert roll.record.inexact == {}
    assert all(handle > 0 for handle in roll.record.memberships)


def test_as_many_as_the_cap_are_kept_and_one_more_is_not() -> None:
    long = [{"key": "c", "when": {**SEQUENCE, "within": "1d"}}]
    roll = Roll(plan_of(long))
    roll.receive(firsts(*range(ENTRIES_MAX)), START + ENTRIES_MAX)
    assert roll.members() == {"c": False}
    roll.receive(firsts(ENTRIES_MAX), START + ENTRIES_MAX)
    assert roll.members() == {"c": None}
    (line,) = roll.record.timelines.values()
    assert len(line) == ENTRIES_MAX
    roll.receive([Event("b", "b", START + ENTRIES_MAX + 1)], START + ENTRIES_MAX + 1)
    assert roll.members() == {"c": True}
    assert roll.record != EMPTY
    assert as_delta(roll.record).entries
