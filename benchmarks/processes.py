"""Child processes of a measurement, each on its core, and what they cost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

SERVER_CORE, OTHER_CORE = 0, 1
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def pin(pid: int, core: int) -> None:
    """Let every thread of a process run on one core only; on a machine with a single core nothing is to be done."""
    if (os.cpu_count() or 1) > 1:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


class Role:
    """A process of Muster's (or a floor's), pinned, with its own settings in the environment."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], core: int, log: Path) -> None:
        self._log = log.open("ab")
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core if (os.cpu_count() or 1) > 1 else 0), sys.executable, *arguments],
            env={**os.environ, **environment},
            stdout=self._log,
            stderr=self._log,
        )
        self.pid = self.process.pid

    def stop(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._log.close()
