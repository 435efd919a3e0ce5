"""When who is compared: groups of shards, rounds, and what several turns come to."""

import pytest

from processors.reconcile.judged import judged_of, merged
from processors.reconcile.ports import Agreement, Drifted
from processors.reconcile.reconciling import groups, repaired
from processors.reconcile.rounds import Rounds
from tests.membership.shards import registry_of

HOUR = 3_600_000
GROUPS = [[0, 1], [2, 3]]
ANN, BOB = (Drifted(person, "now", 5, live=True, history=False) for person in ("ann", "bob"))


def agreement(*drifted: Drifted, persons: int = 10, at_ms: int = 5) -> Agreement:
    return Agreement(1, 7, "buyers", 2, at_ms, persons, 1, drifted)


def test_each_group_comes_once_in_a_round_the_first_a_share_of_it_after_the_start() -> None:
    rounds = Rounds(2 * HOUR, began_ms=1_000)
    assert rounds.turn(GROUPS, 1_000 + HOUR - 1) == ()
    assert rounds.turn(GROUPS, 1_000 + HOUR) == [0, 1]
    assert rounds.turn(GROUPS, 1_000 + HOUR) == ()
    assert rounds.turn(GROUPS, 1_000 + 2 * HOUR) == [2, 3]
    assert rounds.turn(GROUPS, 1_000 + 3 * HOUR) == [0, 1]


def test_between_two_turns_nobody_need_ask_who_there_is() -> None:
    rounds = Rounds(2 * HOUR, began_ms=1_000)
    assert rounds.is_due(1_000), "how many groups there are is not known yet"
    rounds.turn(GROUPS, 1_000)
    assert [rounds.is_due(1_000 + at) for at in (HOUR - 1, HOUR)] == [False, True]
    assert rounds.turn(GROUPS, 1_000 + HOUR) == [0, 1]
    assert [rounds.is_due(1_000 + at) for at in (2 * HOUR - 1, 2 * HOUR)] == [False, True]


def test_a_round_of_nothing_is_never() -> None:
    assert not Rounds(0, 0).is_due(10**15)
    assert Rounds(0, 0).turn(GROUPS, 10**15) == ()
    assert Rounds(HOUR, 0).turn([], 10**15) == ()


@pytest.mark.parametrize(("persons", "sizes"), [(0, [8]), (80, [8]), (160, [4, 4]), (1_000, [1] * 8), (10**9, [1] * 8)])
def test_a_group_holds_about_so_many_persons_and_at_least_one_shard(persons: int, sizes: list[int]) -> None:
    found = list(groups(range(8), persons, of=8, part_persons=80))
    assert [len(group) for group in found] == sizes
    assert [shard for group in found for shard in group] == list(range(8))


def test_turns_add_up_to_one_agreement_a_cohort() -> None:
    assert merged([agreement(ANN), agreement(BOB, at_ms=9)]) == [
        Agreement(1, 7, "buyers", 2, 9, 20, 2, (ANN, BOB)),
    ]


def test_whoever_does_not_differ_after_the_repair_is_told_as_repaired() -> None:
    (found,) = repaired([agreement(ANN, BOB)], [agreement(BOB, persons=2)])
    assert [(each.person, each.repaired) for each in found.drifted] == [("ann", True), ("bob", False)]


def test_a_cohort_whose_history_is_not_there_or_not_known_to_be_whole_is_not_judged_and_says_why() -> None:
    personal = {"key": "pro", "when": {"kind": "person_property", "property": "plan", "value": "pro"}}
    registry = registry_of({"key": "buyers", "when": {"kind": "performed", "event": "buy", "within": "60m"}}, personal)
    judged, others = judged_of(registry, 1, (), {}, knows_persons=True)
    assert judged.cohorts == {}
    assert {each.not_judged for each in others} == {"its history is not filled in yet"}
    _, (one,) = judged_of(registry, 1, ["pro"], {}, knows_persons=False)
    assert one.key == "pro"
