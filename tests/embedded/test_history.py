"""The chDB front is a ClickHouse to an ordinary client of ClickHouse's HTTP interface."""

import asyncio
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from processors.embedded import chdb_server
from processors.embedded.errors import FolderInUse
from processors.embedded.history import EmbeddedHistory
from tests.services.fixtures import ClickHouse

MILLION = 1_000_000


@pytest.fixture
def client(clickhouse: ClickHouse) -> Iterator[Any]:
    with clickhouse_connect.get_client(
        host=clickhouse.host, port=clickhouse.port, database=clickhouse.database
    ) as connected:
        connected.command("CREATE TABLE events (id UInt64, name String) ENGINE = MergeTree ORDER BY id")
        yield connected


def _http(clickhouse: ClickHouse, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes, Any]:
    request = urllib.request.Request(
        f"http://{clickhouse.host}:{clickhouse.port}{path}", data=body, method="POST", headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read(), refused.headers


def test_rows_go_in_as_columns_and_come_out_as_they_were(client: Any) -> None:
    summary = client.insert("events", [[1, "a"], [2, "b\n'\\"]], column_names=["id", "name"])
    assert summary.written_rows == 2
    assert client.query("SELECT * FROM events ORDER BY id").result_rows == [(1, "a"), (2, "b\n'\\")]


@pytest.mark.parametrize("compression", ["lz4", "zstd", "gzip", False])
def test_a_large_insert_arrives_whole_in_every_content_encoding(
    clickhouse: ClickHouse, client: Any, compression: str | bool
) -> None:
    with clickhouse_connect.get_client(
        host=clickhouse.host, port=clickhouse.port, database=clickhouse.database, compress=compression
    ) as writer:
        writer.insert("events", [[number, f"name {number}"] for number in range(100_000)], ["id", "name"])
    figures = client.query("SELECT count(), uniqExact(name), sum(id) FROM events").result_rows
    assert figures == [(100_000, 100_000, sum(range(100_000)))]


def test_values_are_bound_on_the_server_whatever_they_contain(client: Any) -> None:
    name = "it's {name:String} \\ \t\n; DROP TABLE events"
    client.insert("events", [[1, name]], column_names=["id", "name"])
    question = "SELECT id, {name:String} FROM events WHERE name = {name:String} AND id IN {ids:Array(UInt64)}"
    assert client.query(question, parameters={"name": name, "ids": [1, 2]}).result_rows == [(1, name)]


def test_a_setting_holds_for_its_own_request_only(client: Any) -> None:
    before = client.command("SELECT getSetting('max_block_size')")
    assert client.query("SELECT getSetting('max_block_size')", settings={"max_block_size": 17}).first_row == (17,)
    assert client.command("SELECT getSetting('max_block_size')") == before


def test_an_empty_result_still_names_its_columns(client: Any) -> None:
    empty = client.query("SELECT id, name FROM events WHERE id = {id:UInt64}", parameters={"id": 5})
    assert (empty.column_names, empty.result_rows) == (("id", "name"), [])


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELEC 1", 62),
        ("SELECT * FROM nowhere", 60),
        ("SELECT {absent:Int64}", 456),
        ("SELECT throwIf(1)", 395),
        ("CREATE TABLE events (id UInt8) ENGINE = Memory", 57),
    ],
)
def test_an_error_bears_the_code_that_a_server_gives(client: Any, statement: str, code: int) -> None:
    with pytest.raises(DatabaseError) as failure:
        client.command(statement)
    assert failure.value.code == code


def test_rows_that_do_not_fit_leave_the_table_as_it_was(client: Any) -> None:
    with pytest.raises(DatabaseError):
        client.raw_insert("events", ["id", "name"], "1\tone\nnot a number\ttwo\n", fmt="TSV")
    assert client.command("SELECT count() FROM events") == 0


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        ("ALTER TABLE events ADD CONSTRAINT known CHECK id != 2", 469),
        ("CREATE MATERIALIZED VIEW refusing ENGINE = Memory AS SELECT throwIf(id = 2) AS id FROM events", 395),
    ],
)
def test_rows_that_are_refused_behind_the_parsing_are_an_error_and_not_lost_in_silence(
    client: Any, refusal: str, code: int
) -> None:
    client.command(refusal)
    with pytest.raises(DatabaseError) as refused:
        client.insert("events", [[1, "a"], [2, "b"]], column_names=["id", "name"])
    assert refused.value.code == code
    assert client.insert("events", [[3, "c"]], column_names=["id", "name"]).written_rows
    assert client.command("SELECT count() FROM events WHERE id = 3") == 1


def test_an_insert_may_bear_settings_of_its_own_and_have_no_rows(clickhouse: ClickHouse, client: Any) -> None:
    head = b"INSERT INTO events (id, name) SETTINGS input_format_skip_unknown_fields = 1 FORMAT JSONEachRow\n"
    path = f"/?database={clickhouse.database}"
    assert _http(clickhouse, path, head + b'{"id": 1, "name": "a", "more": 2}')[0] == 200
    assert _http(clickhouse, path, head)[0] == 200
    assert client.query("SELECT * FROM events").result_rows == [(1, "a")]


def test_a_million_rows_are_streamed_in_blocks(client: Any) -> None:
    with client.query_row_block_stream(f"SELECT number, toString(number) FROM numbers({MILLION})") as stream:
        sizes = [len(block) for block in stream]
    assert sum(sizes) == MILLION
    assert len(sizes) > 5


