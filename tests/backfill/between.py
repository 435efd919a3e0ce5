"""What stands between a client and a server and cuts, delays or ends what the server answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Self

from processors.embedded.child import LOOPBACK


@dataclass
class Trouble:
    """Befalls an answer of which `after` bytes have passed, behind the next bytes that are `at`."""

    after: int
    at: bytes = b"]\n"
    then: bytes = b""
    """What the client gets instead of the rest."""
    times: int = 1
    """How many answers it befalls."""
    delay_s: float = 0.0
    """Not an end, but a wait so long, at each piece that follows."""
    is_silent: bool = False
    """Not an end, but nothing more."""
    befell: int = 0


@dataclass
class Between:
    """Listens on a port of its own while the block lasts."""

    server_port: int
    trouble: Trouble | None = None
    is_down: bool = False
    """Whether nobody can connect; those who had are cut off."""
    port: int = 0
    database: str = ""
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/{self.database}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Drop every connection."""
        for writer in self._open:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        try:
            if not self.is_down:
                await self._pass_on(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort() if self.is_down else writer.close()
            self._open.discard(writer)
            self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(LOOPBACK, self.server_port)
        answer = _Answer(writer)

        async def ask() -> None:
            while data := await reader.read(65_536):
                answer.passed = 0
                server_writer.write(data)
                await server_writer.drain()

        asking = asyncio.create_task(ask())
        try:
            while data := await server_reader.read(65_536):
                if not await answer.send(data, self.trouble):
                    return
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            server_writer.close()


@dataclass
class _Answer:
    """One connection's way back."""

    writer: asyncio.StreamWriter
    passed: int = 0
    _tail: bytes = b""

    async def send(self, data: bytes, trouble: Trouble | None) -> bool:
        """Pass it on as far as the trouble lets it; whether more may follow."""
        end = self._end(data, trouble) if trouble is not None and trouble.befell < trouble.times else -1
        self.passed += len(data)
        if trouble is None or end < 0:
            await self._write(data)
            return True
        if trouble.delay_s:
            await asyncio.sleep(trouble.delay_s)
            await self._write(data)
            return True
        trouble.befell += 1
        await self._write(data[:end] + trouble.then)
        if trouble.is_silent:
            await asyncio.Event().wait()
        return False

    def _end(self, data: bytes, trouble: Trouble) -> int:
        """Where in the data what comes behind `at` begins; -1: nowhere. Its first bytes may have passed already."""
        before, self._tail = self._tail, data[1 - len(trouble.at) :] if len(trouble.at) > 1 else b""
        if self.passed + len(data) <= trouble.after:
            return -1
        found = (before + data).find(trouble.at, max(0, trouble.after - self.passed))
        return -1 if found < 0 else max(0, found + len(trouble.at) - len(before))

    async def _write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()
