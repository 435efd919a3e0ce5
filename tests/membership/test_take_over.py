"""What a shard tells of an edit that takes over, subject by subject."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from cohort_store.compiling import activate, drop_retired
from cohort_store.deltas import Delta, DeltaEntry
from cohort_store.folding import Folded, fold
from cohort_store.plans import Plan, compile_plan
from cohort_store.ports import (
    Due,
)
from cohort_store.records import EMPTY
from cohort_store.subjects import Subject
from processors.membership.shards import (
    Step,
    plan_step,
    plan_sweep,
    remember_switched,
)
from tests.membership.shards import (
    MINUTE,
    PLAN,
    QUIET,
    Ledger,
    a_shard,
    bought,
    bought_at,
    folded_with,
    instant_at,
    person,
    registry_of,
    told_by,
    work_of,
)


def _edited(*cohorts: Mapping[str, Any]) -> tuple[Plan, Plan]:
    """Plans with the edit building beside version 1, and with the edit in force."""
    building = registry_of(*cohorts, before=PLAN.registry)
    return compile_plan(building), compile_plan(activate(building, building.version))


SHORTER = {"key": "buyers", "when": {"kind": "performed", "event": "buy", "within": "10m"}}


def test_a_sweep_builds_the_new_version_and_tells_nothing_while_the_old_one_is_in_force() -> None:
    building, _ = _edited(SHORTER)
    records = {subject: record for subject, (record, _) in bought_at([1], 5).items()}
    step = plan_sweep(a_shard(6), records, records, building, instant_at(7), is_last=False)
    (write,) = step.commit.records
    assert write.joined == (building.team(1).cohorts[-1].handle,)
    assert write.due_ms == 5 + 10 * MINUTE
    assert write.rearm
    assert step.commit.changes == ()
    assert step.commit.position.now_ms == 6, "a sweep takes place at the shard's present instant"


def test_a_sweep_after_an_edit_took_force_tells_whom_it_changed_anything_for() -> None:
    building, edited = _edited(SHORTER)
    for now_ms, told in [(15 * MINUTE, [(person(1).id, "left", "edit")]), (6 * MINUTE, [])]:
        record = folded_with(building, 0, now_ms)
        shard = a_shard(now_ms, ready=building.version)
        step = plan_sweep(shard, [person(1)], {person(1): record}, edited, instant_at(now_ms), is_last=True)
        assert told_by(step.commit) == told
        old = PLAN.team(1).cohorts[0].handle
        assert old in step.records[person(1)].memberships, "who has not read the new registry finds the old answer"


def test_a_sweep_after_what_was_retired_is_dropped_takes_it_from_the_records_and_tells_nothing() -> None:
    _, edited = _edited(SHORTER)
    record = folded_with(edited, 0, MINUTE)
    dropped = compile_plan(drop_retired(edited.registry, edited.version))
    shard = a_shard(MINUTE, ready=edited.version)
    step = plan_sweep(shard, [person(1)], {person(1): record}, dropped, instant_at(0), is_last=True)
    assert step.commit.records[0].departed == (PLAN.team(1).cohorts[0].handle,)
    assert told_by(step.commit) == []


def test_a_version_that_was_replaced_follows_events_and_time_until_it_is_dropped() -> None:
    _, edited = _edited(SHORTER)
    old = PLAN.team(1).cohorts[0].handle
    ledger = Ledger(a_shard(5, ready=edited.version), {}, edited)
    ledger.finish(work_of(ledger.shard, [bought(person(1), 5, edited)]), 6)
    assert old in ledger.records[person(1)].memberships
    for now_ms, is_in in [(60 * MINUTE + 4, True), (60 * MINUTE + 5, False)]:
        ledger.finish(work_of(ledger.shard), now_ms)
        assert (old in ledger.records.get(person(1), EMPTY).memberships) is is_in


def test_only_the_last_commit_of_a_sweep_says_that_the_shard_is_ready() -> None:
    building, _ = _edited(SHORTER)
    for is_last, ready in [(False, PLAN.version), (True, building.version)]:
        step = plan_sweep(a_shard(6), [], {}, building, instant_at(7), is_last=is_last)
        assert step.commit.position.ready == ready


OF_OLD, OF_NEW, OF_BOTH, OF_NONE = "old", "new", "both", "none"
"""Which version a person's record is a member of."""
WIDER = {"key": "buyers", "when": {"kind": "performed", "event": "view", "within": "60m"}}
"""An edit under which old and new answers are independent: buyers are whoever viewed."""


