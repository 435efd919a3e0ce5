"""Where evaluations are kept: one contract for the twin and ClickHouse."""

from collections.abc import AsyncIterator

import pytest

from cohort_store.clickhouse.flag_evaluations import EvaluationsTable
from cohort_store.flag_evaluations import CallRecord, Calls, EvaluationBook, RememberedEvaluations
from tests.insight.counting import counted
from tests.services.fixtures import ClickHouse

BASE_MS = 1_768_222_800_000


@pytest.fixture(params=["memory", pytest.param("clickhouse", marks=pytest.mark.services)])
async def book(request: pytest.FixtureRequest) -> AsyncIterator[EvaluationBook]:
    if request.param == "memory":
        yield RememberedEvaluations()
        return
    place: ClickHouse = request.getfixturevalue("clickhouse")
    table = EvaluationsTable(f"http://{place.host}:{place.port}/{place.database}")
    yield table
    await table.close()


def at(second: int) -> int:
    return BASE_MS + second * 1_000


async def test_of_a_book_in_which_nothing_stands_nothing_is_known(book: EvaluationBook) -> None:
    assert await book.calls(1, 0) == CallRecord(None, {}, ())
    await book.insert([])
    assert await book.calls(1, 0) == CallRecord(None, {}, ())


async def test_sums_of_several_evaluators_and_sendings_add_up(book: EvaluationBook) -> None:
    await book.insert(
        [
            counted("f", "red", count=2, from_ms=at(0), last_called_ms=at(60)),
            counted("f", "red", count=3, from_ms=at(60), last_called_ms=at(90), sequence=2),
            counted("f", "red", count=5, from_ms=at(10), last_called_ms=at(70), evaluator="e2"),
            counted("f", "blue", count=7, from_ms=at(20), last_called_ms=at(30)),
            counted("g", "false", reason="flag_disabled", count=1, from_ms=at(5), last_called_ms=at(6)),
        ]
    )
    assert await book.calls(1, at(0)) == CallRecord(
        at(0),
        {"f": at(90), "g": at(6)},
        (
            Calls("f", "blue", "condition_match", 7, at(20), at(30)),
            Calls("f", "red", "condition_match", 10, at(0), at(90)),
            Calls("g", "false", "flag_disabled", 1, at(5), at(6)),
        ),
    )


async def test_what_is_delivered_again_counts_once(book: EvaluationBook) -> None:
    rows = [counted("f", count=4, from_ms=at(0), last_called_ms=at(1))]
    for _ in range(3):
        await book.insert(rows)
    (calls,) = (await book.calls(1, at(0))).calls
    assert calls.total == 4


async def test_an_old_call_is_known_as_the_last_one_and_adds_nothing_to_what_came_since(book: EvaluationBook) -> None:
    await book.insert([counted("f", count=4, from_ms=at(0), last_called_ms=at(9))])
    for since, total in ((at(9), 4), (at(10), None)):
        found = await book.calls(1, since)
        assert found.last_called_ms == {"f": at(9)}
        assert [each.total for each in found.calls] == ([total] if total else [])


async def test_another_teams_calls_tell_only_since_when_anything_is_counted(book: EvaluationBook) -> None:
    await book.insert([counted("f", team_id=2, from_ms=at(3), last_called_ms=at(4))])
    assert await book.calls(1, 0) == CallRecord(at(3), {}, ())
