"""Which instant is now, decided from marks alone: the promises of the guarantees page about time."""

from cohort_store.deltas import Mark
from processors.membership.progress import ProgressClock, Reading

MINUTE = 60_000
SLACK = 5_000
HOLD = 60 * MINUTE
LEFT, RIGHT = ("muster.events", 0), ("muster.events", 1)


def _clock(*sources: tuple[str, int], elapsed_ms: int = 0) -> ProgressClock:
    clock = ProgressClock(SLACK, HOLD)
    clock.follow(sources or (LEFT,), elapsed_ms)
    return clock


def _mark(through_ms: int, source: tuple[str, int] = LEFT) -> Mark:
    return Mark(source[0], source[1], through_ms, 0)


def test_now_is_the_clock_while_the_input_is_just_less_than_the_slack_behind() -> None:
    clock = _clock()
    clock.observe(_mark(100_000), 0)
    assert clock.read(100_000 + SLACK - 1, 0) == Reading(100_000 + SLACK - 1, stale=False)


def test_now_is_the_input_when_it_is_the_slack_behind_or_more() -> None:
    clock = _clock()
    clock.observe(_mark(100_000), 0)
    assert clock.read(100_000 + SLACK, 0) == Reading(100_000, stale=False)
    assert clock.read(100_000 + SLACK + 1, 0) == Reading(100_000, stale=False)


def test_performed_in_60_min_with_events_at_0_and_50_stays_in_while_the_pipeline_is_down_from_45_to_75() -> None:
    clock = _clock()
    clock.observe(_mark(45 * MINUTE), 45 * MINUTE)
    for minute in range(46, 75):
        now_ms = clock.read(minute * MINUTE, minute * MINUTE).now_ms
        assert now_ms == 45 * MINUTE, "time stands still, so the event at 0 has not left at 60"
    clock.observe(_mark(75 * MINUTE), 75 * MINUTE)
    assert clock.read(75 * MINUTE, 75 * MINUTE).now_ms == 75 * MINUTE, "by now the event at 50 has been read"


def test_an_owner_that_restarted_and_has_seen_no_mark_of_a_listed_source_lets_time_stand_still() -> None:
    clock = _clock(LEFT, RIGHT)
    assert clock.read(100 * MINUTE, 1_000).now_ms is None
    clock.observe(_mark(100 * MINUTE, RIGHT), 1_000)
    assert clock.read(100 * MINUTE, 1_000).now_ms is None, "the marks it has seen are not all that there are"
    clock.observe(_mark(99 * MINUTE), 2_000)
    assert clock.read(100 * MINUTE, 2_000).now_ms == 99 * MINUTE


def test_the_source_that_is_furthest_behind_decides() -> None:
    clock = _clock(LEFT, RIGHT)
    clock.observe(_mark(10 * MINUTE), 0)
    clock.observe(_mark(4 * MINUTE, RIGHT), 0)
    assert clock.read(10 * MINUTE, 0).now_ms == 4 * MINUTE


def test_a_silent_source_holds_time_for_max_hold_and_is_then_left_out_as_stale() -> None:
    clock = _clock(LEFT, RIGHT)
    clock.observe(_mark(4 * MINUTE, RIGHT), 0)
    clock.observe(_mark(10 * MINUTE), HOLD - 1)
    assert clock.read(10 * MINUTE, HOLD - 1) == Reading(4 * MINUTE, stale=False)
    assert clock.read(10 * MINUTE, HOLD) == Reading(4 * MINUTE, stale=False)
    assert clock.read(10 * MINUTE, HOLD + 1) == Reading(10 * MINUTE, stale=True)


def test_a_source_that_was_never_heard_of_is_left_out_after_max_hold_too() -> None:
    clock = _clock(LEFT, RIGHT, elapsed_ms=500)
    clock.observe(_mark(10 * MINUTE), HOLD)
    assert clock.read(10 * MINUTE, HOLD + 500) == Reading(None, stale=False)
    assert clock.read(10 * MINUTE, HOLD + 501) == Reading(10 * MINUTE, stale=True)


def test_a_source_that_speaks_again_is_waited_for_again() -> None:
    clock = _clock(LEFT, RIGHT)
    clock.observe(_mark(4 * MINUTE, RIGHT), 0)
    clock.observe(_mark(10 * MINUTE), HOLD + 1)
    assert clock.read(10 * MINUTE, HOLD + 1).stale
    clock.observe(_mark(5 * MINUTE, RIGHT), HOLD + 2)
    assert clock.read(10 * MINUTE, HOLD + 2) == Reading(5 * MINUTE, stale=False)


def test_when_all_sources_are_silent_time_stands_still_and_the_reading_is_stale() -> None:
    clock = _clock(LEFT, RIGHT)
    clock.observe(_mark(10 * MINUTE), 0)
    clock.observe(_mark(10 * MINUTE, RIGHT), 0)
    assert clock.read(900 * MINUTE, HOLD + 1) == Reading(None, stale=True)


def test_without_listed_sources_there_is_nothing_to_go_by() -> None:
    clock = ProgressClock(SLACK, HOLD)
    assert clock.read(900 * MINUTE, 0) == Reading(None, stale=False)


def test_a_mark_older_than_the_last_does_not_turn_time_back_but_is_a_sign_of_life() -> None:
    clock = _clock()
    clock.observe(_mark(10 * MINUTE), 0)
    clock.observe(_mark(9 * MINUTE), HOLD)
    assert clock.read(20 * MINUTE, 2 * HOLD) == Reading(10 * MINUTE, stale=False)


def test_marks_of_a_source_that_the_registry_does_not_list_say_nothing() -> None:
    clock = _clock(LEFT)
    clock.observe(_mark(1, ("muster.other", 0)), 0)
    clock.observe(_mark(10 * MINUTE), 0)
    assert clock.read(10 * MINUTE, 0).now_ms == 10 * MINUTE


def test_a_source_that_is_struck_from_the_registry_holds_time_no_longer() -> None:
    clock = _clock(LEFT, RIGHT)
    clock.observe(_mark(10 * MINUTE), 0)
    assert clock.read(10 * MINUTE, 0).now_ms is None
    clock.follow((LEFT,), 0)
    assert clock.read(10 * MINUTE, 0) == Reading(10 * MINUTE, stale=False)


def test_following_the_same_sources_again_forgets_no_mark() -> None:
    clock = _clock(LEFT)
    clock.observe(_mark(10 * MINUTE), 0)
    clock.follow((LEFT, RIGHT), 5_000)
    clock.observe(_mark(10 * MINUTE, RIGHT), 5_000)
    assert clock.read(10 * MINUTE, 5_000).now_ms == 10 * MINUTE
