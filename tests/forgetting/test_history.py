"""Somebody is erased from ClickHouse, and no writer brings a row of hers back."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from cohort_store.changes import Cause, Change
from cohort_store.deltas import Erasure
from cohort_store.durations import format_instant
from cohort_store.errors import Retry
from cohort_store.forgetting import Forgettings, Origin
from cohort_store.subjects import DISTINCT_ID, PERSON, Subject
from processors.archive import worker
from processors.clickhouse import erasing
from processors.clickhouse.changes import ChangesTable
from processors.clickhouse.drift import DriftTable
from processors.clickhouse.erasing import ErasingPast
from processors.clickhouse.events import EventsTable
from processors.clickhouse.forgotten import ForgottenTable
from processors.forgetting.ports import ErasedRows, Kept
from processors.reconcile.ports import Agreement, Drifted
from processors.router.memory import MemoryLog
from tests.archive.test_archive import FIRST, NOW_MS, Rows, archive, asked
from tests.services.fixtures import ClickHouse

DAY_MS = 86_400_000
ERASURE = Erasure(NOW_MS, NOW_MS + 30 * DAY_MS)
SHE = Subject(1, PERSON, "ann")
HER_ID = Subject(1, DISTINCT_ID, "d'ann")


@pytest.fixture
def url(clickhouse: ClickHouse) -> str:
    return f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}"


@pytest.fixture
async def forgotten(url: str) -> AsyncIterator[ForgottenTable]:
    table = ForgottenTable(url)
    yield table
    await table.close()


@pytest.fixture(autouse=True)
def blocks_are_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "BLOCK_AGE_S", 0.0)


def row(number: int, person: str, distinct_id: str = "", *, time_ms: int = NOW_MS, arrival_ms: int = NOW_MS) -> bytes:
    columns = {"team_id": 1, "event": "buy", "uuid": f"018f3b2a-7c1d-7e4a-9b0c-{number:012x}", "properties": "{}"}
    place = {"_topic": "muster.events", "_partition": 0, "_offset": number, "_timestamp": arrival_ms / 1_000}
    owner = {"person_id": person, "distinct_id": distinct_id, "timestamp": time_ms / 1_000}
    return json.dumps({**columns, **place, **owner}).encode()


EVENTS = (
    row(1, "ann"),
    row(2, "ann", "d'ann"),
    row(3, "", "d'ann"),
    row(4, "", "ann"),
    row(5, "ann", time_ms=NOW_MS + 5, arrival_ms=NOW_MS - 5),
    row(6, "ann", "was-anns"),
    row(7, "bob", "was-anns", time_ms=NOW_MS + 1),
    row(8, "", "was-anns"),
    row(9, "ann", time_ms=NOW_MS + 1, arrival_ms=NOW_MS + 1),
    row(10, "", "d'ann", time_ms=NOW_MS + 1, arrival_ms=NOW_MS + 1),
)


def offsets(clickhouse: ClickHouse) -> Sequence[int]:
    return [number for (number,) in asked(clickhouse, "SELECT _offset FROM events ORDER BY _offset")]


async def test_her_events_up_to_the_instant_go_with_those_of_her_distinct_ids_and_nobody_elses(
    clickhouse: ClickHouse, url: str
) -> None:
    table = EventsTable(url)
    await table.insert(EVENTS)
    await table.close()
    assert await ErasingPast(url).is_there()
    ids = await ErasingPast(url).distinct_ids(SHE)
    assert ids == ["ann", "d'ann"]
    assert await ErasingPast(url).erase(SHE, ids, NOW_MS) == ErasedRows(events=6)
    assert offsets(clickhouse) == [7, 8, 9, 10]
    assert await ErasingPast(url).erase(SHE, ids, NOW_MS) == ErasedRows()
    assert await ErasingPast(url).erase(Subject(2, PERSON, "bob"), [], NOW_MS + 9) == ErasedRows()


async def test_where_there_are_no_tables_there_is_nothing_to_erase(url: str) -> None:
    assert not await ErasingPast(url).is_there()
    assert await ErasingPast(url).distinct_ids(SHE) == []
    assert await ErasingPast(url).erase(SHE, ["d"], NOW_MS) == ErasedRows()


def change(person: str, at_ms: int, cause: Cause = Cause.EVENT) -> Change:
    told_at = format_instant(at_ms).replace("T", " ").replace("Z", "000")
    return Change(person, 1, 7, "entered", told_at, "buyers", 1, cause, 0, at_ms)


async def test_her_changes_go_and_are_not_written_again_nor_that_she_was_erased(
    clickhouse: ClickHouse, url: str, forgotten: ForgottenTable
) -> None:
    table = ChangesTable(url)
    told = [change("ann", NOW_MS), change("bob", NOW_MS), change("ann", NOW_MS + 1)]
    await table.insert(told)
    await forgotten.add([SHE], ERASURE)
    assert await ErasingPast(url).erase(SHE, [], NOW_MS) == ErasedRows(membership_changes=1)
    await table.insert([*told, change("ann", NOW_MS + 2, Cause.ERASE)])
    await table.close()
    rows = asked(clickhouse, "SELECT person, sequence FROM membership_changes FINAL ORDER BY person, sequence")
    assert rows == [("ann", NOW_MS + 1), ("bob", NOW_MS)]


async def test_no_row_of_drift_names_her_any_more_and_figures_stay(
    clickhouse: ClickHouse, url: str, forgotten: ForgottenTable
) -> None:
    drifted = tuple(
        Drifted(each, kind, NOW_MS, live=True, history=False) for each, kind in (("ann", "now"), ("bob", "later"))
    )
    found = Agreement(1, 7, "buyers", 1, NOW_MS, 10, drifted=drifted)
    await DriftTable(url).write([found])
    await forgotten.add([SHE], ERASURE)
    assert await ErasingPast(url).erase(SHE, [], NOW_MS) == ErasedRows(drift=1)
    await DriftTable(url).write([found])
    rows = asked(clickhouse, "SELECT drifted, persons, kinds FROM drift")
    assert set(map(str, rows)) == {str((2, ["bob"], ["later"]))}


async def test_the_archive_leaves_out_what_is_hers_and_from_before_however_often_it_is_read(
    forgotten: ForgottenTable,
) -> None:
    await forgotten.add([SHE, HER_ID], ERASURE)
    log, table = MemoryLog(), Rows()
    events: list[tuple[dict[str, Any], int]] = [
        ({"person_id": "ann"}, NOW_MS),
        ({"distinct_id": "d'ann"}, NOW_MS),
        ({"distinct_id": "ann"}, NOW_MS),
        ({"person_id": "bob", "distinct_id": "d'ann"}, NOW_MS),
        ({"person_id": "ann", "timestamp": NOW_MS + 1}, NOW_MS + 1),
        ({"person_id": "ann", "timestamp": NOW_MS + 2}, NOW_MS),
    ]
    for number, (said, arrival_ms) in enumerate(events):
        sent = {"event": f"e{number}", "timestamp": NOW_MS, **said}
        log.append(FIRST, json.dumps(sent).encode(), arrival_ms)
    await archive(log, table, forgotten=forgotten).step()
    assert [each["event"] for each in table.rows] == ["e3", "e4"]


async def test_who_was_forgotten_twice_is_kept_away_by_the_later_instant(forgotten: ForgottenTable) -> None:
    later = Erasure(NOW_MS + 5, ERASURE.until_ms + 5)
    for erasure in (later, ERASURE, later):
        await forgotten.add([SHE], erasure)
    assert set(await forgotten.rows()) == {Kept(SHE, ERASURE), Kept(SHE, later)}
    assert await forgotten.read() == Forgettings({SHE: NOW_MS + 5})


@pytest.mark.parametrize(("time_ms", "is_kept_away"), [(NOW_MS - 1, True), (NOW_MS, True), (NOW_MS + 1, False)])
def test_what_is_from_before_is_told_to_the_millisecond(time_ms: int, is_kept_away: bool) -> None:
    kept = Forgettings({SHE: NOW_MS})
    assert kept.keep_away(Origin(1, "ann", None, time_ms, NOW_MS + 9)) is is_kept_away
    assert kept.keep_away(Origin(1, "ann", "d", NOW_MS + 9, time_ms)) is is_kept_away
    assert kept.was(SHE, time_ms) is is_kept_away
    assert not kept.keep_away(Origin(2, "ann", None, time_ms, time_ms))
    assert not kept.was(Subject(1, PERSON, "bob"), time_ms)


async def test_more_distinct_ids_than_one_statement_holds_go_all_and_strange_ones_too(
    clickhouse: ClickHouse, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "IDS_A_STATEMENT", 2)
    ids = ["a", "b{c:String}", "d\\'e", "f\n", "%s"]
    table = EventsTable(url)
    await table.insert([row(number, "ann", each) for number, each in enumerate(ids)])
    await table.insert([row(number + 10, "", each) for number, each in enumerate(ids)])
    await table.close()
    past = ErasingPast(url)
    assert await past.distinct_ids(SHE) == sorted(["ann", *ids])
    assert await past.erase(SHE, ids, NOW_MS) == ErasedRows(events=10)
    assert offsets(clickhouse) == []


async def test_a_table_that_was_lost_is_made_again(clickhouse: ClickHouse, forgotten: ForgottenTable) -> None:
    await forgotten.add([SHE], ERASURE)
    asked(clickhouse, "DROP TABLE forgotten")
    with pytest.raises(Retry):
        await forgotten.read()
    assert await forgotten.read() == Forgettings()
