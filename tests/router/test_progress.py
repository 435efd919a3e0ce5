"""Through which instant a source is read, and what is no proof of it."""

import random

from cohort_store.deltas import Mark
from processors.membership.progress import ProgressClock
from processors.router.progress import FetchTimes, Progress, Source

FIRST, SECOND = Source("t", 0), Source("t", 1)
MINUTE = 60_000


def owning(*sources: Source) -> Progress:
    progress = Progress()
    progress.assign(sources or (FIRST,))
    return progress


def test_nothing_is_marked_before_anything_is_proven() -> None:
    assert owning(FIRST, SECOND).marks() == []


def test_acknowledged_records_prove_their_own_time() -> None:
    progress = owning()
    progress.acknowledged(FIRST, 7, latest_ms=100, now=500)
    assert progress.marks() == [Mark("t", 0, 100, 7)]


def test_a_record_dated_ahead_of_the_clock_proves_no_more_than_the_clock() -> None:
    progress = owning()
    progress.acknowledged(FIRST, 7, latest_ms=900, now=500)
    assert progress.marks() == [Mark("t", 0, 500, 7)]


def test_what_is_proven_never_shrinks_when_older_records_follow() -> None:
    progress = owning()
    progress.acknowledged(FIRST, 7, latest_ms=400, now=500)
    progress.acknowledged(FIRST, 8, latest_ms=100, now=600)
    progress.read_out(FIRST, 8, sent_ms=300)
    assert progress.marks() == [Mark("t", 0, 400, 8)]


def test_an_empty_fetch_at_the_end_proves_the_instant_at_which_it_was_sent() -> None:
    progress = owning()
    progress.read_out(FIRST, 0, sent_ms=450)
    assert progress.marks() == [Mark("t", 0, 450, 0)]


def test_each_partition_is_marked_by_itself() -> None:
    progress = owning(FIRST, SECOND)
    progress.acknowledged(SECOND, 7, latest_ms=100, now=500)
    assert progress.marks() == [Mark("t", 1, 100, 7)]
    progress.read_out(FIRST, 3, sent_ms=400)
    assert progress.marks() == [Mark("t", 0, 400, 3), Mark("t", 1, 100, 7)]


def test_a_partition_that_is_not_owned_any_more_is_neither_marked_nor_followed() -> None:
    progress = owning(FIRST, SECOND)
    progress.read_out(FIRST, 3, sent_ms=400)
    progress.assign([SECOND])
    progress.acknowledged(FIRST, 9, latest_ms=500, now=500)
    assert progress.marks() == []


def test_a_partition_that_comes_back_must_be_proven_anew() -> None:
    progress = owning()
    progress.read_out(FIRST, 3, sent_ms=400)
    progress.assign([FIRST])
    assert progress.marks() == []


def test_a_pipeline_that_was_down_throws_nobody_out_while_it_catches_up() -> None:
    """Performed in 60 min, events at 0 and 50, the router down from 45 to 75: at 75 the mark still says 45, not 75."""
    progress, clock = owning(), ProgressClock(slack_ms=5_000, max_hold_ms=10**9)
    clock.follow([FIRST], 0)

    def now_of_the_shard(wall_ms: int) -> int | None:
        for mark in progress.marks():
            clock.observe(mark, wall_ms)
        return clock.read(wall_ms, wall_ms).now_ms

    progress.acknowledged(FIRST, 1, latest_ms=0, now=0)
    progress.read_out(FIRST, 1, sent_ms=45 * MINUTE)
    assert now_of_the_shard(45 * MINUTE) == 45 * MINUTE
    assert now_of_the_shard(75 * MINUTE) == 45 * MINUTE
    progress.assign([FIRST])
    assert now_of_the_shard(75 * MINUTE) == 45 * MINUTE
    progress.acknowledged(FIRST, 2, latest_ms=50 * MINUTE, now=75 * MINUTE)
    assert now_of_the_shard(75 * MINUTE) == 50 * MINUTE
    progress.read_out(FIRST, 2, sent_ms=75 * MINUTE)
    assert now_of_the_shard(75 * MINUTE) == 75 * MINUTE


def test_a_cached_high_water_mark_proves_nothing_however_late_it_is_looked_at() -> None:
    times = FetchTimes()
    assert times.look(FIRST, None, before_ms=0) is None
    assert times.look(FIRST, 1, before_ms=10) is None
    assert times.look(FIRST, 2, before_ms=20) == 10
    # The connection breaks: no answer comes any more, and the instant stays however the clock goes on.
    assert [times.look(FIRST, 2, before_ms=at) for at in (30, 1_000, 100_000)] == [10, 10, 10]
    assert times.look(FIRST, 3, before_ms=200_000) == 20


def test_a_fetch_is_never_taken_to_be_sent_later_than_it_was() -> None:
    """A simulated consumer: fetches one behind the other, answered after any time, looked at in any rhythm."""
    for seed in range(300):
        rng = random.Random(seed)
        sent = rng.randrange(50)
        came = sent + rng.randrange(1, 200)
        answered: list[tuple[int, int]] = []
        times, before, stamp = FetchTimes(), 0, None
        for now in sorted(rng.randrange(3_000) for _ in range(60)):
            while came <= now:
                answered.append((came, sent))
                sent = came + rng.randrange(20)
                came = sent + rng.randrange(1, 200)
            stamp = answered[-1][0] if answered else None
            told = times.look(FIRST, stamp, before)
            assert told is None or told <= answered[-1][1]
            before = now
        assert stamp is not None
