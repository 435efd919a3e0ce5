"""Folding, case by case: entries dated ahead, registers, values, plans that change, and records that vanish."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cohort_store.conditions.performed import Performed
from cohort_store.deltas import Delta, DeltaEntry, RegisterWrite
from cohort_store.event_values import Form, ValueOf
from cohort_store.folding import AHEAD_MAX, Folded, Replayed, advance, ask_at, fold
from cohort_store.interval import Interval
from cohort_store.plans import BoundCondition, CohortPlan, TeamPlan, compile_plan
from cohort_store.records import EMPTY, Record, decode_record, encode_record
from cohort_store.registry import Registry
from cohort_store.selectors import Alternative, Selector
from tests.domain.roll import SOMEBODY, plan_of, registry_of
from tests.domain.strategies import START

SECOND = 1_000


def performed(event: str = "a", within: str = "1h") -> dict[str, Any]:
    return {"kind": "performed", "event": event, "within": within}


def counted(event: str = "a", n: int = 1000, within: str = "1h") -> dict[str, Any]:
    return {"kind": "count", "event": event, "n": n, "within": within}


def one(when: dict[str, Any]) -> tuple[TeamPlan, int, int]:
    """The plan of one cohort, its handle, and the handle of its one selector."""
    plan = plan_of([{"key": "c", "when": when}])
    (selector,) = plan.selectors
    return plan, plan.cohorts[0].handle, selector


def entries(selector: int, times: range | list[int], arrival_ms: int | None = None) -> Delta:
    """An event a time, its tag the time's distance from START."""
    found = tuple(DeltaEntry(selector, START + time, time) for time in times)
    return Delta(SOMEBODY, found, arrival_ms=arrival_ms)


def folded(record: Record, delta: Delta, plan: TeamPlan, now: int) -> Folded:
    outcome = fold(record, [delta], plan, now)
    assert isinstance(outcome, Folded)
    return outcome


def test_a_record_takes_as_many_entries_ahead_of_their_arrival_as_may_wait_and_refuses_the_next() -> None:
    plan, _, selector = one(performed())
    full = folded(EMPTY, entries(selector, range(1, AHEAD_MAX + 1), START), plan, START)
    assert full.overflow == ()
    assert len(full.record.ahead) == AHEAD_MAX
    more = folded(full.record, entries(selector, [AHEAD_MAX + 1], START), plan, START)
    assert more.overflow == ((START + AHEAD_MAX + 1, selector, AHEAD_MAX + 1),)
    assert more.record == full.record


def test_of_one_batch_with_too_many_entries_ahead_the_latest_are_refused() -> None:
    plan, _, selector = one(performed())
    outcome = folded(EMPTY, entries(selector, range(1, AHEAD_MAX + 4), START), plan, START)
    assert [time_ms - START for time_ms, _, _ in outcome.overflow] == [AHEAD_MAX + n for n in (1, 2, 3)]
    assert len(outcome.record.timelines[selector]) == AHEAD_MAX


def test_an_entry_that_waits_already_may_come_again_when_the_record_is_full() -> None:
    plan, _, selector = one(performed())
    full = folded(EMPTY, entries(selector, range(1, AHEAD_MAX + 1), START), plan, START)
    assert fold(full.record, [entries(selector, [1, 500, AHEAD_MAX], START)], plan, START) == Replayed()


def test_an_entry_whose_time_has_come_makes_room_for_another() -> None:
    plan, _, selector = one(counted())
    full = folded(EMPTY, entries(selector, range(1, AHEAD_MAX + 1), START), plan, START)
    now = START + 1
    more = folded(full.record, entries(selector, [AHEAD_MAX + 1, AHEAD_MAX + 2], now), plan, now)
    assert more.overflow == ((START + AHEAD_MAX + 2, selector, AHEAD_MAX + 2),)
    assert len(more.record.ahead) == AHEAD_MAX
    assert more.record.ahead[0] == (START + 2, selector, 2)


def test_entries_that_were_in_time_when_they_arrived_do_not_count_as_ahead() -> None:
    """A shard whose now stands back behind its input sees them as future ones all the same."""
    plan, _, selector = one(performed())
    outcome = folded(EMPTY, entries(selector, range(1, AHEAD_MAX + 100), START + 2 * AHEAD_MAX), plan, START)
    assert outcome.overflow == ()
    assert outcome.record.ahead == ()
    assert len(outcome.record.timelines[selector]) == AHEAD_MAX + 99


def test_a_refused_entry_may_come_again_once_there_is_room() -> None:
    plan, _, selector = one(performed())
    full = folded(EMPTY, entries(selector, range(1, AHEAD_MAX + 2), START), plan, START)
    assert len(full.overflow) == 1
    later = START + 10
    again = folded(full.record, entries(selector, [AHEAD_MAX + 1], START), plan, later)
    assert again.overflow == ()
    assert again.record.timelines[selector][-1] == (START + AHEAD_MAX + 1, AHEAD_MAX + 1)


