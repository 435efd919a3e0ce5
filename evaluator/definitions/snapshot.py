"""The definitions in force, in a file: so that an evaluator starts and answers with nothing else there.

One line says what follows: the name of the form, the instant, the length and the SHA-256 of the registry's JSON behind
it. A file is written beside and renamed, so that whoever reads finds the old one or the new one whole; several
evaluators may share it. A file that was cut or altered is refused.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from cohort_store.errors import Crash

FORM = b"muster-registry-1"
HEADING_BYTES_MAX = 200


class BadSnapshot(Crash):
    """A file that holds no whole snapshot of a form that this version knows."""


class Snapshot(NamedTuple):
    """A registry as it was written down, and when (ms since 1970)."""

    raw: bytes
    saved_ms: int


class SnapshotFile:
    """One file. Neither method is for the event loop: they wait for the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Snapshot | None:
        """What was saved last; None: nothing was. Raises BadSnapshot, or OSError where the file cannot be read."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        heading, newline, raw = content.partition(b"\n")
        parts = heading[:HEADING_BYTES_MAX].split(b" ")
        if not newline or len(parts) != 4 or parts[0] != FORM or not (parts[1].isdigit() and parts[2].isdigit()):
            raise BadSnapshot(f"{self.path} does not begin as a snapshot ({heading[:40]!r}); delete it")
        if len(raw) != int(parts[2]):
            raise BadSnapshot(f"{self.path} holds {len(raw)} bytes of {int(parts[2])}; delete it")
        if sha256(raw).hexdigest().encode() != parts[3]:
            raise BadSnapshot(f"{self.path} is not what was written: its checksum differs; delete it")
        return Snapshot(raw, int(parts[1]))

    def save(self, snapshot: Snapshot) -> None:
        """Put it in the place of what was saved. Raises OSError. On return it outlives a loss of power."""
        digest = sha256(snapshot.raw).hexdigest().encode()
        heading = b"%b %d %d %b\n" % (FORM, snapshot.saved_ms, len(snapshot.raw), digest)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            with beside.open("wb") as file:
                file.write(heading)
                file.write(snapshot.raw)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            raise
        _sync_folder(self.path.parent)


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
