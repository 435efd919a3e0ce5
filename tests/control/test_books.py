"""Changes in ClickHouse, each once, and the counts of entries and exits."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import clickhouse_connect
import msgspec
import pytest

from cohort_store.changes import Change, encode_change
from cohort_store.clickhouse.client import BadAddress, connect
from cohort_store.clocks import FileClock
from cohort_store.durations import parse_instant_ms
from cohort_store.errors import Retry
from cohort_store.kafka import clients
from cohort_store.kafka.topics import MEMBERSHIP_CHANGES, ensure_topics, muster_topics
from cohort_store.settings import Settings
from processors.clickhouse.changes import FLOW_SQL, MEMBERS_SQL, TABLE, ChangesTable
from processors.control.books import read_change, write_down
from processors.embedded.child import choose_port
from tests.control.control_process import ControlProcess, control_settings, eventually
from tests.services.fixtures import ClickHouse


def change(person: str, status: str, sequence: int, *, cohort: int = 1, shard: int = 0, minute: int = 0) -> Change:
    return Change(
        person_id=person,
        team_id=1,
        cohort_id=cohort,
        status=status,
        last_updated=f"2026-01-12 12:{minute:02}:00.000000",
        cohort=f"c{cohort}" if cohort else "",
        version=1,
        cause="event",
        shard=shard,
        sequence=sequence,
    )


CHANGES = [
    change("ann", "entered", 1),
    change("bob", "entered", 2),
    change("ann", "left", 3, minute=1),
    change("cid", "entered", 1, shard=1),
    change("", "reset", 2, shard=1, cohort=0),
    change("dot", "entered", 3, shard=1, cohort=2, minute=1),
]


@pytest.fixture
def url(clickhouse: ClickHouse) -> str:
    return f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}"


def rows(place: ClickHouse, sql: str) -> list[tuple[object, ...]]:
    client = clickhouse_connect.get_client(host=place.host, port=place.port, database=place.database)
    try:
        return [tuple(row) for row in client.query(sql).result_rows]
    finally:
        client.close()


async def produce(settings: Settings, values: Sequence[bytes]) -> None:
    producer = clients.producer(settings.kafka)
    await producer.start()
    try:
        for number, value in enumerate(values):
            await producer.send_and_wait(MEMBERSHIP_CHANGES, value, partition=number % settings.partitions)
    finally:
        await producer.stop()


async def test_a_change_told_twice_is_read_once(url: str, clickhouse: ClickHouse) -> None:
    table = ChangesTable(url)
    for _ in range(2):
        await table.insert(CHANGES)
    await table.close()
    assert rows(clickhouse, f"SELECT count() FROM {TABLE} FINAL") == [(6,)]


async def test_members_by_changes_follow_the_rule_for_readers(url: str, clickhouse: ClickHouse) -> None:
    table = ChangesTable(url)
    # Whatever order they come in.
    await table.insert(CHANGES[::-1])
    await table.close()
    assert {(cohort, person) for _, cohort, _, person, _ in rows(clickhouse, MEMBERS_SQL)} == {(1, "bob"), (2, "dot")}
    assert [row[1:] for row in rows(clickhouse, FLOW_SQL)] == [(1, 1, "c1", 3, 1), (1, 2, "c2", 1, 0)]


async def test_a_url_that_is_none_is_refused_without_its_password() -> None:
    with pytest.raises(BadAddress, match="write http://user:password@host:8123/database") as refused:
        await connect("clickhouse://me:secret@localhost:9000/x")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[1]",
        encode_change(msgspec.structs.replace(CHANGES[0], last_updated="2026-01-12T12:00:00Z")),
        encode_change(msgspec.structs.replace(CHANGES[0], sequence=-1)),
        encode_change(msgspec.structs.replace(CHANGES[0], shard=70_000)),
    ],
)
def test_what_is_no_change_for_the_books_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError):
        read_change(raw)


class HistoryFailingFirst:
    """A history that is away for so many attempts."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.written: list[Change] = []

    async def insert(self, changes: Sequence[Change]) -> None:
        if self.times:
            self.times -= 1
            raise Retry("away")
        self.written += changes


async def test_a_history_that_is_away_is_waited_for() -> None:
    history = HistoryFailingFirst(3)
    assert await write_down(history, CHANGES, pause_s=0.001) == 4
    assert history.written == CHANGES


SLOW_TO_WAIT = """
import asyncio
from faust.transport.consumer import Fetcher
started = Fetcher.maybe_start
async def maybe_start(self):
    await started(self)
    await asyncio.sleep(0.5)
Fetcher.maybe_start = maybe_start
"""
"""Tables are restored before Faust waits for that, as on a busy machine."""


