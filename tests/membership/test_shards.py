"""What one step of a shard writes: its two promises about time, crowds, bounds and complements."""

from cohort_store.conditions.sequence import ENTRIES_MAX
from cohort_store.deltas import Delta, DeltaEntry
from cohort_store.plans import compile_plan
from cohort_store.ports import (
    COMMIT_BYTES_MAX,
    COMMIT_RECORDS_MAX,
    DistinctIdWrite,
    Due,
    Offset,
    commit_bytes,
)
from processors.membership.shards import (
    DISTINCT_IDS_MAX,
    plan_step,
    plan_telling,
)
from tests.membership.shards import (
    BUYERS,
    MINUTE,
    PLAN,
    QUIET,
    TOPIC,
    Ledger,
    a_shard,
    bought,
    bought_at,
    changes_of,
    folded_with,
    instant_at,
    person,
    registry_of,
    told_by,
    work_of,
)


def test_an_event_makes_a_member_and_one_change_with_the_next_sequence() -> None:
    shard = a_shard()
    step = plan_step(work_of(shard, [bought(person(1), 5)]), Due((), None), {}, PLAN, instant_at(10))
    (write,) = step.commit.records
    (cohort,) = PLAN.team(1).cohorts
    assert write.joined == (cohort.handle,)
    assert write.due_ms == step.next_due_ms == 5 + 60 * MINUTE
    (change,) = changes_of(step.commit)
    assert (change.status, change.cause, change.sequence, change.shard) == ("entered", "event", 6, 0)
    assert step.commit.position.sequence == 6
    assert step.commit.position.now_ms == 10
    assert step.commit.position.offsets[TOPIC] == Offset(20, b"twenty")
    assert step.rest is None


def test_the_sequence_is_the_clock_in_microseconds_where_that_is_higher() -> None:
    work = work_of(a_shard(), [bought(person(1), 5), bought(person(2), 5)])
    step = plan_step(work, Due((), None), {}, PLAN, instant_at(10, clock_us=10_000))
    assert [change.sequence for change in changes_of(step.commit)] == [10_001, 10_002]
    assert step.commit.position.sequence == 10_002


def test_a_commit_without_changes_leaves_the_sequence_where_it_is() -> None:
    step = plan_step(work_of(a_shard()), Due((), None), {}, PLAN, instant_at(10, clock_us=10_000))
    assert step.commit.position.sequence == 5


def test_a_redelivered_delta_moves_the_position_and_writes_no_record() -> None:
    records = {subject: record for subject, (record, _) in bought_at([1], 5).items()}
    step = plan_step(work_of(a_shard(), [bought(person(1), 5)]), Due((), None), records, PLAN, instant_at(10))
    assert step.commit.records == ()
    assert step.commit.changes == ()
    assert step.commit.position.offsets[TOPIC].next == 20


def test_a_timer_throws_out_exactly_at_its_instant_with_no_further_event() -> None:
    out_ms = 5 + 60 * MINUTE
    for now_ms, statuses in [(out_ms - 1, []), (out_ms, ["left"]), (out_ms + 1, ["left"])]:
        ledger = Ledger(a_shard(5), bought_at([1], 5))
        ledger.finish(work_of(ledger.shard), now_ms)
        assert [c.status for commit in ledger.commits for c in changes_of(commit)] == statuses
        assert ledger.shard.position.now_ms == now_ms


def test_a_subject_whose_timer_is_due_is_folded_and_asked_once_as_of_now() -> None:
    ledger = Ledger(a_shard(5), bought_at([1], 5))
    ledger.finish(work_of(ledger.shard, [bought(person(1), 30 * MINUTE)]), 61 * MINUTE)
    (commit,) = ledger.commits
    assert len(commit.records) == 1
    assert commit.changes == (), "the later event keeps her in"


def test_more_folds_than_a_commit_holds_leave_instant_and_offset_until_the_last() -> None:
    ledger = Ledger(a_shard(5), {})
    work = work_of(ledger.shard, [bought(person(number), 4) for number in range(COMMIT_RECORDS_MAX * 2 + 1)])
    ledger.finish(work, MINUTE)
    seen = [(len(c.records), c.position.now_ms, c.position.offsets[TOPIC].next) for c in ledger.commits]
    assert seen == [(COMMIT_RECORDS_MAX, 5, 10), (COMMIT_RECORDS_MAX, 5, 10), (1, MINUTE, 20)]


def test_now_never_passes_input_that_is_not_folded_yet_even_where_timers_are_due() -> None:
    ledger = Ledger(a_shard(5), bought_at(range(3), 5))
    late = [bought(person(number), 50 * MINUTE) for number in range(COMMIT_RECORDS_MAX + 50)]
    ledger.finish(work_of(ledger.shard, late), 61 * MINUTE)
    assert not [told for commit in ledger.commits for told in told_by(commit) if told[1] == "left"], (
        "whoever is due has an event among those that were not folded first"
    )
    first = ledger.commits[0]
    assert first.position.now_ms == 5
    assert ledger.shard.position.now_ms == 61 * MINUTE


def test_more_due_timers_than_a_commit_holds_are_dated_at_the_first_one_left() -> None:
    ledger = Ledger(a_shard(5), {s: r for n in range(COMMIT_RECORDS_MAX + 1) for s, r in bought_at([n], 5 + n).items()})
    ledger.finish(work_of(ledger.shard), 90 * MINUTE)
    assert [commit.position.now_ms for commit in ledger.commits] == [5 + COMMIT_RECORDS_MAX + 60 * MINUTE, 90 * MINUTE]
    assert sum(len(commit.changes) for commit in ledger.commits) == COMMIT_RECORDS_MAX + 1


