"""Which pairs of distinct id and person are told, and which are taken from memory."""

from hypothesis import given
from hypothesis import strategies as st

from cohort_store.records import Register, register_wins
from processors.router.persons import MEMORY_MS, RESEND_MS, Persons
from tests.examples import aside

D = (1, "d")
FIVE_MINUTES_MS = 5 * 60_000

SEEN = st.tuples(st.integers(0, 1), st.sampled_from(["ann", "bob"]), st.integers(0, 4 * FIVE_MINUTES_MS))
"""(which router reads it, person, event time): near enough in time to be within the bound or just beyond it."""


def told(events: list[tuple[int, str, int]]) -> Register:
    """What the store names after two routers have read these events in this order."""
    routers, register = (Persons(), Persons()), (-1, "nobody")
    for router, person, time_ms in events:
        if routers[router].is_news(D, person, time_ms, 0) and register_wins((time_ms, person), register):
            register = (time_ms, person)
    return register


@aside()
@given(st.lists(SEEN, min_size=1, max_size=12))
def test_of_two_routers_the_store_names_the_person_of_an_event_at_most_five_minutes_older_than_the_newest(
    events: list[tuple[int, str, int]],
) -> None:
    version, person = told(events)
    assert (person, version) in {(each[1], each[2]) for each in events}
    assert version >= max(time_ms for _, _, time_ms in events) - FIVE_MINUTES_MS


@aside()
@given(st.lists(SEEN, min_size=1, max_size=12, unique_by=lambda each: each[2] // FIVE_MINUTES_MS))
def test_of_two_routers_the_store_names_the_newest_person_where_events_are_over_five_minutes_apart(
    events: list[tuple[int, str, int]],
) -> None:
    apart = [(router, person, time_ms // FIVE_MINUTES_MS * (FIVE_MINUTES_MS + 1)) for router, person, time_ms in events]
    newest = max(apart, key=lambda each: each[2])
    assert told(apart) == (newest[2], newest[1])


def test_a_person_whose_pair_lost_to_another_routers_is_named_again_at_the_first_event_beyond_the_bound() -> None:
    ann_first, bob, ann_again = (0, "ann", 0), (1, "bob", 10), (0, "ann", FIVE_MINUTES_MS)
    assert told([ann_first, bob, ann_again]) == (10, "bob")
    assert told([ann_first, bob, ann_again, (0, "ann", FIVE_MINUTES_MS + 1)]) == (FIVE_MINUTES_MS + 1, "ann")


def test_a_distinct_id_in_steady_use_costs_a_pair_every_five_minutes_and_not_one_an_event() -> None:
    persons, hour_s = Persons(), 3_600
    assert sum(persons.is_news(D, "ann", second * 1_000, 0) for second in range(hour_s)) == 12


def test_a_look_up_that_names_another_person_makes_the_next_pair_news_unless_it_is_older_than_those_seen() -> None:
    persons = Persons()
    assert [persons.is_news(D, "ann", time_ms, 0) for time_ms in (10, 20)] == [True, False]
    persons.learn(D, "ann", 0)
    assert persons.is_news(D, "ann", 21, 0) is False
    persons.learn(D, "bob", 0)
    assert [persons.is_news(D, "ann", time_ms, 0) for time_ms in (20, 22, 23)] == [False, True, False]


def test_a_pair_is_told_once_while_it_stays_the_same() -> None:
    persons = Persons()
    assert [persons.is_news(D, "ann", time_ms, 0) for time_ms in (5, 5, 6, 4)] == [True, False, False, False]


def test_a_pair_is_told_again_when_it_is_over_five_minutes_newer() -> None:
    persons = Persons()
    persons.is_news(D, "ann", 0, 0)
    assert [persons.is_news(D, "ann", time_ms, 0) for time_ms in (RESEND_MS - 1, RESEND_MS, RESEND_MS + 1)] == [
        False,
        False,
        True,
    ]


def test_another_person_is_told_unless_the_pair_is_older_than_the_one_told() -> None:
    persons = Persons()
    persons.is_news(D, "bob", 10, 0)
    assert persons.is_news(D, "ann", 9, 0) is False
    assert persons.is_news(D, "ann", 10, 0) is False
    assert persons.is_news(D, "ann", 11, 0) is True
    assert persons.is_news(D, "bob", 11, 0) is True


def test_a_pair_seen_lately_outlasts_another_persons_older_pair_though_it_was_not_told_again() -> None:
    persons = Persons()
    persons.is_news(D, "ann", 10, 0)
    persons.is_news(D, "ann", 30, 0)
    assert persons.is_news(D, "bob", 20, 0) is False
    assert persons.is_news(D, "bob", 31, 0) is True


def test_the_same_distinct_id_of_two_teams_is_two() -> None:
    persons = Persons()
    persons.is_news(D, "ann", 5, 0)
    assert persons.is_news((2, "d"), "ann", 5, 0) is True
    assert persons.person_of((3, "d"), 0) is None


def test_a_person_is_taken_from_memory_for_a_minute_only() -> None:
    persons = Persons()
    persons.is_news(D, "ann", 5, now=100)
    persons.learn((1, "e"), "bob", now=100)
    assert [persons.person_of(D, now) for now in (100, 99 + MEMORY_MS, 100 + MEMORY_MS)] == ["ann", "ann", None]
    assert [persons.person_of((1, "e"), now) for now in (99 + MEMORY_MS, 100 + MEMORY_MS)] == ["bob", None]


def test_the_memory_is_bounded_and_the_oldest_pair_is_told_again() -> None:
    persons = Persons(pairs_max=2)
    for text in ("a", "b", "c"):
        persons.is_news((1, text), "ann", 5, 0)
        persons.learn((1, text), "ann", 0)
    assert [persons.is_news((1, text), "ann", 5, 0) for text in ("c", "b", "a")] == [False, False, True]