async def hours(control: ControlProcess) -> dict[str, tuple[int, int]]:
    """Entries and exits by cohort, of the one hour that all changes are in."""
    windows: list[dict[str, Any]] = await asyncio.to_thread(control.page, "/flow/")
    return {each["cohort"]: (each["entered"], each["left"]) for each in windows if each["length_ms"] == 3_600_000}


async def test_control_writes_each_change_once_though_killed_and_told_again(
    fresh_broker: str, view_url: str, url: str, clickhouse: ClickHouse, tmp_path: Path
) -> None:
    clock = FileClock(tmp_path / "clock")
    clock.set(parse_instant_ms("2026-01-12T12:30:00Z"))
    chosen = {"clickhouse": url, "clock": f"file:{tmp_path / 'clock'}"}
    settings = control_settings(fresh_broker, view_url, tmp_path / "data", **chosen)
    await ensure_topics(settings.kafka, muster_topics(settings.partitions))
    told = [encode_change(each) for each in CHANGES]
    unfit = encode_change(msgspec.structs.replace(CHANGES[0], last_updated="noon"))
    await produce(settings, [*told[:3], b"nonsense", unfit, *told[3:]])

    async def written() -> object:
        try:
            return rows(clickhouse, f"SELECT count() FROM {TABLE} FINAL")[0][0]
        except clickhouse_connect.driver.exceptions.DatabaseError:
            return 0

    with ControlProcess(settings, tmp_path / "control.log") as control:
        await eventually(written, lambda found: found == 6)
        await asyncio.to_thread(control.child.kill)
    await produce(settings, told)
    with ControlProcess(settings, tmp_path / "control.log") as control:
        # One in each partition, behind everything else there.
        last = [change("eve", "entered", 9, cohort=9), change("fay", "entered", 9, cohort=9)]
        await produce(settings, [encode_change(each) for each in last])
        counted = await eventually(lambda: hours(control), lambda found: found.get("c9") == (2, 0))
        # What is told again is counted again, and what was read again after a kill may be.
        entered, left = counted["c1"]
        assert 6 <= entered <= 9
        assert 2 <= left <= 3
        assert await written() == 8
    with ControlProcess(settings, tmp_path / "control.log") as control:
        await eventually(lambda: hours(control), lambda found: found == counted)
        clock.set(parse_instant_ms("2026-01-15T12:30:00Z"))
        await eventually(lambda: hours(control), lambda found: not found)
    assert rows(clickhouse, f"SELECT count() FROM {TABLE} FINAL") == [(8,)]


async def test_control_reads_on_though_its_counts_were_restored_before_it_waited_for_them(
    fresh_broker: str, view_url: str, tmp_path: Path
) -> None:
    clock = FileClock(tmp_path / "clock")
    clock.set(parse_instant_ms("2026-01-12T12:30:00Z"))
    settings = control_settings(fresh_broker, view_url, tmp_path / "data", clock=f"file:{tmp_path / 'clock'}")
    await ensure_topics(settings.kafka, muster_topics(settings.partitions))
    for times in (1, 2):
        await produce(settings, [encode_change(each) for each in CHANGES])
        with ControlProcess(settings, tmp_path / "control.log", before=SLOW_TO_WAIT) as control:
            await eventually(lambda: hours(control), lambda found: found.get("c2", (0, 0))[0] >= times)  # noqa: B023


async def test_without_clickhouse_control_compiles_and_ends_within_seconds(
    fresh_broker: str, view_url: str, tmp_path: Path
) -> None:
    from processors.definitions_log import apply

    nowhere = f"http://127.0.0.1:{choose_port(None)}/x"
    settings = control_settings(fresh_broker, view_url, tmp_path / "data", clickhouse=nowhere)
    file = tmp_path / "f.yaml"
    file.write_text("cohorts: [{key: a, when: {kind: performed, event: x, within: 1d}}]")
    await ensure_topics(settings.kafka, muster_topics(settings.partitions))
    await produce(settings, [encode_change(each) for each in CHANGES])
    with ControlProcess(settings, tmp_path / "control.log") as control:
        assert (await apply(settings, [file], prune=False, dry_run=False)).registry_version
        log = tmp_path / "control.log"
        await eventually(lambda: asyncio.to_thread(log.read_text), lambda said: "rows wait for ClickHouse" in said)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.to_thread(control.child.stop)
        assert loop.time() - began < 5.0
        assert control.child.returncode == 0
