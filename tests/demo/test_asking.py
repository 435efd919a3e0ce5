"""A flag that is asked all the time: which of its answers are wrong."""

import asyncio

import pytest

from cohort_store.errors import Retry
from cohort_store.freshness import Status
from processors.demo.asking import BY_POLICY, Asked, Asker, meanwhile, neither_old_nor_new, read_answer

OLD, NEW = (1, 1), (2, 2)
BEFORE, AFTER = frozenset({"ann"}), frozenset({"bob"})


def asked(
    person: str,
    *,
    on: bool,
    versions: tuple[int, ...] = OLD,
    code: str = "condition_match",
    status: Status = Status.OK,
) -> Asked:
    return Asked(person, on, code, "why", status, versions)


def test_old_answers_and_then_new_ones_are_right() -> None:
    answers = [
        asked("ann", on=True),
        asked("bob", on=False),
        asked("ann", on=False, versions=NEW),
        asked("bob", on=True, versions=NEW),
    ]
    assert neither_old_nor_new(answers, BEFORE, AFTER, NEW) == []


@pytest.mark.parametrize(
    "wrong",
    [
        asked("ann", on=False),
        asked("bob", on=True),
        asked("ann", on=True, versions=NEW),
        asked("bob", on=False, versions=NEW),
        asked("cyd", on=True, versions=NEW),
        asked("bob", on=True, versions=(2, 1)),
        asked("bob", on=False, versions=(1, 2)),
        asked("bob", on=False, code=BY_POLICY),
        asked("ann", on=False, versions=NEW, code=BY_POLICY),
    ],
)
def test_an_answer_of_no_version_of_a_mixed_one_or_of_the_policy_is_wrong(wrong: Asked) -> None:
    assert neither_old_nor_new([asked("ann", on=True), wrong], BEFORE, AFTER, NEW) == [wrong]


def test_an_old_answer_after_the_first_new_one_is_wrong() -> None:
    late = asked("ann", on=True)
    assert neither_old_nor_new([asked("bob", on=True, versions=NEW), late], BEFORE, AFTER, NEW) == [late]


def test_a_wrong_answer_is_pardoned_where_its_status_says_that_it_may_be_wrong() -> None:
    by_policy = asked("ann", on=False, code=BY_POLICY, status=Status.UNAVAILABLE)
    warming = asked("ann", on=False, status=Status.WARMING)
    silent = asked("ann", on=False)
    found = meanwhile([asked("ann", on=True), by_policy, warming, asked("bob", on=False), silent], BEFORE)
    assert found.unmarked == [silent]
    assert (found.by_policy, found.reason) == (1, "why")
    assert found.told == "3 OK, 1 WARMING, 1 UNAVAILABLE"


def test_an_answer_has_the_worst_status_of_the_flags_cohorts_and_the_versions_of_all() -> None:
    answer = {
        "flags": {"banner": {"enabled": True, "reason": {"code": "condition_match", "description": "Matched"}}},
        "muster": {"cohorts": {"z": {"status": "OK", "version": 3}, "a": {"status": "WARMING", "version": 2}}},
    }
    assert read_answer(answer, "banner", "ann") == Asked(
        "ann", True, "condition_match", "Matched", Status.WARMING, (2, 3)
    )


async def test_everybody_is_asked_round_after_round_until_it_is_left() -> None:
    async def answer(person: str) -> Asked:
        await asyncio.sleep(0)
        return asked(person, on=True)

    async with asyncio.timeout(10), Asker(answer, ["ann", "bob"]) as asker:
        assert asker.latest() == []
        while not await asker.is_past(2):
            await asyncio.sleep(0)
    told = [each.person for each in asker.answers]
    assert told[:4] == ["ann", "bob", "ann", "bob"]
    assert {each.person for each in asker.latest()} == {"ann", "bob"}


async def test_what_ends_the_asking_is_raised_to_whoever_waits_for_answers() -> None:
    async def fail(person: str) -> Asked:
        raise Retry(f"nobody answers about {person}")

    async def wait() -> None:
        async with asyncio.timeout(10), Asker(fail, ["ann"]) as asker:
            while not await asker.is_past(0):
                await asyncio.sleep(0)

    with pytest.raises(Retry, match="about ann"):
        await wait()
