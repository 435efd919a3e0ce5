"""All flags of a request, and the description of each cohort that goes with them."""

import msgspec

from cohort_store.freshness import Status
from evaluator.deciding.evaluation import Person, cohorts_asked, decide_all, describe
from tests.evaluator.building import DAY_MS, NOW_MS, cohort_view, compiled, flag, in_cohort, membership

STALE_AFTER_MS = 3_600_000
BUYERS = cohort_view("buyers", 1)
SLEEPERS = cohort_view("sleepers", 2, complemented=True)
FLAGS = [
    compiled(flag("for-buyers", {"properties": [in_cohort("buyers")]}), BUYERS),
    compiled(flag("awake", {"properties": [in_cohort("sleepers", "not_in"), in_cohort("buyers")]}), BUYERS, SLEEPERS),
    compiled(flag("all", {})),
]


def test_every_flag_is_decided_from_one_read() -> None:
    person = Person("ada", {}, membership(BUYERS.handle, SLEEPERS.handle))
    answers, unavailable = decide_all(FLAGS, person, 0)
    assert {key: answer.enabled for key, answer in answers.items()} == {"for-buyers": True, "awake": True, "all": True}
    assert unavailable == 0


def test_without_a_read_the_flags_that_need_none_are_still_decided() -> None:
    answers, unavailable = decide_all(FLAGS, Person("ada", {}, None), 0)
    assert {key: answer.enabled for key, answer in answers.items()} == {
        "for-buyers": False,
        "awake": False,
        "all": True,
    }
    assert unavailable == 2


def test_the_cohorts_of_all_flags_are_listed_once_each() -> None:
    assert list(cohorts_asked(FLAGS)) == ["buyers", "sleepers"]


def test_a_warming_cohort_says_from_when_on_it_is_complete() -> None:
    shown = describe(BUYERS, membership(now_ms=NOW_MS), STALE_AFTER_MS, NOW_MS)
    assert (shown.status, shown.member, shown.complete_from) == (Status.WARMING, False, "2026-01-12T13:00:00.000Z")


def test_a_stale_cohort_that_is_not_complete_says_that_too() -> None:
    stale = describe(BUYERS, membership(now_ms=NOW_MS, stale=True), STALE_AFTER_MS, NOW_MS)
    assert (stale.status, stale.complete_from) == (Status.STALE, "2026-01-12T13:00:00.000Z")
    complete = describe(BUYERS, membership(stale=True), STALE_AFTER_MS, NOW_MS)
    assert (complete.status, complete.complete_from) == (Status.STALE, None)


def test_a_cohort_that_cannot_answer_says_why_and_has_no_member() -> None:
    shown = msgspec.to_builtins(describe(BUYERS, membership(ready=4), STALE_AFTER_MS, NOW_MS + DAY_MS))
    assert "member" not in shown
    assert (shown["status"], shown["id"], shown["version"]) == ("UNAVAILABLE", 1, 1)
    assert "needs 5" in shown["detail"]