def test_nothing_waits_any_more_once_every_time_has_come() -> None:
    plan, _, selector = one(performed())
    waiting = folded(EMPTY, entries(selector, [1, 2, 3], START), plan, START)
    assert len(waiting.record.ahead) == 3
    after = advance(waiting.record, plan, START + 3)
    assert after.record.ahead == ()
    assert after.record.timelines == {selector: ((START + 3, 3),)}


def test_an_entry_ahead_that_no_condition_can_use_does_not_wait() -> None:
    plan, _, selector = one({"kind": "performed", "event": "a", "since": "2020-01-01", "until": "2020-02-01"})
    assert fold(EMPTY, [entries(selector, [5], START)], plan, START) == Replayed()


def test_entries_of_a_selector_that_nobody_reads_say_nothing() -> None:
    plan, _, selector = one(performed())
    assert fold(EMPTY, [entries(selector + 1000, [0])], plan, START) == Replayed()


def test_an_event_too_old_to_matter_needs_no_write() -> None:
    plan, _, selector = one(performed(within="1s"))
    assert fold(EMPTY, [entries(selector, [-SECOND])], plan, START) == Replayed()
    kept = folded(EMPTY, entries(selector, [0]), plan, START).record
    assert fold(kept, [entries(selector, [-5])], plan, START) == Replayed()


PLAN = {"kind": "person_property", "property": "plan", "op": "is_set"}


def write(*writes: tuple[int, str]) -> Delta:
    return Delta(SOMEBODY, registers=tuple(RegisterWrite("plan", version, value) for version, value in writes))


def test_of_two_register_writes_the_higher_version_wins_and_of_equal_ones_the_higher_value() -> None:
    plan = plan_of([{"key": "c", "when": PLAN}])

    def after(*writes: tuple[int, str]) -> Record:
        return folded(EMPTY, write(*writes), plan, START).record

    assert after((1, '"a"'), (2, '"b"')) == after((2, '"b"'), (1, '"a"'))
    assert after((1, '"a"'), (2, '"b"')).registers == {"plan": (2, '"b"')}
    assert after((2, '"a"'), (2, '"b"')).registers == after((2, '"b"'), (2, '"a"')).registers == {"plan": (2, '"b"')}


def test_a_register_write_that_loses_says_nothing_new() -> None:
    plan = plan_of([{"key": "c", "when": PLAN}])
    record = folded(EMPTY, write((5, '"pro"')), plan, START).record
    for loser in ((5, '"pro"'), (4, '"zzz"'), (5, '"basic"')):
        assert fold(record, [write(loser)], plan, START) == Replayed()


def test_a_register_that_no_condition_names_is_neither_taken_in_nor_kept() -> None:
    plan, _, _ = one(performed())
    assert fold(EMPTY, [write((1, '"pro"'))], plan, START) == Replayed()
    named = folded(EMPTY, write((1, '"pro"')), plan_of([{"key": "c", "when": PLAN}]), START).record
    assert named.registers == {"plan": (1, '"pro"')}
    assert advance(named, plan, START).record == EMPTY


def test_a_record_with_a_register_alone_stays_though_it_was_unset() -> None:
    """Were it gone, an older write that comes late would bring the value back."""
    plan = plan_of([{"key": "p", "when": PLAN}, {"key": "c", "when": performed(within="1s")}])
    (selector,) = plan.selectors
    record = folded(EMPTY, entries(selector, [0]), plan, START).record
    record = folded(record, write((5, "null")), plan, START).record
    after = advance(record, plan, START + SECOND)
    assert after.record == Record(registers={"plan": (5, "null")})
    assert after.due_ms is None
    assert fold(after.record, [write((4, '"pro"'))], plan, START + SECOND) == Replayed()


def test_a_register_write_asks_the_cohorts_that_read_it_and_no_others() -> None:
    plan = plan_of([{"key": "p", "when": PLAN}, {"key": "c", "when": performed()}, {"key": "n", "when": {"not": PLAN}}])
    touched = folded(EMPTY, write((1, '"pro"')), plan, START)
    handles = {cohort.key: cohort.handle for cohort in plan.cohorts}
    assert set(touched.joined) == {handles["p"], handles["n"]}
    assert touched.is_whole
    (selector,) = plan.selectors
    both = folded(touched.record, entries(selector, [0]), plan, START)
    assert both.joined == (handles["c"],)
    assert not both.is_whole, "the register was not looked at, so its due time stays as it is stored"


def test_a_timeline_of_a_selector_that_is_gone_is_dropped_with_all_that_waited_in_it() -> None:
    plan, handle, selector = one(performed())
    record = folded(EMPTY, entries(selector, [0, 5], START), plan, START).record
    assert record.memberships == {handle}
    assert len(record.ahead) == 1
    after = advance(record, TeamPlan(1), START)
    assert after.record == EMPTY
    assert after.departed == (handle,)
    assert after.due_ms is None


