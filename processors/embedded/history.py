"""The embedded history: chDB as a child process that speaks ClickHouse's HTTP interface, durable in its folder."""

import sys
from pathlib import Path
from typing import Self

from processors.embedded.chdb_server import STATUS_IN_USE
from processors.embedded.child import LOOPBACK, ChildProcess, ChildSpec, choose_port, exchange
from processors.embedded.errors import FolderInUse, PartFailed
from processors.embedded.folder import holder_of

NAME = "history"
NICENESS = 10
"""A query of history takes what live events leave of the processors: on one machine they share them."""
_PING = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class EmbeddedHistory:
    """A ClickHouse on loopback, from ``launch`` to ``stop``; what it holds outlives it in ``folder``.

    The child itself holds the folder's lock, so ``chdb_server`` started by hand is refused like a second one
    of these.
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.host = LOOPBACK
        self.port = choose_port(port)
        self.folder = folder
        module = "processors.embedded.chdb_server"
        self.process = ChildProcess(
            ChildSpec(
                name=NAME,
                command=[sys.executable, "-m", module, "--data", str(folder.resolve()), "--port", str(self.port)],
                log=folder / f"{NAME}.log",
                ready=self._answers,
                niceness=NICENESS,
                environment={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            )
        )

    def launch(self) -> None:
        self.process.launch()

    def wait_ready(self) -> None:
        """Return when it answers; FolderInUse if another process has the folder, PartFailed otherwise."""
        try:
            self.process.wait_ready()
        except PartFailed:
            if self.process.returncode == STATUS_IN_USE:
                raise FolderInUse(self.folder, holder_of(self.folder)) from None
            raise

    def stop(self) -> None:
        self.process.stop()

    def __enter__(self) -> Self:
        self.launch()
        self.wait_ready()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        return exchange(self.port, _PING).startswith(b"HTTP/1.1 200")
