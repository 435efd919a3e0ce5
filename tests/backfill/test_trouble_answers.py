"""An answer of ClickHouse's that does not come to its end is never taken for a whole one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from cohort_store.clickhouse.client import OutOfMemory, trouble_of
from cohort_store.errors import Retry
from processors.backfill.ports import Seed
from processors.clickhouse import seed_history
from processors.clickhouse.seed_history import SeedHistory
from processors.embedded.child import choose_port
from processors.embedded.history import EmbeddedHistory
from tests.backfill.between import Between, Trouble

ROWS = 200_000
SQL = f"SELECT concat('person-', toString(number)), [], [] FROM numbers({ROWS})"
MEMORY_BYTES = 2**30
OUT_OF_MEMORY = b"Code: 241. DB::Exception: Query memory limit exceeded: maximum: 1.00 GiB. (MEMORY_LIMIT_EXCEEDED)"
END_OF_CHUNK = b"]\n\r\n"


def chunked(text: bytes, *, is_last: bool = True) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text) + (b"0\r\n\r\n" if is_last else b"")


@pytest.fixture
async def between(history_server: EmbeddedHistory) -> AsyncIterator[Between]:
    async with Between(history_server.port) as stands:
        yield stands


async def read(url: str, sql: str = SQL) -> int:
    count = 0
    async for block in SeedHistory(url, 2, MEMORY_BYTES).rows(sql, {}, Seed):
        count += len(block)
    return count


async def test_an_answer_without_trouble_comes_whole(between: Between) -> None:
    assert await read(between.url) == ROWS


@pytest.mark.parametrize(
    "at",
    [
        pytest.param(b"pers", id="in a line"),
        pytest.param(b"]\n", id="between lines"),
        pytest.param(END_OF_CHUNK, id="between chunks"),
    ],
)
async def test_an_answer_that_is_cut_is_a_retry_wherever_it_is_cut(between: Between, at: bytes) -> None:
    between.trouble = Trouble(500_000, at)
    with pytest.raises(Retry, match="ClickHouse did not do it"):
        await read(between.url)
    assert between.trouble.befell == 1
    assert await read(between.url) == ROWS


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(OUT_OF_MEMORY + b"\n", id="as text"),
        pytest.param(b'["person-9",[[1,' + OUT_OF_MEMORY + b"\n", id="in a line"),
        pytest.param(b'"exception": "' + OUT_OF_MEMORY + b'"\n', id="in the format"),
        pytest.param(b"\r\n__exception__\r\ntag\r\n" + OUT_OF_MEMORY + b"\n99 tag\r\n__exception__\r\n", id="framed"),
    ],
)
@pytest.mark.parametrize("is_last", [True, False])
async def test_an_error_behind_rows_is_told_in_clickhouses_own_words(
    between: Between, text: bytes, is_last: bool
) -> None:
    between.trouble = Trouble(500_000, END_OF_CHUNK, chunked(text, is_last=is_last))
    with pytest.raises(OutOfMemory, match=r"ClickHouse broke off its answer: Code: 241\. DB::Exception: Query memory"):
        await read(between.url)


async def test_an_error_that_clickhouse_itself_meets_behind_rows_is_told(history_server: EmbeddedHistory) -> None:
    url = f"http://{history_server.host}:{history_server.port}"
    sql = "SELECT concat('p', toString(number + throwIf(number = 900000, 'halt'))), [], [] FROM numbers(1000000)"
    with pytest.raises(Retry, match=r"Code: 395\. DB::Exception: halt"):
        await read(url, sql)


async def test_a_clickhouse_that_falls_silent_is_a_retry_in_time(
    between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seed_history, "ANSWER_TIMEOUT_S", 1)
    between.trouble = Trouble(500_000, is_silent=True)
    async with asyncio.timeout(10):
        with pytest.raises(Retry, match="ClickHouse did not do it"):
            await read(between.url)
    assert await read(between.url) == ROWS


async def test_a_slow_answer_is_waited_for(between: Between) -> None:
    between.trouble = Trouble(0, b"\n", delay_s=0.01)
    assert await read(between.url) == ROWS


async def test_a_clickhouse_that_is_not_there_is_a_retry() -> None:
    with pytest.raises(Retry, match="ClickHouse did not do it"):
        await read(f"http://127.0.0.1:{choose_port(None)}")


def test_only_a_querys_own_limit_is_one_that_smaller_parts_help_against() -> None:
    assert isinstance(trouble_of(241, "Query memory limit exceeded: would use 5.06 MiB"), OutOfMemory)
    assert isinstance(trouble_of(241, "Memory limit (for query) exceeded: would use 5.06 MiB"), OutOfMemory)
    assert not isinstance(trouble_of(241, "(total) memory limit exceeded: would use 5.06 GiB"), OutOfMemory)
    assert not isinstance(trouble_of(241, "Memory limit (total) exceeded: would use 5.06 GiB"), OutOfMemory)
    assert not isinstance(trouble_of(395, "halt"), OutOfMemory)