def test_a_new_plan_finds_the_members_of_a_new_cohort_on_a_timeline_that_is_there() -> None:
    first = registry_of([{"key": "c", "when": performed(within="1h")}])
    plan = compile_plan(first).team(1)
    (selector,) = plan.selectors
    record = folded(EMPTY, entries(selector, [0]), plan, START).record
    cohorts = [{"key": "c", "when": performed(within="1h")}, {"key": "d", "when": performed(within="2h")}]
    wider = compile_plan(registry_of(cohorts, first)).team(1)
    after = advance(record, wider, START + 1)
    assert after.joined == (wider.cohorts[1].handle,)
    assert after.departed == ()
    assert after.due_ms == START + 3_600 * SECOND


def test_two_windows_on_one_selector_fall_due_one_after_the_other_and_never_at_once() -> None:
    """The shorter window has nothing more to say once it has passed; it must not ask to be woken for the past."""
    plan = plan_of([{"key": "c", "when": performed(within="1s")}, {"key": "d", "when": performed(within="1h")}])
    (selector,) = plan.selectors
    record = folded(EMPTY, entries(selector, [0]), plan, START).record
    first = advance(record, plan, START + SECOND)
    assert first.departed == (plan.cohorts[0].handle,)
    assert first.due_ms == START + 3_600 * SECOND
    second = advance(first.record, plan, START + 3_600 * SECOND)
    assert second.record == EMPTY
    assert second.due_ms is None


def test_a_timer_that_fires_early_changes_nothing_and_is_set_again() -> None:
    plan, _, selector = one(performed(within="1s"))
    fresh = folded(EMPTY, entries(selector, [0]), plan, START)
    early = advance(fresh.record, plan, START + SECOND - 1)
    assert (early.record, early.joined, early.departed, early.due_ms) == (fresh.record, (), (), fresh.due_ms)


def test_an_advance_reaches_a_cohort_whose_timelines_are_gone_already() -> None:
    plan, handle, _ = one(performed())
    after = advance(Record(memberships=frozenset({handle})), plan, START)
    assert after.departed == (handle,)
    assert after.record == EMPTY


def test_the_verdict_of_a_shared_condition_is_the_same_for_all_who_ask() -> None:
    plan = plan_of([{"key": "c", "when": performed()}, {"key": "d", "when": {"not": performed()}}])
    (selector,) = plan.selectors
    ask = ask_at(Record(timelines={selector: ((START, 1),)}), plan, START)
    assert [cohort.verdict(ask) for cohort in plan.cohorts] == [True, False]


def value_plan() -> TeamPlan:
    selector = Selector((Alternative("purchase"),), ValueOf("amount", Form.NUMBER))
    condition = BoundCondition(Performed(selector, Interval.rolling(10)), (5,))
    cohort = CohortPlan(9, 1, "c", 1, False, True, lambda ask: ask(0), (0,))
    return TeamPlan(1, (condition,), (cohort,), {5: selector})


def test_entries_with_values_are_folded_kept_and_stored_with_them() -> None:
    delta = Delta(
        SOMEBODY, (DeltaEntry(5, START, 2, -1_500_000), DeltaEntry(5, START, 1, 0), DeltaEntry(5, START + 3, 0, 7))
    )
    outcome = folded(EMPTY, delta, value_plan(), START)
    assert outcome.record.timelines == {5: ((START, 2, -1_500_000), (START + 3, 0, 7))}
    assert decode_record(encode_record(outcome.record)) == outcome.record
    later = advance(outcome.record, value_plan(), START + 3)
    assert later.record.timelines == {5: ((START + 3, 0, 7),)}
    assert fold(outcome.record, [delta], value_plan(), START) == Replayed()


def test_an_entry_ahead_with_a_value_waits_like_any_other() -> None:
    delta = Delta(SOMEBODY, (DeltaEntry(5, START + 3, 8, 7),), arrival_ms=START)
    outcome = folded(EMPTY, delta, value_plan(), START)
    assert outcome.record.ahead == ((START + 3, 5, 8),)
    assert outcome.due_ms == START + 3


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=30), st.integers(0, 30))
def test_deltas_folded_together_come_to_the_same_as_one_after_the_other(times: list[tuple[int, int]], now: int) -> None:
    plan, _, selector = one({"kind": "count", "event": "a", "op": "eq", "n": 2, "within": "12ms"})
    deltas = [Delta(SOMEBODY, (DeltaEntry(selector, START + time, tag),)) for time, tag in times]
    together = fold(EMPTY, deltas, plan, START + now)
    record = EMPTY
    for delta in deltas:
        outcome = fold(record, [delta], plan, START + now)
        record = outcome.record if isinstance(outcome, Folded) else record
    assert (together.record if isinstance(together, Folded) else EMPTY) == record


def test_a_team_that_defined_nothing_folds_to_nothing() -> None:
    plan = compile_plan(Registry()).team(7)
    assert fold(EMPTY, [entries(1, [0])], plan, START) == Replayed()
    assert advance(EMPTY, plan, START).record == EMPTY
