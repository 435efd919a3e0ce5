"""What was last known of persons is bounded by bytes, and answers no more than it could when it was read."""

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_store.freshness import member_of
from cohort_store.ports import Membership
from evaluator.deciding.evaluation import Person, decide_all
from evaluator.reading.last_known import ENTRY_BYTES, Known, LastKnown, known_member
from tests.evaluator.building import NOW_MS, cohort_view, compiled, flag, in_cohort, membership, person_is
from tests.examples import aside

BUYERS = cohort_view()
MEMBER = membership(BUYERS.handle)
NUMBERS = st.integers(0, 2**53)
MEMBERSHIPS = st.builds(
    Membership,
    handles=st.frozensets(st.integers(-(2**31), 2**31 - 1), max_size=20),
    ready=st.none() | NUMBERS,
    now_ms=NUMBERS,
    stale=st.booleans(),
    warm_from_ms=NUMBERS,
    readers_from=NUMBERS,
)


@aside()
@given(MEMBERSHIPS, NUMBERS)
def test_what_is_recalled_is_what_was_remembered(read: Membership, version: int) -> None:
    known = LastKnown(1_000_000)
    known.remember(1, "ada", Known(read, version))
    assert known.recall(1, "ada") == Known(read, version)
    assert known.recall(2, "ada") is None


@aside()
@given(st.lists(st.tuples(st.integers(0, 9), st.frozensets(st.integers(1, 99)))), st.integers(0, 1_500))
def test_it_never_takes_more_than_its_bound_and_counts_what_it_holds(reads: list[Any], bound: int) -> None:
    known = LastKnown(bound)
    for person, handles in reads:
        known.remember(1, f"person {person}", Known(membership(*handles), 5))
        assert known.bytes <= bound
    afresh = LastKnown(1_000_000)
    held = {person: known.recall(1, f"person {person}") for person in range(10)}
    for person, each in held.items():
        if each is not None:
            afresh.remember(1, f"person {person}", each)
    assert (afresh.bytes, afresh.persons) == (known.bytes, known.persons)


def test_who_was_not_read_or_asked_for_longest_goes_first() -> None:
    small = LastKnown(1_000_000)
    small.remember(1, "a", Known(MEMBER, 5))
    known = LastKnown(small.bytes * 3)
    for person in "abc":
        known.remember(1, person, Known(MEMBER, 5))
    known.remember(1, "a", Known(MEMBER, 5))
    known.recall(1, "b")
    known.remember(1, "d", Known(MEMBER, 5))
    assert [person for person in "abcd" if known.recall(1, person)] == ["a", "b", "d"]


def test_a_bound_of_nothing_keeps_nothing() -> None:
    known = LastKnown(0)
    known.remember(1, "ada", Known(MEMBER, 5))
    assert (known.bytes, known.persons, known.recall(1, "ada")) == (0, 0, None)


def test_the_bytes_that_it_counts_are_those_that_it_takes() -> None:
    # Just behind a resize of the table, where an entry takes most.
    persons = 22_000
    tracemalloc.start()
    known = LastKnown(1_000_000_000)
    for number in range(persons):
        known.remember(1, f"00000000-0000-4000-8000-{number:012}", Known(membership(501, 502, 503), 5))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken <= known.bytes <= taken * 1.3
    assert known.bytes / persons - ENTRY_BYTES < 200


def test_what_could_answer_when_it_was_read_answers_still() -> None:
    assert known_member(BUYERS, Known(MEMBER, 5)) is True
    assert known_member(BUYERS, Known(membership(), 5)) is False
    assert known_member(BUYERS, None) is None


@pytest.mark.parametrize(("known_in", "expected"), [(6, None), (7, False), (8, False)])
def test_a_version_that_came_into_force_later_is_not_answered_from_what_was_known_before(
    known_in: int, expected: bool | None
) -> None:
    # Its shard had folded it, and was still building it: an absent handle said nothing then.
    edited = cohort_view(registry_version=5, in_force_from=7, known_in=9)
    read = membership(ready=6)
    assert member_of(edited, read) is False
    assert known_member(edited, Known(read, known_in)) is expected


def _answer(raw: dict[str, Any], known: Known | None, **properties: Any) -> tuple[bool, str, int | None, str]:
    person = Person("ada", properties, None, known=known)
    answers, unavailable = decide_all([compiled(raw, BUYERS)], person, NOW_MS)
    reason = answers[raw["key"]].reason
    assert unavailable == (reason.code in ("cohort_unavailable", "last_known"))
    return answers[raw["key"]].enabled, str(reason.code), reason.condition_index, reason.description


def test_last_known_decides_by_the_conditions_and_says_of_when_it_is() -> None:
    raw = flag("f", {"properties": [person_is("plan", "exact", "pro")]}, {"properties": [in_cohort("buyers")]})
    said = "Matched condition set 2; answered from what was known at 2026-01-13T13:00:00.000Z"
    assert _answer(raw, Known(MEMBER, 5)) == (True, "last_known", 1, said)
    enabled, code, _, said = _answer(raw, Known(membership(), 5))
    assert (enabled, code) == (False, "last_known")
    assert said.startswith("No matching condition set; answered from what was known at")
    assert _answer(raw, Known(membership(), 5), plan="pro")[:2] == (True, "condition_match")


@pytest.mark.parametrize("known", [None, Known(MEMBER, 4), Known(membership(-BUYERS.handle), 5)])
def test_where_not_enough_is_known_the_flag_is_off(known: Known | None) -> None:
    raw = flag("f", {"properties": [in_cohort("buyers")]})
    assert _answer(raw, known)[:2] == (False, "cohort_unavailable")


@pytest.mark.parametrize(("policy", "expected"), [("fail_closed", False), ("fail_open", True), ({"value": True}, True)])
def test_another_policy_never_looks_at_what_is_known(policy: Any, expected: bool) -> None:
    raw = flag("f", {"properties": [in_cohort("buyers")]}, muster={"on_unavailable": policy})
    for known in (Known(MEMBER, 5), Known(membership(), 5)):
        assert _answer(raw, known)[:2] == (expected, "cohort_unavailable")


def test_a_flag_that_looks_at_a_property_that_could_not_be_read_is_not_decided_as_if_she_had_none() -> None:
    raw = flag("f", {"properties": [person_is("plan", "is_not", "pro"), in_cohort("buyers")]})
    person = Person("ada", {}, None, frozenset({"plan"}), Known(MEMBER, 5))
    answers, _ = decide_all([compiled(raw, BUYERS)], person, NOW_MS)
    assert (answers["f"].enabled, answers["f"].reason.code) == (False, "cohort_unavailable")
    brought = person._replace(properties={"plan": "free"}, unread=frozenset())
    answers, _ = decide_all([compiled(raw, BUYERS)], brought, NOW_MS)
    assert (answers["f"].enabled, answers["f"].reason.code) == (True, "last_known")
