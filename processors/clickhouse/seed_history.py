"""What is to be kept of everybody, out of ClickHouse: see ``processors.backfill.ports.History``."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from tempfile import SpooledTemporaryFile
from typing import Any, NamedTuple, TypeVar

import msgspec

from cohort_store.clickhouse.client import OutOfMemory, connected, trouble_of
from cohort_store.errors import Retry
from processors.backfill.ports import Pair, Part, Reading, Seed, TooLarge
from processors.backfill.wanted import Wanted
from processors.clickhouse.event_owners import PERSON, begins, owned, pairs, persons_count
from processors.clickhouse.history_check import check_history
from processors.clickhouse.history_source import ARCHIVE, HistorySource
from processors.clickhouse.translation.statements import reduction

HELD_BYTES_MAX = 16 * 1024 * 1024
CHUNK_BYTES = 64 * 1024

ANSWER_TIMEOUT_S = 3_600
"""How long ClickHouse may be silent while it reduces a part."""

# Another's table of that name lacks the columns by which the archive knows the place of an event in the log.
_EXISTS = """
SELECT count() = 3 FROM system.columns
WHERE database = currentDatabase() AND table = 'events' AND name IN ('_topic', '_partition', '_offset')
"""
_SINCE = "timestamp >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')"

_Row = TypeVar("_Row")

_ERROR = re.compile(rb"Code: (\d+)\. DB::Exception.*", re.DOTALL)
ERROR_BYTES_MAX = 16_384
"""So much of what comes behind the last row is looked through for an error's text."""


class PlannedRead(NamedTuple):
    """A statement, the rows that it reads, and about how many bytes those have, not compressed."""

    sql: str
    rows: int
    bytes: int


