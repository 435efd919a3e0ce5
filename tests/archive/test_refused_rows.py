"""Rows that ClickHouse refuses for what is in them stop nothing: they are found, buried, and the others written."""

from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from cohort_store.clickhouse.client import RefusedRows
from cohort_store.errors import Retry
from processors.archive import worker
from processors.archive.halving import REFUSED_ROWS_MAX, Taken, insert_sound
from processors.archive.rows import Row
from processors.clickhouse.events import COLUMNS, CREATE_SQL, EventsTable
from processors.kafka.dead_letters import RememberedDeadLetters
from processors.router.memory import MemoryLog, Stored
from tests.archive.test_archive import FIRST, NOW_MS, archive, asked, event
from tests.services.fixtures import ClickHouse

FULL = 20_000


class Picky:
    """A table that refuses some rows, and counts how often it is asked to write."""

    def __init__(self, refuses: Callable[[bytes], bool]) -> None:
        self.kept: list[bytes] = []
        self.inserts = 0
        self._refuses = refuses

    async def insert(self, rows: Sequence[bytes]) -> None:
        self.inserts += 1
        for row in rows:
            if self._refuses(row):
                raise RefusedRows(f"{row!r} is bad")
        self.kept += rows


def block(rows: int) -> list[Taken]:
    return [Taken(b"%d" % number, FIRST, Stored(number, NOW_MS, b"")) for number in range(rows)]


@pytest.fixture(autouse=True)
def blocks_are_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "BLOCK_AGE_S", 0.0)


@pytest.fixture
async def table(clickhouse: ClickHouse) -> AsyncIterator[EventsTable]:
    table = EventsTable(f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}")
    yield table
    await table.close()


ALTERED = {
    "a constraint": "ALTER TABLE events ADD CONSTRAINT known CHECK distinct_id != 'bad'",
    "a UUID": "ALTER TABLE events MODIFY COLUMN distinct_id UUID",
    "a number": "ALTER TABLE events MODIFY COLUMN distinct_id UInt32",
    "an address": "ALTER TABLE events MODIFY COLUMN distinct_id IPv4",
    "a name of some": "ALTER TABLE events MODIFY COLUMN distinct_id Enum8('sound' = 1)",
}
SOUND = {"a constraint": "d", "a UUID": "00000000-0000-4000-8000-000000000000", "a number": "7"}
SOUND |= {"an address": "10.0.0.1", "a name of some": "sound"}


@pytest.mark.parametrize("wanted", ALTERED)
async def test_rows_that_clickhouse_refuses_are_buried_whole_and_their_neighbours_are_written(
    clickhouse: ClickHouse, table: EventsTable, wanted: str
) -> None:
    asked(clickhouse, CREATE_SQL)
    asked(clickhouse, ALTERED[wanted])
    log, letters = MemoryLog(), RememberedDeadLetters()
    for number in range(10):
        distinct_id = "bad" if number in (0, 4, 9) else SOUND[wanted]
        log.append(FIRST, event(distinct_id=distinct_id, uuid=None, timestamp=NOW_MS + number), NOW_MS)
    await archive(log, table, letters).step()
    assert [letter.offset for letter in letters.letters] == [0, 4, 9]
    assert letters.letters[0].value == log.read(FIRST, 0, 1)[0].value
    assert {letter.reason for letter in letters.letters} == {"refused_by_clickhouse"}
    assert all("Code: " in letter.detail for letter in letters.letters)
    assert asked(clickhouse, "SELECT groupArray(_offset) FROM (SELECT _offset FROM events ORDER BY _offset)") == [
        ([1, 2, 3, 5, 6, 7, 8],)
    ]
    assert log.committed == {FIRST: 10}


async def test_a_table_that_lacks_a_column_is_tried_again_and_buries_nothing(
    clickhouse: ClickHouse, table: EventsTable
) -> None:
    asked(clickhouse, CREATE_SQL.replace("    properties String COMMENT 'a JSON object, as it came',\n", ""))
    log, letters = MemoryLog(), RememberedDeadLetters()
    log.append(FIRST, event(), NOW_MS)
    with pytest.raises(Retry, match="properties"):
        await archive(log, table, letters).step()
    assert (letters.letters, log.committed) == ([], {})


async def test_a_table_that_is_dropped_meanwhile_is_tried_again_and_buries_nothing(
    clickhouse: ClickHouse, table: EventsTable
) -> None:
    log, letters = MemoryLog(), RememberedDeadLetters()
    archiving = archive(log, table, letters)
    log.append(FIRST, event(), NOW_MS)
    await archiving.step()
    asked(clickhouse, "DROP TABLE events SYNC")
    log.append(FIRST, event(), NOW_MS)
    with pytest.raises(Retry):
        await archiving.step()
    await archiving.step()
    assert (letters.letters, log.committed) == ([], {FIRST: 2})


@pytest.mark.parametrize("bad", [0, 1, REFUSED_ROWS_MAX - 1, REFUSED_ROWS_MAX])
async def test_bad_rows_of_a_full_block_are_found_in_fewer_than_a_thousand_inserts(bad: int) -> None:
    bad_rows = {b"%d" % (number * FULL // max(bad, 1)) for number in range(bad)}
    table = Picky(bad_rows.__contains__)
    refused = await insert_sound(table, block(FULL))
    assert {each.taken.row for each in refused} == bad_rows
    assert len(table.kept) == len(set(table.kept)) == FULL - bad
    assert table.inserts < 1_000


async def test_more_bad_rows_than_the_bound_are_the_tables_fault_and_are_kept_for_the_next_attempt() -> None:
    bad_rows = {b"%d" % number for number in range(REFUSED_ROWS_MAX + 1)}
    table = Picky(bad_rows.__contains__)
    with pytest.raises(Retry, match="more than 32 rows"):
        await insert_sound(table, block(FULL))
    assert table.inserts < 1_000


async def test_a_transport_that_fails_while_bad_rows_are_looked_for_loses_none_of_them() -> None:
    class Failing(Picky):
        async def insert(self, rows: Sequence[bytes]) -> None:
            await super().insert(rows)
            if self.inserts == 6:
                raise Retry("the answer was lost")

    log, letters = MemoryLog(), RememberedDeadLetters()
    for number in range(8):
        log.append(FIRST, event(event=f"e{number}"), NOW_MS)
    archiving = archive(log, Failing(lambda row: b"e2" in row), letters)
    with pytest.raises(Retry):
        await archiving.step()
    assert (letters.letters, log.committed) == ([], {})
    await archiving.step()
    assert [letter.offset for letter in letters.letters] == [2]
    assert log.committed == {FIRST: 8}


def test_the_columns_that_are_asked_for_at_the_start_are_those_of_a_row() -> None:
    assert Row.__struct_fields__ == COLUMNS
