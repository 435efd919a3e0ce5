"""What a person property means at its boundaries: which write wins, and to the millisecond when a date flips.

Each row is what events said of the person, an instant and the answer. The oracle is asked too.
"""

from __future__ import annotations

from typing import Any

import pytest

from cohort_store.person_updates import update_of
from cohort_store.records import VALUE_BYTES_MAX
from tests.domain.roll import Roll, plan_of
from tests.domain.strategies import START, iso
from tests.domain.test_boundaries import answer_for
from tests.oracle.membership import Event

PRO = {"kind": "person_property", "property": "plan", "value": "pro"}
NOT_PRO = {**PRO, "op": "is_not"}
MISSING = {"kind": "person_property", "property": "plan", "op": "is_not_set"}


def said(*parts: tuple[int, dict[str, Any]]) -> list[Event]:
    return [Event(f"e{index}", "a", START + time, properties) for index, (time, properties) in enumerate(parts)]


def to(value: Any) -> dict[str, Any]:
    return {"$set": {"plan": value}}


def once(value: Any) -> dict[str, Any]:
    return {"$set_once": {"plan": value}}


UNSET = {"$unset": ["plan"]}


@pytest.mark.parametrize(("time", "expected"), [(19, True), (20, False), (21, False)])
def test_the_latest_value_wins_and_of_two_in_one_millisecond_the_greater_text(time: int, expected: bool) -> None:
    assert answer_for(PRO, said((20, to("pro")), (time, to("zero"))), START + 30) is expected
    assert answer_for(PRO, said((time, to("zero")), (20, to("pro"))), START + 30) is expected


@pytest.mark.parametrize(("time", "expected"), [(19, True), (20, False), (21, False)])
def test_an_unset_takes_away_what_was_set_before_and_in_its_own_millisecond(time: int, expected: bool) -> None:
    """Whichever of the two arrives first."""
    assert answer_for(PRO, said((20, to("pro")), (time, UNSET)), START + 30) is expected
    assert answer_for(PRO, said((time, UNSET), (20, to("pro"))), START + 30) is expected
    assert answer_for(MISSING, said((time, UNSET), (20, to("pro"))), START + 30) is not expected


@pytest.mark.parametrize(("time", "expected"), [(19, False), (20, True), (21, True)])
def test_the_earliest_of_the_values_that_are_set_once_wins(time: int, expected: bool) -> None:
    assert answer_for(PRO, said((20, once("pro")), (time, once("free"))), START + 30) is expected


@pytest.mark.parametrize("time", [19, 20, 21])
def test_any_set_or_unset_beats_a_set_once(time: int) -> None:
    assert answer_for(PRO, said((20, once("free")), (time, to("pro"))), START + 30)
    assert answer_for(MISSING, said((20, once("free")), (time, UNSET)), START + 30)


def test_a_missing_property_passes_a_negative_operator_and_no_positive_one() -> None:
    for parts in ((), ((5, to(None)),), ((5, {"$set": {"other": "pro"}}),)):
        assert not answer_for(PRO, said(*parts), START + 30)
        assert answer_for(NOT_PRO, said(*parts), START + 30)
        assert answer_for(MISSING, said(*parts), START + 30)


def test_a_value_that_is_dated_ahead_of_its_arrival_counts_at_once() -> None:
    assert answer_for(PRO, said((20, to("pro"))), START + 10)


@pytest.mark.parametrize(
    ("op", "before", "at", "after"),
    [
        ("is_date_after", True, False, False),
        ("is_date_before", False, False, True),
        ("is_date_exact", False, True, False),
    ],
)
def test_a_relative_date_flips_by_time_alone(op: str, before: bool, at: bool, after: bool) -> None:
    """A date is 10 ms back 10 ms behind it; whoever folds it hears of the flip from its due time alone."""
    leaf = {"kind": "person_property", "property": "until", "op": op, "value": "-10ms"}
    roll = Roll(plan_of([{"key": "c", "when": leaf}]))
    roll.receive(said((0, {"$set": {"until": iso(START + 5)}})), START)
    for t, expected in ((14, before), (15, at), (16, after), (30, after)):
        roll.run_timers(START + t)
        assert roll.members()["c"] is expected, t


def test_of_one_event_an_unset_beats_a_set_and_that_the_snapshot() -> None:
    def value(properties: dict[str, Any]) -> list[tuple[int, str]]:
        found = update_of(properties, 7, {"plan"}, {"plan": "old", "other": 1}).writes
        return [(write.version, write.value) for write in found]

    assert value({}) == [(7, '"old"')]
    assert value(to("new")) == [(7, '"new"')]
    assert value({**to("new"), **UNSET}) == [(7, "null")]
    assert value({**once("first")}) == [(7, '"old"'), (-7, '"first"')]


@pytest.mark.parametrize(
    ("length", "writes"), [(VALUE_BYTES_MAX - 3, 1), (VALUE_BYTES_MAX - 2, 1), (VALUE_BYTES_MAX - 1, 0)]
)
def test_a_value_of_more_than_a_kibibyte_as_json_is_refused_and_named(length: int, writes: int) -> None:
    found = update_of(to("x" * length), 7, {"plan"})
    assert len(found.writes) == writes
    assert [str(VALUE_BYTES_MAX) in problem and "'plan'" in problem for problem in found.refused] == [True] * (
        1 - writes
    )


@pytest.mark.parametrize("word", ["$set", "$set_once", "$unset"])
def test_a_change_of_the_wrong_shape_is_refused_and_the_others_are_taken(word: str) -> None:
    found = update_of({**to("pro"), "$set_once": {}, word: "plan"}, 7, {"plan"})
    assert len(found.refused) == 1
    assert found.refused[0].startswith(f"{word} is 'plan'; write ")
    assert len(found.writes) == (word != "$set")
