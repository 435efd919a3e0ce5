"""What can go wrong with an embedded part.

::

    MusterError
    └── EmbeddedError
        ├── FolderUnfit    the data folder is none, or cannot be written
        ├── FolderInUse    another process has the data folder open
        ├── PartMissing    this machine has no binary for the part
        └── PartFailed     the part ended, or was not ready in time
"""

from pathlib import Path

from cohort_store.errors import MusterError


class EmbeddedError(MusterError):
    """Base of every error of the embedded parts."""


class FolderUnfit(EmbeddedError):
    """The folder cannot be made or written."""

    def __init__(self, folder: Path, error: OSError) -> None:
        super().__init__(
            f"data folder {folder} cannot be used ({error.strerror}): name a folder that is there or can be made"
        )


class FolderInUse(EmbeddedError):
    """The folder is held by a live process; ``pid`` is None where that process left no number."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"data folder {folder} is in use by {holder}: stop it, or name another folder")
        self.folder = folder
        self.pid = pid


class PartMissing(EmbeddedError):
    """No binary of the part fits this machine."""


class PartFailed(EmbeddedError):
    """The part ended by itself, or did not answer within its deadline; the message ends with its last words."""
