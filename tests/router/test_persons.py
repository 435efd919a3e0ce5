"""Which pairs of distinct id and person are told, and which are taken from memory."""

from processors.router.persons import MEMORY_MS, RESEND_MS, Persons

D = (1, "d")


def test_a_pair_is_told_once_while_it_stays_the_same() -> None:
    persons = Persons()
    assert [persons.is_news(D, "ann", time_ms, 0) for time_ms in (5, 5, 6, 4)] == [True, False, False, False]


def test_a_pair_is_told_again_when_it_is_over_a_month_newer() -> None:
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