class SeedHistory:
    """A source's events. ClickHouse is held to so many threads and bytes of memory, and rows a second (0: any)."""

    def __init__(
        self,
        url: str,
        threads: int,
        memory_bytes: int,
        source: HistorySource = ARCHIVE,
        since_ms: int | None = None,
        rows_per_s: int = 0,
    ) -> None:
        """`since_ms`: `persons` and `seeds` are of events from then on. Whose each distinct id is all events say."""
        self._url = url
        self._source = source
        self._since_ms = since_ms
        self._threads, self._memory_bytes, self._rows_per_s = threads, memory_bytes, rows_per_s
        self._limits = {
            "max_threads": threads,
            "max_memory_usage": memory_bytes,
            "max_bytes_before_external_group_by": memory_bytes // 2,
            "max_bytes_before_external_sort": memory_bytes // 2,
            "max_execution_speed": rows_per_s,
            # By itself ClickHouse reads at full speed for ten seconds, before it looks.
            "timeout_before_checking_execution_speed": 0,
            "output_format_json_quote_64bit_integers": 0,
        }

    def read_as(self, reading: Reading) -> SeedHistory:
        """The same table, read in that way."""
        threads = self._threads if reading.max_threads is None else reading.max_threads
        rows_per_s = 0 if reading.hurries else self._rows_per_s
        return SeedHistory(self._url, threads, self._memory_bytes, self._source, reading.since_ms, rows_per_s)

    async def is_there(self) -> bool:
        """Whether an archive has made its table; of other tables, that they are as described. Raises BadHistory."""
        if not self._source.is_archive:
            await check_history(self._url, self._source)
            return True
        async with connected(self._url, ANSWER_TIMEOUT_S) as client:
            return bool(await client.command(_EXISTS))

    async def begins_ms(self, team: int) -> int | None:
        """The time of the team's first event; None where there is none."""
        async with connected(self._url, ANSWER_TIMEOUT_S) as client:
            found = await client.query(begins(self._source), {"team": team}, settings=self._limits)
            ((begins_ms, count),) = found.result_rows
            return int(begins_ms) if count else None

    async def persons(self, team: int) -> int:
        """How many persons it knows of, roughly."""
        async with connected(self._url, ANSWER_TIMEOUT_S) as client:
            sql, asked = persons_count(self._source, *self._bounds()), {"team": team, **self._asked()}
            ((count,),) = (await client.query(sql, asked, settings=self._limits)).result_rows
            return int(count)

    async def seeds(self, wanted: Wanted, pruned_ms: int, part: Part) -> AsyncGenerator[Sequence[Seed], None]:
        """What is to be kept at `pruned_ms` of a part's persons, as it comes."""
        sql, asked = self._reduction(wanted, pruned_ms, part)
        try:
            async for block in self.rows(sql, asked, Seed):
                yield block
        except OutOfMemory as error:
            raise TooLarge(str(error)) from error

    async def pairs(self, team: int) -> AsyncGenerator[Sequence[Pair], None]:
        """The person of every distinct id, as it comes."""
        async for block in self.rows(pairs(self._source), {"team": team}, Pair):
            yield block

    async def plan(self, wanted: Wanted, pruned_ms: int, part: Part) -> PlannedRead:
        """What `seeds` would ask, and how much of the table it would read."""
        sql, asked = self._reduction(wanted, pruned_ms, part)
        async with connected(self._url, ANSWER_TIMEOUT_S) as client:
            estimated = await client.query(f"EXPLAIN ESTIMATE {sql}", asked, settings=self._limits)
            rows = sum(int(row[3]) for row in estimated.result_rows)
            ((all_bytes, all_rows),) = (await client.query(self._sizes(), settings=self._limits)).result_rows
        return PlannedRead(sql, rows, int(all_bytes) * rows // max(int(all_rows), 1))

    def _reduction(self, wanted: Wanted, pruned_ms: int, part: Part) -> tuple[str, dict[str, int]]:
        """The statement, and its parameters."""
        events = owned(self._source, " AND ".join([_in_part(PERSON), *self._bounds()]))
        states = self._source.states and f"{self._source.states} AND {_in_part('muster_id')}"
        asked = {"team": wanted.team, "now": pruned_ms, "of": part.of, "part": part.number, "begins": part.begins}
        reduced = reduction(wanted.asked, wanted.selectors, events, wanted.properties, states)
        sql = f"SELECT *, {_place('person_id')} AS place FROM (\n{reduced})\nORDER BY place\n"  # noqa: S608 - parts of ours
        return sql, {**asked, **self._asked()}

    def _bounds(self) -> list[str]:
        return [] if self._since_ms is None else [_SINCE]

    def _asked(self) -> dict[str, int]:
        return {} if self._since_ms is None else {"since": self._since_ms}

    def _sizes(self) -> str:
        parts = f"system.parts WHERE {self._source.table.where} AND active"
        return f"SELECT sum(data_uncompressed_bytes), sum(rows) FROM {parts}"  # noqa: S608 - parts of ours

    async def rows(
        self, sql: str, parameters: Mapping[str, Any], row: type[_Row]
    ) -> AsyncGenerator[Sequence[_Row], None]:
        """What a statement selects, within the limits, in blocks that take some milliseconds to make."""
        decode = msgspec.json.Decoder(row).decode
        async with connected(self._url, ANSWER_TIMEOUT_S) as client:
            answer = await client.raw_stream(sql, dict(parameters), settings=self._limits, fmt="JSONCompactEachRow")
            async with answer, aclosing(_held(answer)) as chunks:
                blocks = _lines(chunks)
                async for lines in blocks:
                    try:
                        rows = [decode(line) for line in lines]
                    except msgspec.MsgspecError:
                        raise await _broken_off(lines, blocks) from None
                    yield rows


def _place(person: str) -> str:
    """Where a person stands among all."""
    return f"cityHash64({person})"


def _in_part(person: str) -> str:
    return f"{_place(person)} % {{of:UInt32}} = {{part:UInt32}} AND {_place(person)} >= {{begins:UInt64}}"


async def _held(answer: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """All of an answer, once it is there: ClickHouse ends one that is read as slowly as owners fold beside live events.

    In memory, and in a file behind HELD_BYTES_MAX. An answer without its last chunk raises, behind what came of it,
    what its transport does: an error's text may be in that.
    """
    from aiohttp import ClientError

    broken: ClientError | OSError | None = None
    with SpooledTemporaryFile(HELD_BYTES_MAX) as held:
        try:
            async for chunk in answer:
                held.write(chunk)
        except (ClientError, OSError) as error:
            broken = error
        held.seek(0)
        while chunk := held.read(CHUNK_BYTES):
            yield chunk
    if broken is not None:
        raise broken


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[Sequence[bytes]]:
    """The lines of each chunk, as they are whole."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            yield lines
    if rest:
        yield [rest]


async def _broken_off(lines: Sequence[bytes], more: AsyncIterator[Sequence[bytes]]) -> Retry:
    """Why the answer breaks off among these lines: ClickHouse writes an error's text behind the rows."""
    from aiohttp import ClientError

    text, behind = b"\n".join(lines), 0
    with suppress(ClientError, OSError):
        # Where it closes the connection too, what it told by then counts.
        async for following in more:
            behind += sum(map(len, following))
            text = (text + b"\n" + b"\n".join(following))[-ERROR_BYTES_MAX:]
            if behind > ERROR_BYTES_MAX:
                break
    found = _ERROR.search(text)
    told = (found.group() if found else text)[:300].decode(errors="replace").strip()
    return trouble_of(int(found.group(1)) if found else None, f"ClickHouse broke off its answer: {told}")
