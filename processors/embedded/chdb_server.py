"""ClickHouse's HTTP interface over chDB: one process that owns a data folder.

``python -m processors.embedded.chdb_server --data FOLDER --port PORT``

It speaks as much of the interface as an ordinary client uses: queries in URL, body or form, parameters, settings,
INSERT with rows behind the statement, gzip, deflate, lz4 and zstd request bodies, error codes, streamed results,
``/ping``. It does not know users, sessions, temporary tables or compressed answers. It listens on loopback only.
"""

import argparse
import asyncio
import json
import logging
import secrets
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from processors.embedded.chdb_engine import Answer, Engine, EngineError
from processors.embedded.child import LOOPBACK
from processors.embedded.clickhouse_request import (
    BadRequest,
    InsertHead,
    Options,
    Query,
    decoder_for,
    may_become_insert,
    read_insert,
    read_options,
    read_query,
)
from processors.embedded.errors import FolderInUse
from processors.embedded.folder import FolderLock

STATUS_IN_USE = 73
STATEMENTS_AT_ONCE_MAX = 4
QUERY_BYTES_MAX = 16 * 1024 * 1024
URL_BYTES_MAX = 1024 * 1024
STOP_GRACE_S = 5.0

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
# As ClickHouse answers them; every other error is status 500.
_STATUS = {
    **dict.fromkeys((6, 26, 27, 33, 36, 38, 41, 43, 53, 62, 69, 70, 72, 89, 117, 456, 457), 400),
    **dict.fromkeys((46, 47, 50, 56, 60, 73, 81, 115), 404),
    159: 408,
    307: 413,
    48: 501,
}


class ChdbServer:
    """Answers requests by an engine; at most STATEMENTS_AT_ONCE_MAX statements run, the others wait their turn."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turns = asyncio.Semaphore(STATEMENTS_AT_ONCE_MAX)
        self._threads = ThreadPoolExecutor(STATEMENTS_AT_ONCE_MAX, thread_name_prefix="statement")

    def application(self) -> web.Application:
        application = web.Application(client_max_size=QUERY_BYTES_MAX)
        application.router.add_get("/ping", _ping)
        application.router.add_route("*", "/", self._statement)
        return application

    def close(self) -> None:
        self._threads.shutdown()
        self._engine.close()

    async def _statement(self, request: web.Request) -> web.StreamResponse:
        try:
            options, head, body = await _read(request)
            async with self._turns:
                if head is not None:
                    return self._whole(await self._insert(head, options, body), options, None)
                query = read_query("\n".join(filter(None, (options.query, await _text(body)))), options.default_format)
                if query.can_stream and not options.whole:
                    return await self._streamed(request, query, options)
                return self._whole(await self._in_thread(lambda: self._engine.run(query, options)), options, query)
        except (EngineError, BadRequest) as error:
            return self._refusal(error)

    async def _insert(self, head: InsertHead, options: Options, body: AsyncIterator[bytes]) -> Answer:
        insert = await self._in_thread(lambda: self._engine.insert(head, options))
        try:
            await self._in_thread(lambda: insert.append(head.rows))
            async for rows in body:
                await self._in_thread(lambda rows=rows: insert.append(rows))  # type: ignore[misc]
            return await self._in_thread(insert.finish)
        finally:
            await self._in_thread(insert.cancel)

    async def _streamed(self, request: web.Request, query: Query, options: Options) -> web.StreamResponse:
        """Answer piece by piece. The first piece is awaited before the status is sent: most errors show there.

        A later error is written behind the rows in the frame that ClickHouse uses, under the tag that the
        header announced, and the connection is closed.
        """
        tag = secrets.token_hex(8)
        pieces = self._engine.stream(query, options)
        try:
            first = await self._in_thread(lambda: next(pieces, b""))
            response = web.StreamResponse(headers={**self._headers(options, query), "X-ClickHouse-Exception-Tag": tag})
            await response.prepare(request)
            await response.write(first)
            try:
                async for piece in self._iterate(pieces):
                    await response.write(piece)
            except EngineError as error:
                await response.write(_trailer(tag, self._message(error)))
                response.force_close()
            await response.write_eof()
            return response
        finally:
            await self._in_thread(lambda: _close(pieces))

    async def _iterate(self, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
        while piece := await self._in_thread(lambda: next(pieces, b"")):
            yield piece

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def _whole(self, answer: Answer, options: Options, query: Query | None) -> web.Response:
        return web.Response(
            body=answer.body, headers={**self._headers(options, query), "X-ClickHouse-Summary": _summary(answer)}
        )

    def _headers(self, options: Options, query: Query | None) -> dict[str, str]:
        headers = {
            "X-ClickHouse-Query-Id": options.query_id or str(uuid.uuid4()),
            "X-ClickHouse-Server-Display-Name": "muster",
            "X-ClickHouse-Timezone": self._engine.timezone,
            "Content-Type": "application/octet-stream",
        }
        return {**headers, "X-ClickHouse-Format": query.format} if query is not None and query.has_rows else headers

    def _refusal(self, error: EngineError | BadRequest) -> web.Response:
        return web.Response(
            status=_STATUS.get(error.code, 500),
            text=self._message(error) + "\n",
            headers={"X-ClickHouse-Exception-Code": str(error.code)},
        )

    def _message(self, error: EngineError | BadRequest) -> str:
        text = str(error)
        named = text if text.startswith("Code: ") else f"Code: {error.code}. DB::Exception: {text}"
        return named if "(version" in named else f"{named} (version {self._engine.version})"


async def _ping(_: web.Request) -> web.Response:
    return web.Response(text="Ok.\n")


async def _read(request: web.Request) -> tuple[Options, InsertHead | None, AsyncIterator[bytes]]:
    """Options, the INSERT's head if the request is one with rows, and the rest of the body, still unread."""
    if request.content_type.startswith("multipart/"):
        form = await request.post()
        pairs = [(name, value) for name, value in form.items() if isinstance(value, str)]
        return read_options([*request.query.items(), *pairs]), None, _chunks(())
    options = read_options(request.query.items())
    body = _decoded(request)
    if options.query:
        return options, read_insert(options.query, b""), body
    start = b""
    while (head := read_insert("", start)) is None and may_become_insert(start):
        if not (more := await anext(body, b"")):
            break
        start += more
    return (options, head, body) if head is not None else (options, None, _chunks((start,), body))