class TakeOver:
    """An edit that has just taken over, and the records of persons of whom its sweep has told nothing yet."""

    def __init__(self, *, known: bool = True) -> None:
        building, self.plan = _edited(WIDER)
        self.shard = a_shard(5, ready=building.version)
        self.shard.switched = set() if known else None
        events = {OF_OLD: ["buy"], OF_NEW: ["view"], OF_BOTH: ["buy", "view"], OF_NONE: ["buy"]}
        self.records = {}
        for who, names in events.items():
            # Whoever is in none has a record all the same: of an event whose time is still to come.
            time_ms = MINUTE if who == OF_NONE else 0
            deltas = [self.did(who, name, time_ms) for name in names]
            folded = fold(EMPTY, deltas, building.team(1), 5)
            assert isinstance(folded, Folded)
            self.records[_named(who)] = folded.record
        self.told: list[tuple[str, str, str]] = []

    def did(self, who: str, name: str, time_ms: int = 5) -> Delta:
        (selector,) = (h for h, s in self.plan.team(1).selectors.items() if s.holds(name, {}))
        return Delta(_named(who), (DeltaEntry(selector, time_ms, 7),))

    def sweep(self, *who: str, is_last: bool = False) -> None:
        subjects = [_named(each) for each in who]
        self._remember(plan_sweep(self.shard, subjects, self.records, self.plan, instant_at(5), is_last=is_last))

    def fold(self, who: str, name: str) -> None:
        self._remember(
            plan_step(work_of(self.shard, [self.did(who, name)]), Due((), None), self.records, self.plan, instant_at(5))
        )

    def pass_time(self, now_ms: int, *who: str) -> None:
        due = Due(tuple(_named(each) for each in who), None)
        self._remember(plan_step(work_of(self.shard), due, self.records, self.plan, instant_at(now_ms)))

    def _remember(self, step: Step) -> None:
        self.shard.position = step.commit.position
        self.records.update(step.records)
        remember_switched(self.shard, step.switched)
        self.told += told_by(step.commit)


def _named(who: str) -> Subject:
    return Subject(1, 0, who)


EVERYBODY = (OF_OLD, OF_NEW, OF_BOTH, OF_NONE)


@pytest.mark.parametrize("known", [True, False])
def test_a_sweep_tells_an_edit_to_those_alone_whose_answers_differ(known: bool) -> None:
    edit = TakeOver(known=known)
    edit.sweep(*EVERYBODY)
    assert edit.told == [(OF_OLD, "left", "edit"), (OF_NEW, "entered", "edit")]


def test_whoever_is_looked_at_twice_by_a_sweep_is_told_once() -> None:
    edit = TakeOver()
    edit.sweep(*EVERYBODY)
    edit.sweep(*EVERYBODY, is_last=True)
    assert len(edit.told) == 2
    edit.sweep(*EVERYBODY)
    assert len(edit.told) == 2, "after the sweep nothing is told again"


def test_an_owner_that_does_not_know_whom_another_one_told_tells_again_where_the_answers_differ_and_nowhere_else() -> (
    None
):
    edit = TakeOver()
    edit.sweep(*EVERYBODY)
    edit.shard.switched = None
    edit.sweep(*EVERYBODY)
    assert edit.told[2:] == edit.told[:2]


@pytest.mark.parametrize("swept", [True, False])
@pytest.mark.parametrize(
    ("who", "event", "told"),
    [
        (OF_OLD, "view", ["left", "entered"]),
        (OF_NEW, "buy", ["entered"]),
        (OF_BOTH, "view", []),
        (OF_NONE, "buy", []),
        (OF_NONE, "view", ["entered"]),
        ("unseen", "view", ["entered"]),
        ("unseen", "buy", []),
    ],
)
def test_an_event_about_the_time_of_the_sweep_is_told_once(swept: bool, who: str, event: str, told: list[str]) -> None:
    edit = TakeOver()
    if swept:
        edit.sweep(*EVERYBODY)
    edit.fold(who, event)
    edit.sweep(*EVERYBODY, "unseen")
    expected = told if swept else told[-1:]
    # Before the sweep, whoever the event brings into the new version from the old one never left.
    expected = [] if who == OF_OLD and not swept else expected
    assert [status for person, status, _ in edit.told if person == who] == expected


def test_whoever_leaves_the_old_version_by_time_before_the_sweep_is_told_once_that_she_left() -> None:
    edit = TakeOver()
    edit.pass_time(60 * MINUTE, OF_OLD, OF_BOTH)
    edit.sweep(*EVERYBODY)
    assert [told[:2] for told in edit.told] == [(OF_OLD, "left"), (OF_BOTH, "left")]


def test_a_timer_between_an_edit_and_its_sweep_tells_what_the_edit_changed() -> None:
    building, edited = _edited(SHORTER)
    shard = a_shard(15 * MINUTE, ready=building.version, next_due_ms=60 * MINUTE)
    record = folded_with(building, 0, 15 * MINUTE)
    due = Due((person(1),), None)
    step = plan_step(work_of(shard), due, {person(1): record}, edited, instant_at(60 * MINUTE))
    assert [told[:2] for told in told_by(step.commit)] == [(person(1).id, "left")]


def test_a_timer_after_the_sweep_does_not_tell_an_edit_again() -> None:
    quiet = registry_of(QUIET, before=msgspec.structs.replace(registry_of(QUIET), version=0))
    building = registry_of({**QUIET, "when": {"kind": "performed", "event": "buy", "within": "60m"}}, before=quiet)
    edited = compile_plan(activate(building, building.version))
    record = folded_with(edited, 0, 0)
    shard = a_shard(0, ready=edited.version, next_due_ms=60 * MINUTE)
    due = Due((person(1),), None)
    told = told_by(plan_step(work_of(shard), due, {person(1): record}, edited, instant_at(30 * MINUTE)).commit)
    assert told == []