def test_many_timers_at_the_same_millisecond_all_run_before_now_goes_on() -> None:
    ledger = Ledger(a_shard(5), bought_at(range(3 * COMMIT_RECORDS_MAX + 1), 5))
    ledger.finish(work_of(ledger.shard), 90 * MINUTE)
    assert [commit.position.now_ms for commit in ledger.commits[:3]] == [5 + 60 * MINUTE] * 3
    assert ledger.shard.position.now_ms == 90 * MINUTE
    assert not ledger.due


def test_folds_and_timers_that_do_not_fit_together_go_one_after_the_other() -> None:
    ledger = Ledger(a_shard(5), bought_at(range(150), 3))
    newcomers = [bought(person(1_000 + number), 4) for number in range(100)]
    ledger.finish(work_of(ledger.shard, newcomers), 60 * MINUTE + 3)
    folded, ran = ledger.commits
    assert {told[1:] for told in told_by(folded)} == {("entered", "event")}
    assert len(folded.records) == 100
    assert folded.position.now_ms == 5, "no timer has run yet"
    assert folded.position.offsets[TOPIC].next == 20, "but all input is folded"
    assert {told[1:] for told in told_by(ran)} == {("left", "timer")}
    assert ran.position.now_ms == 60 * MINUTE + 3


def test_a_commit_that_is_too_large_goes_out_in_halves() -> None:
    many = {"kind": "count", "event": "buy", "op": "gte", "n": 1_000, "within": "60m"}
    plan = compile_plan(registry_of({"key": "many", "when": many}))
    (selector,) = plan.team(1).selectors
    entries = tuple(DeltaEntry(selector, number, (number * 2_654_435_761) % 2**32) for number in range(1_000))
    ledger = Ledger(a_shard(1_000), {}, plan)
    ledger.finish(work_of(ledger.shard, [Delta(person(number), entries) for number in range(100)]), MINUTE)
    assert len(ledger.records) == 100
    assert len(ledger.commits) > 2
    assert all(commit_bytes(commit) <= COMMIT_BYTES_MAX for commit in ledger.commits)
    assert ledger.shard.position.offsets[TOPIC].next == 20


def test_distinct_ids_beyond_a_commits_bound_hold_the_offset_back_until_all_are_in() -> None:
    ledger = Ledger(a_shard(5), {})
    pairs = [DistinctIdWrite(1, f"device-{number}", "person", number) for number in range(DISTINCT_IDS_MAX + 1)]
    ledger.finish(work_of(ledger.shard, [bought(person(1), 4)], pairs), MINUTE)
    assert [len(commit.distinct_ids) for commit in ledger.commits] == [DISTINCT_IDS_MAX, 1]
    assert [commit.position.offsets[TOPIC].next for commit in ledger.commits] == [10, 20]


def test_only_a_shard_without_position_expects_none() -> None:
    shard = a_shard()
    assert plan_step(work_of(shard), Due((), None), {}, PLAN, instant_at(10)).commit.expected == b"before"
    shard.known = False
    assert plan_step(work_of(shard), Due((), None), {}, PLAN, instant_at(10)).commit.expected is None


def test_for_a_complemented_version_joining_the_stored_ones_means_leaving_the_cohort() -> None:
    plan = compile_plan(registry_of(QUIET))
    (cohort,) = plan.team(1).cohorts
    assert cohort.complemented
    ledger = Ledger(a_shard(5), {}, plan)
    ledger.finish(work_of(ledger.shard, [bought(person(1), 5, plan)]), 6)
    assert ledger.commits[-1].records[0].joined == (cohort.handle,)
    assert told_by(ledger.commits[-1]) == [(person(1).id, "left", "event")]
    ledger.finish(work_of(ledger.shard), 5 + 60 * MINUTE)
    assert ledger.commits[-1].records[0].record is None, "empty is the same as never seen"
    assert told_by(ledger.commits[-1]) == [(person(1).id, "entered", "timer")]


def test_telling_says_for_each_pair_which_side_the_subject_is_on() -> None:
    plan = compile_plan(registry_of(BUYERS, QUIET))
    buyers, quiet = plan.team(1).cohorts
    member = folded_with(plan, 0, 0)
    pairs = [(person(n), cohort) for n in (1, 2) for cohort in (buyers, quiet)]
    step = plan_telling(a_shard(), pairs, {person(1): member}, plan, instant_at(9))
    assert [(c.person_id, c.cohort, c.status) for c in changes_of(step.commit)] == [
        (person(1).id, "buyers", "entered"),
        (person(1).id, "quiet", "left"),
        (person(2).id, "buyers", "left"),
        (person(2).id, "quiet", "entered"),
    ]
    assert {change.cause for change in changes_of(step.commit)} == {"reconcile"}
    assert step.commit.position.now_ms == 0


def test_nothing_is_told_while_nothing_is_known_and_the_answer_once_it_is() -> None:
    sequence = {"kind": "sequence", "first": {"event": "ask"}, "then": {"event": "buy"}}
    when = {**sequence, "then_within": "1m", "within": "60m"}
    plan = compile_plan(registry_of({"key": "asked", "when": when}, {"key": "never", "when": {"not": when}}))
    asks, buys = plan.team(1).selectors
    subject, shard = person(1), a_shard(0)
    ledger = Ledger(shard, {}, plan)
    many = Delta(subject, tuple(DeltaEntry(asks, number, 7) for number in range(ENTRIES_MAX + 1)))
    ledger.finish(work_of(shard, [many]), MINUTE)
    bought = Delta(subject, (DeltaEntry(buys, ENTRIES_MAX + MINUTE, 8),))
    ledger.finish(work_of(shard, [bought]), 2 * MINUTE)
    ledger.finish(work_of(shard), 61 * MINUTE)
    told = [(change.cohort, change.status, change.cause) for commit in ledger.commits for change in changes_of(commit)]
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
