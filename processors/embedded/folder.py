"""One process tree a data folder, held by a lock that the kernel drops with the last process of the tree."""

import fcntl
import os
from pathlib import Path
from typing import Self

from processors.embedded.errors import FolderInUse, FolderUnfit

LOCK_FILE = "lock"


class FolderLock:
    """An exclusive hold on a folder, from ``acquire`` to ``release`` or the end of the process.

    Why a lock and not a pid file: a pid file outlives a killed process, and its number may be somebody
    else's by then. The number in the lock file is there for the message only. A child that inherits
    ``fileno()`` shares the hold, so a folder is free only when the last of the tree is gone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: int | None = None

    def acquire(self) -> None:
        """Create the folder if need be and take the hold.

        FolderInUse if another process has it, FolderUnfit if it cannot be made or written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = os.open(self.folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise FolderUnfit(self.folder, error) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise FolderInUse(self.folder, holder_of(self.folder)) from None
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self._file = file

    def release(self) -> None:
        """Give the folder back. Children that share the hold keep it until they end."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def fileno(self) -> int:
        if self._file is None:
            raise ValueError(f"the lock of {self.folder} is not held")
        return self._file

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def holder_of(folder: Path) -> int | None:
    """The process number in the folder's lock file, None if there is none to read."""
    try:
        return int((folder / LOCK_FILE).read_text().strip())
    except (OSError, ValueError):
        return None


def is_held(folder: Path) -> bool:
    """Whether a live process holds the folder, as of the call."""
    try:
        file = os.open(folder / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