def test_an_error_in_the_middle_of_a_stream_reaches_the_reader(client: Any) -> None:
    with (
        pytest.raises(StreamFailureError, match="throwIf"),
        client.query_row_block_stream(f"SELECT throwIf(number = 900000) FROM numbers({MILLION})") as stream,
    ):
        assert sum(len(block) for block in stream) < MILLION


def test_a_reader_that_hangs_up_frees_its_turn(clickhouse: ClickHouse, client: Any) -> None:
    endless = b"SELECT number, toString(number) FROM numbers(100000000000)"
    request = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(endless), endless)
    for _ in range(2 * chdb_server.STATEMENTS_AT_ONCE_MAX):
        with socket.create_connection((clickhouse.host, clickhouse.port), timeout=20) as reader:
            reader.sendall(request)
            assert reader.recv(1024).startswith(b"HTTP/1.1 200 OK")
    assert client.command("SELECT 1") == 1


def test_statements_from_many_threads_all_get_their_own_answers(clickhouse: ClickHouse, client: Any) -> None:
    local = threading.local()

    def work(number: int) -> tuple[int, int]:
        if not hasattr(local, "client"):
            local.client = clickhouse_connect.get_client(
                host=clickhouse.host, port=clickhouse.port, database=clickhouse.database
            )
        local.client.insert("events", [[number, "x"]] * 50, column_names=["id", "name"])
        return number, local.client.command(f"SELECT count() FROM events WHERE id = {number}")

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(work, range(48)))
    assert answers == [(number, 50) for number in range(48)]
    assert client.command("SELECT count() FROM events") == 48 * 50


async def test_the_asynchronous_client_works_like_the_other(clickhouse: ClickHouse) -> None:
    client = await clickhouse_connect.get_async_client(
        host=clickhouse.host, port=clickhouse.port, database=clickhouse.database
    )
    try:
        await client.command("CREATE TABLE counted (id UInt64) ENGINE = MergeTree ORDER BY id")
        await asyncio.gather(*(client.insert("counted", [[number]] * 10, ["id"]) for number in range(20)))
        assert await client.command("SELECT count() FROM counted") == 200
        asked = await asyncio.gather(*(client.query(f"SELECT {number}") for number in range(40)))
        assert [answer.result_rows for answer in asked] == [[(number,)] for number in range(40)]
        total = 0
        async with await client.query_row_block_stream(f"SELECT number FROM numbers({MILLION})") as stream:
            async for block in stream:
                total += len(block)
        assert total == MILLION
        with pytest.raises(DatabaseError) as failure:
            await client.query("SELECT * FROM nowhere")
        assert failure.value.code == 60
    finally:
        await client.close()


def test_a_query_may_stand_in_the_url_with_its_rows_in_the_body(clickhouse: ClickHouse, client: Any) -> None:
    insert = "INSERT%20INTO%20events%20FORMAT%20JSONEachRow"
    status, _, headers = _http(clickhouse, f"/?database={clickhouse.database}&query={insert}", b'{"id":1,"name":"url"}')
    assert (status, headers["X-ClickHouse-Summary"].count('"written_rows": "1"')) == (200, 1)
    assert client.query("SELECT name FROM events").result_rows == [("url",)]


def test_raw_http_shows_status_code_and_headers_as_clickhouse_does(clickhouse: ClickHouse) -> None:
    assert _http(clickhouse, "/", b"SELECT 1 AS one FORMAT JSONEachRow")[:2] == (200, b'{"one":1}\n')
    status, body, headers = _http(clickhouse, "/?query_id=q7", b"SELECT * FROM nowhere")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (404, "60")
    assert body.startswith(b"Code: 60. DB::Exception: ")
    assert _http(clickhouse, "/?query_id=q7", b"SELECT 1")[2]["X-ClickHouse-Query-Id"] == "q7"
    assert _http(clickhouse, "/", b"SELECT 1", **{"Content-Encoding": "br"})[0] == 400
    assert (
        _http(clickhouse, "/", b"not gzip", **{"Content-Encoding": "gzip"})[2]["X-ClickHouse-Exception-Code"] == "271"
    )
    assert _http(clickhouse, "/?no_such_setting=1", b"SELECT 1")[2]["X-ClickHouse-Exception-Code"] == "115"


def test_a_second_process_on_the_same_folder_is_refused_by_name(tmp_path: Path) -> None:
    with EmbeddedHistory(tmp_path) as history:
        second = EmbeddedHistory(tmp_path)
        second.launch()
        with pytest.raises(FolderInUse, match=rf"{tmp_path} is in use by process {history.process.pid}"):
            second.wait_ready()


def test_tables_are_there_after_a_restart(tmp_path: Path) -> None:
    with (
        EmbeddedHistory(tmp_path) as history,
        clickhouse_connect.get_client(host=history.host, port=history.port) as client,
    ):
        client.command("CREATE TABLE kept (id UInt64) ENGINE = MergeTree ORDER BY id")
        client.insert("kept", [[7]], column_names=["id"])
    assert history.process.returncode == 0
    with (
        EmbeddedHistory(tmp_path) as history,
        clickhouse_connect.get_client(host=history.host, port=history.port) as client,
    ):
        assert client.query("SELECT id FROM kept").result_rows == [(7,)]
