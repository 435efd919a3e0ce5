"""What one step of a shard writes: its two promises about time, crowds, bounds, edits and complements."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from cohort_store.changes import Change, decode_change
from cohort_store.compiling import activate, assign, drop_retired
from cohort_store.conditions.sequence import ENTRIES_MAX
from cohort_store.definitions import parse_cohort
from cohort_store.deltas import Delta, DeltaEntry
from cohort_store.durations import parse_instant_ms
from cohort_store.folding import Folded, fold
from cohort_store.plans import Plan, compile_plan
from cohort_store.ports import (
    COMMIT_BYTES_MAX,
    COMMIT_RECORDS_MAX,
    DistinctIdWrite,
    Due,
    Offset,
    Position,
    ShardCommit,
    commit_bytes,
)
from cohort_store.records import EMPTY, Record, decode_record
from cohort_store.registry import Registry
from cohort_store.subjects import Subject
from processors.membership.shards import (
    DISTINCT_IDS_MAX,
    Instant,
    Shard,
    Step,
    Work,
    plan_step,
    plan_sweep,
    plan_telling,
    remember_switched,
)

TOPIC = "muster.deltas"
MINUTE = 60_000
BUYERS = {"key": "buyers", "when": {"kind": "performed", "event": "buy", "within": "60m"}}
QUIET = {"key": "quiet", "when": {"not": {"kind": "performed", "event": "buy", "within": "60m"}}}


def _registry(*cohorts: Mapping[str, Any], before: Registry | None = None) -> Registry:
    parsed = [parse_cohort(cohort) for cohort in cohorts]
    return assign(before or Registry(), parsed, {}, applied="a", now=0)


PLAN = compile_plan(_registry(BUYERS))


def _shard(now_ms: int = 0, *, ready: int = 1, next_due_ms: int | None = None) -> Shard:
    position = Position(b"before", 0, 1, now_ms, ready, {TOPIC: Offset(10, b"ten")}, sequence=5)
    return Shard(0, position, known=True, next_due_ms=next_due_ms)


def _subject(number: int) -> Subject:
    return Subject(1, 0, f"person-{number:04}")


def _bought(subject: Subject, time_ms: int, plan: Plan = PLAN) -> Delta:
    (selector,) = plan.team(1).selectors
    return Delta(subject, (DeltaEntry(selector, time_ms, 7),))


def _work(shard: Shard, deltas: Iterable[Delta] = (), pairs: Sequence[DistinctIdWrite] = ()) -> Work:
    work = Work(shard, {TOPIC: Offset(20, b"twenty")}, distinct_ids=list(pairs))
    for delta in deltas:
        work.deltas.setdefault(delta.subject, []).append(delta)
    return work


def _at(now_ms: int, commit_id: bytes = b"fresh", clock_us: int = 0) -> Instant:
    return Instant(now_ms, clock_us, stale=False, commit_id=commit_id)


def _changes(commit: ShardCommit) -> list[Change]:
    return [decode_change(change) for change in commit.changes]


def _told(commit: ShardCommit) -> list[tuple[str, str, str]]:
    return [(change.person_id, change.status, change.cause) for change in _changes(commit)]


class Ledger:
    """The least of a store that steps need: records, due times and the position, brought to the end of a work."""

    def __init__(self, shard: Shard, records: Mapping[Subject, tuple[Record, int]], plan: Plan = PLAN) -> None:
        self.shard = shard
        self.plan = plan
        self.records = {subject: record for subject, (record, _) in records.items()}
        self.due = {subject: due_ms for subject, (_, due_ms) in records.items()}
        self.shard.next_due_ms = min(self.due.values(), default=None)
        self.commits: list[ShardCommit] = []

    def finish(self, work: Work, now_ms: int) -> None:
        """Run the work's steps, each held to the promises of the position."""
        rest: Work | None = work
        while rest is not None:
            step = plan_step(rest, self._due(now_ms), self.records, self.plan, _at(now_ms))
            if step.is_too_large:
                self.shard.records_max = max(1, self.shard.records_max // 2)
                continue
            self._apply(step.commit)
            self.shard.position, self.shard.next_due_ms = step.commit.position, step.next_due_ms
            rest = step.rest

    def _due(self, now_ms: int) -> Due:
        if self.shard.next_due_ms is None or self.shard.next_due_ms > now_ms:
            return Due((), self.shard.next_due_ms)
        ordered = sorted((due_ms, subject) for subject, due_ms in self.due.items())
        due = [subject for due_ms, subject in ordered if due_ms <= now_ms][: self.shard.records_max]
        left = ordered[len(due) :]
        return Due(tuple(due), left[0][0] if left else None)

    def _apply(self, commit: ShardCommit) -> None:
        assert len(commit.records) <= COMMIT_RECORDS_MAX
        self.commits.append(commit)
        told_at = {parse_instant_ms(change.last_updated) for change in _changes(commit)}
        assert told_at <= {commit.position.now_ms}, "what a commit says is as of its own now"
        for write in commit.records:
            self.records[write.subject] = EMPTY if write.record is None else decode_record(write.record)
            due_ms = write.due_ms
            if not write.rearm and write.subject in self.due:
                due_ms = min(self.due[write.subject], due_ms) if due_ms is not None else self.due[write.subject]
            self.due.pop(write.subject, None)
            if due_ms is not None and write.record is not None:
                self.due[write.subject] = due_ms
        missed = [due_ms for due_ms in self.due.values() if due_ms < commit.position.now_ms]
        assert not missed, "the position's now has passed a timer that has not run"


def _bought_at(numbers: Iterable[int], time_ms: int) -> dict[Subject, tuple[Record, int]]:
    """Records of persons who bought, as of that instant, each with its due time."""
    found = {}
    for number in numbers:
        subject = _subject(number)
        folded = fold(EMPTY, [_bought(subject, time_ms)], PLAN.team(1), time_ms)
        assert isinstance(folded, Folded)
        found[subject] = (folded.record, folded.due_ms or 0)
    return found


def test_an_event_makes_a_member_and_one_change_with_the_next_sequence() -> None:
    shard = _shard()
    step = plan_step(_work(shard, [_bought(_subject(1), 5)]), Due((), None), {}, PLAN, _at(10))
    (write,) = step.commit.records
    (cohort,) = PLAN.team(1).cohorts
    assert write.joined == (cohort.handle,)
    assert write.due_ms == step.next_due_ms == 5 + 60 * MINUTE
    (change,) = _changes(step.commit)
    assert (change.status, change.cause, change.sequence, change.shard) == ("entered", "event", 6, 0)
    assert step.commit.position.sequence == 6
    assert step.commit.position.now_ms == 10
    assert step.commit.position.offsets[TOPIC] == Offset(20, b"twenty")
    assert step.rest is None


def test_the_sequence_is_the_clock_in_microseconds_where_that_is_higher() -> None:
    work = _work(_shard(), [_bought(_subject(1), 5), _bought(_subject(2), 5)])
    step = plan_step(work, Due((), None), {}, PLAN, _at(10, clock_us=10_000))
    assert [change.sequence for change in _changes(step.commit)] == [10_001, 10_002]
    assert step.commit.position.sequence == 10_002


def test_a_commit_without_changes_leaves_the_sequence_where_it_is() -> None:
    step = plan_step(_work(_shard()), Due((), None), {}, PLAN, _at(10, clock_us=10_000))
    assert step.commit.position.sequence == 5


def test_a_redelivered_delta_moves_the_position_and_writes_no_record() -> None:
    records = {subject: record for subject, (record, _) in _bought_at([1], 5).items()}
    step = plan_step(_work(_shard(), [_bought(_subject(1), 5)]), Due((), None), records, PLAN, _at(10))
    assert step.commit.records == ()
    assert step.commit.changes == ()
    assert step.commit.position.offsets[TOPIC].next == 20


def test_a_timer_throws_out_exactly_at_its_instant_with_no_further_event() -> None:
    out_ms = 5 + 60 * MINUTE
    for now_ms, statuses in [(out_ms - 1, []), (out_ms, ["left"]), (out_ms + 1, ["left"])]:
        ledger = Ledger(_shard(5), _bought_at([1], 5))
        ledger.finish(_work(ledger.shard), now_ms)
        assert [c.status for commit in ledger.commits for c in _changes(commit)] == statuses
        assert ledger.shard.position.now_ms == now_ms


def test_a_subject_whose_timer_is_due_is_folded_and_asked_once_as_of_now() -> None:
    ledger = Ledger(_shard(5), _bought_at([1], 5))
    ledger.finish(_work(ledger.shard, [_bought(_subject(1), 30 * MINUTE)]), 61 * MINUTE)
    (commit,) = ledger.commits
    assert len(commit.records) == 1
    assert commit.changes == (), "the later event keeps her in"


def test_more_folds_than_a_commit_holds_leave_instant_and_offset_until_the_last() -> None:
    ledger = Ledger(_shard(5), {})
    work = _work(ledger.shard, [_bought(_subject(number), 4) for number in range(COMMIT_RECORDS_MAX * 2 + 1)])
    ledger.finish(work, MINUTE)
    seen = [(len(c.records), c.position.now_ms, c.position.offsets[TOPIC].next) for c in ledger.commits]
    assert seen == [(COMMIT_RECORDS_MAX, 5, 10), (COMMIT_RECORDS_MAX, 5, 10), (1, MINUTE, 20)]


def test_now_never_passes_input_that_is_not_folded_yet_even_where_timers_are_due() -> None:
    ledger = Ledger(_shard(5), _bought_at(range(3), 5))
    late = [_bought(_subject(number), 50 * MINUTE) for number in range(COMMIT_RECORDS_MAX + 50)]
    ledger.finish(_work(ledger.shard, late), 61 * MINUTE)
    assert not [told for commit in ledger.commits for told in _told(commit) if told[1] == "left"], (
        "whoever is due has an event among those that were not folded first"
    )
    first = ledger.commits[0]
    assert first.position.now_ms == 5
    assert ledger.shard.position.now_ms == 61 * MINUTE


def test_more_due_timers_than_a_commit_holds_are_dated_at_the_first_one_left() -> None:
    ledger = Ledger(_shard(5), {s: r for n in range(COMMIT_RECORDS_MAX + 1) for s, r in _bought_at([n], 5 + n).items()})
    ledger.finish(_work(ledger.shard), 90 * MINUTE)
    assert [commit.position.now_ms for commit in ledger.commits] == [5 + COMMIT_RECORDS_MAX + 60 * MINUTE, 90 * MINUTE]
    assert sum(len(commit.changes) for commit in ledger.commits) == COMMIT_RECORDS_MAX + 1


def test_many_timers_at_the_same_millisecond_all_run_before_now_goes_on() -> None:
    ledger = Ledger(_shard(5), _bought_at(range(3 * COMMIT_RECORDS_MAX + 1), 5))
    ledger.finish(_work(ledger.shard), 90 * MINUTE)
    assert [commit.position.now_ms for commit in ledger.commits[:3]] == [5 + 60 * MINUTE] * 3
    assert ledger.shard.position.now_ms == 90 * MINUTE
    assert not ledger.due


def test_folds_and_timers_that_do_not_fit_together_go_one_after_the_other() -> None:
    ledger = Ledger(_shard(5), _bought_at(range(150), 3))
    newcomers = [_bought(_subject(1_000 + number), 4) for number in range(100)]
    ledger.finish(_work(ledger.shard, newcomers), 60 * MINUTE + 3)
    folded, ran = ledger.commits
    assert {told[1:] for told in _told(folded)} == {("entered", "event")}
    assert len(folded.records) == 100
    assert folded.position.now_ms == 5, "no timer has run yet"
    assert folded.position.offsets[TOPIC].next == 20, "but all input is folded"
    assert {told[1:] for told in _told(ran)} == {("left", "timer")}
    assert ran.position.now_ms == 60 * MINUTE + 3


def test_a_commit_that_is_too_large_goes_out_in_halves() -> None:
    plan = compile_plan(
        _registry({"key": "many", "when": {"kind": "count", "event": "buy", "op": "gte", "n": 1_000, "within": "60m"}})
    )
    (selector,) = plan.team(1).selectors
    entries = tuple(DeltaEntry(selector, number, (number * 2_654_435_761) % 2**32) for number in range(1_000))
    ledger = Ledger(_shard(1_000), {}, plan)
    ledger.finish(_work(ledger.shard, [Delta(_subject(number), entries) for number in range(100)]), MINUTE)
    assert len(ledger.records) == 100
    assert len(ledger.commits) > 2
    assert all(commit_bytes(commit) <= COMMIT_BYTES_MAX for commit in ledger.commits)
    assert ledger.shard.position.offsets[TOPIC].next == 20


def test_distinct_ids_beyond_a_commits_bound_hold_the_offset_back_until_all_are_in() -> None:
    ledger = Ledger(_shard(5), {})
    pairs = [DistinctIdWrite(1, f"device-{number}", "person", number) for number in range(DISTINCT_IDS_MAX + 1)]
    ledger.finish(_work(ledger.shard, [_bought(_subject(1), 4)], pairs), MINUTE)
    assert [len(commit.distinct_ids) for commit in ledger.commits] == [DISTINCT_IDS_MAX, 1]
    assert [commit.position.offsets[TOPIC].next for commit in ledger.commits] == [10, 20]


def test_only_a_shard_without_position_expects_none() -> None:
    shard = _shard()
    assert plan_step(_work(shard), Due((), None), {}, PLAN, _at(10)).commit.expected == b"before"
    shard.known = False
    assert plan_step(_work(shard), Due((), None), {}, PLAN, _at(10)).commit.expected is None


def test_for_a_complemented_version_joining_the_stored_ones_means_leaving_the_cohort() -> None:
    plan = compile_plan(_registry(QUIET))
    (cohort,) = plan.team(1).cohorts
    assert cohort.complemented
    ledger = Ledger(_shard(5), {}, plan)
    ledger.finish(_work(ledger.shard, [_bought(_subject(1), 5, plan)]), 6)
    assert ledger.commits[-1].records[0].joined == (cohort.handle,)
    assert _told(ledger.commits[-1]) == [(_subject(1).id, "left", "event")]
    ledger.finish(_work(ledger.shard), 5 + 60 * MINUTE)
    assert ledger.commits[-1].records[0].record is None, "empty is the same as never seen"
    assert _told(ledger.commits[-1]) == [(_subject(1).id, "entered", "timer")]


def _edited(*cohorts: Mapping[str, Any]) -> tuple[Plan, Plan]:
    """Plans with the edit building beside version 1, and with the edit in force."""
    building = _registry(*cohorts, before=PLAN.registry)
    return compile_plan(building), compile_plan(activate(building, building.version))


SHORTER = {"key": "buyers", "when": {"kind": "performed", "event": "buy", "within": "10m"}}


def test_a_sweep_builds_the_new_version_and_tells_nothing_while_the_old_one_is_in_force() -> None:
    building, _ = _edited(SHORTER)
    records = {subject: record for subject, (record, _) in _bought_at([1], 5).items()}
    step = plan_sweep(_shard(6), records, records, building, _at(7), is_last=False)
    (write,) = step.commit.records
    assert write.joined == (building.team(1).cohorts[-1].handle,)
    assert write.due_ms == 5 + 10 * MINUTE
    assert write.rearm
    assert step.commit.changes == ()
    assert step.commit.position.now_ms == 6, "a sweep takes place at the shard's present instant"


def _folded_with(plan: Plan, time_ms: int, now_ms: int) -> Record:
    """Someone who bought, her record as `plan` has it at an instant."""
    folded = fold(EMPTY, [_bought(_subject(1), time_ms, plan)], plan.team(1), now_ms)
    assert isinstance(folded, Folded)
    return folded.record


def test_a_sweep_after_an_edit_took_force_tells_whom_it_changed_anything_for() -> None:
    building, edited = _edited(SHORTER)
    for now_ms, told in [(15 * MINUTE, [(_subject(1).id, "left", "edit")]), (6 * MINUTE, [])]:
        record = _folded_with(building, 0, now_ms)
        shard = _shard(now_ms, ready=building.version)
        step = plan_sweep(shard, [_subject(1)], {_subject(1): record}, edited, _at(now_ms), is_last=True)
        assert _told(step.commit) == told
        old = PLAN.team(1).cohorts[0].handle
        assert old in step.records[_subject(1)].memberships, "who has not read the new registry finds the old answer"


def test_a_sweep_after_what_was_retired_is_dropped_takes_it_from_the_records_and_tells_nothing() -> None:
    _, edited = _edited(SHORTER)
    record = _folded_with(edited, 0, MINUTE)
    dropped = compile_plan(drop_retired(edited.registry, edited.version))
    shard = _shard(MINUTE, ready=edited.version)
    step = plan_sweep(shard, [_subject(1)], {_subject(1): record}, dropped, _at(0), is_last=True)
    assert step.commit.records[0].departed == (PLAN.team(1).cohorts[0].handle,)
    assert _told(step.commit) == []


def test_a_version_that_was_replaced_follows_events_and_time_until_it_is_dropped() -> None:
    _, edited = _edited(SHORTER)
    old = PLAN.team(1).cohorts[0].handle
    ledger = Ledger(_shard(5, ready=edited.version), {}, edited)
    ledger.finish(_work(ledger.shard, [_bought(_subject(1), 5, edited)]), 6)
    assert old in ledger.records[_subject(1)].memberships
    for now_ms, is_in in [(60 * MINUTE + 4, True), (60 * MINUTE + 5, False)]:
        ledger.finish(_work(ledger.shard), now_ms)
        assert (old in ledger.records.get(_subject(1), EMPTY).memberships) is is_in


def test_only_the_last_commit_of_a_sweep_says_that_the_shard_is_ready() -> None:
    building, _ = _edited(SHORTER)
    for is_last, ready in [(False, PLAN.version), (True, building.version)]:
        step = plan_sweep(_shard(6), [], {}, building, _at(7), is_last=is_last)
        assert step.commit.position.ready == ready


OF_OLD, OF_NEW, OF_BOTH, OF_NONE = "old", "new", "both", "none"
"""Which version a person's record is a member of."""
WIDER = {"key": "buyers", "when": {"kind": "performed", "event": "view", "within": "60m"}}
"""An edit under which old and new answers are independent: buyers are whoever viewed."""


class TakeOver:
    """An edit that has just taken over, and the records of persons of whom its sweep has told nothing yet."""

    def __init__(self, *, known: bool = True) -> None:
        building, self.plan = _edited(WIDER)
        self.shard = _shard(5, ready=building.version)
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
        self._remember(plan_sweep(self.shard, subjects, self.records, self.plan, _at(5), is_last=is_last))

    def fold(self, who: str, name: str) -> None:
        self._remember(
            plan_step(_work(self.shard, [self.did(who, name)]), Due((), None), self.records, self.plan, _at(5))
        )

    def pass_time(self, now_ms: int, *who: str) -> None:
        due = Due(tuple(_named(each) for each in who), None)
        self._remember(plan_step(_work(self.shard), due, self.records, self.plan, _at(now_ms)))

    def _remember(self, step: Step) -> None:
        self.shard.position = step.commit.position
        self.records.update(step.records)
        remember_switched(self.shard, step.switched)
        self.told += _told(step.commit)


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
    shard = _shard(15 * MINUTE, ready=building.version, next_due_ms=60 * MINUTE)
    record = _folded_with(building, 0, 15 * MINUTE)
    due = Due((_subject(1),), None)
    step = plan_step(_work(shard), due, {_subject(1): record}, edited, _at(60 * MINUTE))
    assert [told[:2] for told in _told(step.commit)] == [(_subject(1).id, "left")]


def test_a_timer_after_the_sweep_does_not_tell_an_edit_again() -> None:
    quiet = _registry(QUIET, before=msgspec.structs.replace(_registry(QUIET), version=0))
    building = _registry({**QUIET, "when": {"kind": "performed", "event": "buy", "within": "60m"}}, before=quiet)
    edited = compile_plan(activate(building, building.version))
    record = _folded_with(edited, 0, 0)
    shard = _shard(0, ready=edited.version, next_due_ms=60 * MINUTE)
    due = Due((_subject(1),), None)
    told = _told(plan_step(_work(shard), due, {_subject(1): record}, edited, _at(30 * MINUTE)).commit)
    assert told == []


def test_telling_says_for_each_pair_which_side_the_subject_is_on() -> None:
    plan = compile_plan(_registry(BUYERS, QUIET))
    buyers, quiet = plan.team(1).cohorts
    member = _folded_with(plan, 0, 0)
    pairs = [(_subject(n), cohort) for n in (1, 2) for cohort in (buyers, quiet)]
    step = plan_telling(_shard(), pairs, {_subject(1): member}, plan, _at(9))
    assert [(c.person_id, c.cohort, c.status) for c in _changes(step.commit)] == [
        (_subject(1).id, "buyers", "entered"),
        (_subject(1).id, "quiet", "left"),
        (_subject(2).id, "buyers", "left"),
        (_subject(2).id, "quiet", "entered"),
    ]
    assert {change.cause for change in _changes(step.commit)} == {"reconcile"}
    assert step.commit.position.now_ms == 0


def test_nothing_is_told_while_nothing_is_known_and_the_answer_once_it_is() -> None:
    sequence = {"kind": "sequence", "first": {"event": "ask"}, "then": {"event": "buy"}}
    when = {**sequence, "then_within": "1m", "within": "60m"}
    plan = compile_plan(_registry({"key": "asked", "when": when}, {"key": "never", "when": {"not": when}}))
    asks, buys = plan.team(1).selectors
    subject, shard = _subject(1), _shard(0)
    ledger = Ledger(shard, {}, plan)
    many = Delta(subject, tuple(DeltaEntry(asks, number, 7) for number in range(ENTRIES_MAX + 1)))
    ledger.finish(_work(shard, [many]), MINUTE)
    bought = Delta(subject, (DeltaEntry(buys, ENTRIES_MAX + MINUTE, 8),))
    ledger.finish(_work(shard, [bought]), 2 * MINUTE)
    ledger.finish(_work(shard), 61 * MINUTE)
    told = [(change.cohort, change.status, change.cause) for commit in ledger.commits for change in _changes(commit)]
    assert told == [
        ("asked", "entered", "event"),
        ("never", "left", "event"),
        ("asked", "left", "timer"),
        ("never", "entered", "timer"),
    ]
    first = ledger.commits[0].records[0]
    assert sorted(first.joined) == sorted(-cohort.handle for cohort in plan.team(1).cohorts)
    assert first.departed == ()
    assert set(first.joined) <= ledger.commits[0].unlisted
