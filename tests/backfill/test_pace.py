"""The pace of a run, and how far it is: pure, on instants that the test gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.backfill import pace as rules
from processors.backfill.pace import LIVE_PIECE_PERSONS, PIECE_PERSONS, PIECES_AHEAD, Pace
from processors.backfill.parts import sent_up_to
from processors.backfill.ports import FillingStatus
from processors.backfill.progress import Progress, share_of
from processors.backfill.traffic import LIVE_MESSAGES_A_S, Traffic
from tests.examples import aside


def test_without_a_bound_nothing_waits() -> None:
    pace = Pace()
    pace.take(10**9, 0.0)
    assert pace.wait_s(0.0) == 0.0


def test_a_piece_waits_until_the_one_before_has_had_its_time() -> None:
    pace = Pace(100)
    assert pace.wait_s(5.0) == 0.0
    pace.take(50, 5.0)
    assert [pace.wait_s(at) for at in (5.0, 5.25, 5.5, 5.75)] == [0.5, 0.25, 0.0, 0.0]


def test_a_rest_is_not_made_up_for() -> None:
    pace = Pace(10)
    pace.take(10, 0.0)
    pace.take(10, 1_000.0)
    assert pace.wait_s(1_000.0) == 1.0


def test_a_piece_is_no_more_than_a_second_has() -> None:
    assert [Pace(rate, hurries=True).piece_persons for rate in (1, 1_999, 2_000, 5_000)] == [1, 1_999, 2_000, 2_000]
    few = LIVE_PIECE_PERSONS
    assert [Pace(rate).piece_persons for rate in (1, few - 1, few, 5_000)] == [1, few - 1, few, few]


def test_seeds_are_few_at_a_time_and_rest_where_live_events_wait_behind_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "REST", 0.5)
    pace = Pace()
    assert (pace.piece_persons, pace.rest_s(0.1)) == (LIVE_PIECE_PERSONS, 0.05), "nothing is known of them yet"
    assert pace.pieces_ahead == 0
    pace.traffic.sent({0: 10}, {0: 1}, 0.0)
    pace.traffic.sent({0: 11}, {0: 1}, 1.0)
    assert (pace.piece_persons, pace.pieces_ahead, pace.rest_s(0.1)) == (PIECE_PERSONS, PIECES_AHEAD, 0.0)
    pace.traffic.sent({0: 62}, {0: 1}, 2.0)
    assert (pace.piece_persons, pace.pieces_ahead) == (LIVE_PIECE_PERSONS, 0)
    assert pace.rest_s(60.0) == rules.REST_S_MAX


def test_what_shards_lost_is_sent_in_many_at_a_time_and_without_a_rest() -> None:
    pace = Pace(hurries=True)
    assert (pace.piece_persons, pace.pieces_ahead, pace.rest_s(0.1)) == (PIECE_PERSONS, PIECES_AHEAD, 0.0)


@pytest.mark.parametrize(("others", "is_live"), [(9, False), (10, True), (11, True)])
def test_others_messages_are_counted_by_the_offsets_between_ones_own(others: int, is_live: bool) -> None:
    traffic = Traffic()
    traffic.sent({0: 5, 1: 50}, {0: 1, 1: 2}, 0.0)
    assert traffic.is_live
    # Two partitions, for a second each.
    assert 2 * LIVE_MESSAGES_A_S == 10
    traffic.sent({0: 5 + 3 + others, 1: 50 + 2}, {0: 3, 1: 2}, 1.0)
    assert traffic.is_live is is_live


def test_a_moment_in_which_nothing_came_says_nothing() -> None:
    """A piece went out 10 ms after the one before, nothing had come between them, and the next one was a thousand."""
    traffic = Traffic()
    for number in range(1, 500):
        # Of others 50 a second, all of them in the second half of each second.
        others = 50 * (number // 100) + max(0, number % 100 - 50)
        traffic.sent({0: number + others}, {0: 1}, number / 100)
        assert traffic.is_live


def test_a_topic_that_began_anew_has_no_live_events_until_they_are_seen() -> None:
    traffic = Traffic()
    traffic.sent({0: 5_000}, {0: 1}, 0.0)
    traffic.sent({0: 1}, {0: 1}, 1.0)
    assert not traffic.is_live
    traffic.sent({0: 100}, {0: 1}, 2.0)
    assert traffic.is_live


@aside()
@given(st.integers(1, 5_000), st.lists(st.tuples(st.floats(0, 3), st.integers(1, 1_000)), min_size=1, max_size=30))
def test_no_span_of_time_has_more_than_its_rate_and_one_piece(rate: int, asked: list[tuple[float, int]]) -> None:
    pace, now_s = Pace(rate), 0.0
    sent: list[tuple[float, int]] = []
    for idle_s, size in asked:
        now_s += idle_s
        now_s += pace.wait_s(now_s)
        persons = min(size, pace.piece_persons)
        pace.take(persons, now_s)
        sent.append((now_s, persons))
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            span_s = sent[last][0] - sent[first][0]
            before_the_last = sum(persons for _, persons in sent[first:last])
            assert before_the_last <= rate * span_s + 1e-6


def under_way(part: int, persons: int, of_part: int = 0) -> FillingStatus:
    return FillingStatus(1, (2,), team=1, part=part, parts=4, persons=persons, of_part=of_part, known=800)


def test_the_first_part_is_measured_by_all_who_are_known_and_others_by_those_before() -> None:
    assert share_of(FillingStatus(1, (2,))) == 0.0
    assert share_of(under_way(0, 0, 100)) == 0.125
    assert share_of(under_way(0, 0, 900)) == 0.25, "a part is never more than itself"
    assert share_of(under_way(2, 100, 25)) == 0.625
    assert share_of(sent_up_to(under_way(2, 100), 3 * 2**62, 25, {})) == 0.6875, "it has come three quarters of the way"
    assert share_of(under_way(4, 200)) == 1.0


def test_rate_and_rest_are_those_since_the_first_look_at_which_it_was_under_way() -> None:
    progress = Progress()
    assert progress.look(FillingStatus(1, (2,), waits_for="routers"), 0.0)[2:] == (None, None)
    assert progress.look(under_way(1, 100), 100.0)[2:] == (None, None)
    assert progress.look(under_way(2, 200), 110.0) == (0.5, 200, 10.0, 20.0)
    assert progress.look(under_way(2, 200), 120.0)[2:] == (5.0, 40.0), "a rest counts as time that it took"


def test_a_process_that_took_over_begins_the_measure_anew() -> None:
    progress = Progress()
    progress.look(under_way(1, 100), 0.0)
    progress.look(under_way(1, 100, 90), 10.0)
    assert progress.look(under_way(0, 0, 5), 20.0)[2:] == (None, None)
    assert progress.look(under_way(0, 0, 15), 21.0).persons_per_s == 10.0