async def _decoded(request: web.Request) -> AsyncIterator[bytes]:
    decoder = decoder_for(request.headers.get("Content-Encoding", ""))
    async for chunk in request.content.iter_any():
        if plain := decoder.decode(chunk):
            yield plain


async def _chunks(first: Sequence[bytes], rest: AsyncIterator[bytes] | None = None) -> AsyncIterator[bytes]:
    for chunk in first:
        yield chunk
    if rest is not None:
        async for chunk in rest:
            yield chunk


async def _text(body: AsyncIterator[bytes]) -> str:
    raw = bytearray()
    async for chunk in body:
        raw += chunk
        if len(raw) > QUERY_BYTES_MAX:
            raise BadRequest(
                307, f"The query is longer than {QUERY_BYTES_MAX} bytes: send its values as rows of a table"
            )
    return raw.decode(errors="replace")


def _close(pieces: Iterator[bytes]) -> None:
    close = getattr(pieces, "close", None)
    if close is not None:
        close()


def _trailer(tag: str, message: str) -> bytes:
    text = message.encode() + b"\n"
    return b"\r\n__exception__\r\n%b\r\n%b%d %b\r\n__exception__\r\n" % (tag.encode(), text, len(text), tag.encode())


def _summary(answer: Answer) -> str:
    figures = {
        "read_rows": answer.read_rows,
        "read_bytes": answer.read_bytes,
        "written_rows": answer.written_rows,
        "written_bytes": answer.written_bytes,
        "elapsed_ns": int(answer.elapsed_s * 1e9),
    }
    return json.dumps({name: str(figure) for name, figure in figures.items()})


async def _serve(data: Path, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    server = ChdbServer(Engine(data / "chdb"))
    runner = web.AppRunner(
        server.application(),
        access_log=None,
        auto_decompress=False,
        max_line_size=URL_BYTES_MAX,
        shutdown_timeout=STOP_GRACE_S,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, port).start()
        _LOG.info("serving %s on %s:%d", data, LOOPBACK, port)
        await stop.wait()
    finally:
        await runner.cleanup()
        server.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM; 0 after a clean stop, STATUS_IN_USE if another process has the folder."""
    parser = argparse.ArgumentParser(prog="chdb_server", description="ClickHouse's HTTP interface over a chDB folder")
    parser.add_argument("--data", type=Path, required=True, help="the folder, created if absent")
    parser.add_argument("--port", type=int, required=True, help="the loopback port")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        with FolderLock(chosen.data):
            asyncio.run(_serve(chosen.data, chosen.port))
    except FolderInUse as error:
        _LOG.error("%s", error)
        return STATUS_IN_USE
    return 0


if __name__ == "__main__":
    sys.exit(main())
