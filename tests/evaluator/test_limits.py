"""The limiter against a bucket that is filled and emptied by the book."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.limits import RateLimiter
from tests.examples import aside

RATES = st.sampled_from([0.1, 1.0, 7.0, 10.0, 1_000.0])
BURSTS = st.sampled_from([0.0, 0.5, 1.0, 2.0, 30.0])
PAUSES = st.lists(st.floats(0, 5, allow_nan=False), min_size=1, max_size=80)
NEAR = 1e-6


@dataclass
class Bucket:
    """So many requests left, and when that was so."""

    per_s: float
    size: float
    left: float
    at_s: float

    def take(self, now_s: float) -> float:
        """What is missing of a whole request; nothing or less: it may pass, and did."""
        self.left = min(self.size, self.left + (now_s - self.at_s) * self.per_s)
        self.at_s = now_s
        missing = 1 - self.left
        if missing <= NEAR:
            self.left -= 1
        return missing


def bucket(per_s: float, burst_s: float) -> Bucket:
    size = max(1.0, burst_s * per_s)
    return Bucket(per_s, size, size, 0.0)


@aside()
@given(RATES, BURSTS, PAUSES)
def test_who_passes_and_how_long_the_others_wait_is_what_a_bucket_says(
    per_s: float, burst_s: float, pauses: list[float]
) -> None:
    limiter, by_the_book, now_s = RateLimiter(per_s, burst_s), bucket(per_s, burst_s), 0.0
    for pause_s in pauses:
        now_s += pause_s
        wait_s, missing = limiter.take("ann", now_s), by_the_book.take(now_s)
        if abs(missing) <= 10 * NEAR:
            return  # the two may round this one differently, and go apart from here on
        assert (wait_s == 0.0) == (missing < 0)
        if wait_s:
            assert wait_s == pytest.approx(missing / per_s, abs=NEAR)


@aside()
@given(RATES, BURSTS, PAUSES)
def test_no_stretch_of_time_sees_more_requests_than_the_rate_and_the_burst_give(
    per_s: float, burst_s: float, pauses: list[float]
) -> None:
    limiter, now_s, passed = RateLimiter(per_s, burst_s), 0.0, []
    for pause_s in pauses:
        now_s += pause_s / per_s
        if not limiter.take("ann", now_s):
            passed.append(now_s)
    for first, begin_s in enumerate(passed):
        for last, end_s in enumerate(passed[first:], first):
            assert last - first + 1 <= max(1.0, burst_s * per_s) + (end_s - begin_s) * per_s + NEAR


@aside()
@given(RATES, BURSTS, st.integers(1, 40))
def test_whoever_waits_as_long_as_she_was_told_gets_through(per_s: float, burst_s: float, tries: int) -> None:
    limiter, now_s = RateLimiter(per_s, burst_s), 0.0
    for _ in range(tries):
        if wait_s := limiter.take("ann", now_s):
            now_s += wait_s
            assert limiter.take("ann", now_s) == 0.0


@aside()
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 2, allow_nan=False)), max_size=60))
def test_one_name_takes_nothing_from_another(asked: list[tuple[str, float]]) -> None:
    together, apart, now_s = RateLimiter(2, 1), {name: RateLimiter(2, 1) for name in "abc"}, 0.0
    for name, pause_s in asked:
        now_s += pause_s
        assert together.take(name, now_s) == apart[name].take(name, now_s)


@pytest.mark.parametrize("at_once", [9, 10, 11])
def test_after_a_rest_a_whole_burst_passes_and_not_one_more(at_once: int) -> None:
    limiter = RateLimiter(5, 2)
    for _ in range(2):
        assert [bool(limiter.take("ann", 100.0)) for _ in range(at_once)] == [n >= 10 for n in range(at_once)]
        limiter = RateLimiter(5, 2)


def test_the_table_is_bounded_and_lets_go_of_who_asked_longest_ago() -> None:
    limiter = RateLimiter(1, 1, buckets_max=3)
    for name in ("ann", "bob", "cat", "ann", "dan"):
        limiter.take(name, 0.0)
    assert len(limiter) == 3
    assert limiter.take("ann", 0.0) > 0
    assert limiter.take("bob", 0.0) == 0.0


def test_a_clock_that_goes_back_lets_nobody_through_earlier() -> None:
    limiter = RateLimiter(1, 1)
    assert limiter.take("ann", 100.0) == 0.0
    assert limiter.take("ann", 50.0) == pytest.approx(51.0)
    assert limiter.take("ann", 101.0) == 0.0


def test_a_rate_that_lets_nobody_through_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 0"):
        RateLimiter(0, 1)
