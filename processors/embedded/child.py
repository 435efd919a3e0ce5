"""A child process of ours: started with a log file, ready within a deadline, ended with its parent."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from processors.embedded.errors import PartFailed

LOOPBACK = "127.0.0.1"
READY_DEADLINE_S = 30.0
STOP_DEADLINE_S = 10.0
POLL_S = 0.02
LOG_TAIL_BYTES = 2_000
PORT_RANGE = range(20_000, 32_000)
PORT_TRIES_MAX = 100
PORTS_RESERVED_MAX = 64

_reserved: deque[int] = deque()
"""The file numbers of the sockets that reserve ports, the oldest first."""

# Runs in a fresh interpreter between fork and exec of the real program, so that nothing but C code of the
# subprocess module runs in the forked copy of a parent with threads. PR_SET_PDEATHSIG (1) survives exec.
# The parent's number is compared afterwards because it may have died before the call.
_LAUNCHER = """
import ctypes, os, sys
parent = int(sys.argv[1])
if sys.platform == "linux":
    ctypes.CDLL(None, use_errno=True).prctl(1, 9, 0, 0, 0)
if os.getppid() != parent:
    sys.exit(70)
os.nice(int(sys.argv[2]))
os.execvp(sys.argv[3], sys.argv[3:])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How one child is started and judged.

    ``ready`` is asked again and again and must return at once or within a second or so; ``stop_signal`` asks
    the child to end, and SIGKILL follows after ``stop_deadline_s``. ``inherit`` are file numbers that the
    child keeps open. ``niceness`` is how far it stands back where others want the processor too, 0 to 19.
    """

    name: str
    command: Sequence[str]
    log: Path
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    inherit: Sequence[int] = ()
    niceness: int = 0
    ready_deadline_s: float = READY_DEADLINE_S
    stop_deadline_s: float = STOP_DEADLINE_S
    stop_signal: signal.Signals = signal.SIGTERM


class ChildProcess:
    """Owns one child from ``launch`` to ``stop``.

    The child is in a session of its own, so Ctrl-C in the terminal reaches its parent alone, who then stops
    its children in order. Should the parent die without that, the kernel kills the child (Linux). That
    death is told by the *thread* that launched: launch from one that lives as long as the child is needed.
    """

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def returncode(self) -> int | None:
        """The exit status, None while it runs."""
        return self._running().poll()

    def launch(self) -> None:
        """Start the program; returns before it is ready."""
        spec = self.spec
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        with spec.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - the command is built by the parts of this package
                [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(spec.niceness), *spec.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **spec.environment},
                pass_fds=spec.inherit,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Return when the child answers; PartFailed if it ends first or its deadline passes (it is then stopped)."""
        spec = self.spec
        deadline = time.monotonic() + spec.ready_deadline_s
        while True:
            if (status := self.returncode) is not None:
                raise PartFailed(f"{spec.name} ended with status {status} while starting.{self._last_words()}")
            if spec.ready():
                return
            if time.monotonic() > deadline:
                self.stop()
                raise PartFailed(f"{spec.name} was not ready within {spec.ready_deadline_s:g} s.{self._last_words()}")
            time.sleep(POLL_S)

    def start(self) -> Self:
        self.launch()
        self.wait_ready()
        return self

    def stop(self) -> None:
        """Ask the child to end, insist after the deadline, and return when it is gone. Doing it twice is harmless."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(self.spec.stop_signal)
        try:
            process.wait(self.spec.stop_deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the child at once with SIGKILL, and return when it is gone."""
        process = self._running()
        process.kill()
        process.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ValueError(f"{self.spec.name} has not been launched")
        return self._process

    def _last_words(self) -> str:
        tail = log_tail(self.spec.log, self._log_start)
        return f" Its last words, from {self.spec.log}:\n{tail}" if tail else f" Its log {self.spec.log} is empty."


def log_tail(path: Path, start: int = 0, bytes_max: int = LOG_TAIL_BYTES) -> str:
    """The last lines of a log file from ``start`` on, at most ``bytes_max`` of it."""
    try:
        with path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(start, end - bytes_max))
            return log.read().decode(errors="replace").strip()
    except OSError:
        return ""


def choose_port(wanted: int | None) -> int:
    """The wanted loopback port if nobody listens on it (PartFailed otherwise), or some free one.

    A free one is reserved for who listens there, and drawn from below the range from which kernels number outgoing
    connections (32768 and up): a port of that range is easily some client's by then.
    """
    if wanted is not None:
        if not _is_free(wanted):
            raise PartFailed(f"port {wanted} on {LOOPBACK} is taken: stop what listens there, or choose another port")
        return wanted
    for candidate in random.SystemRandom().sample(PORT_RANGE, k=min(PORT_TRIES_MAX, len(PORT_RANGE))):
        if reserve_port(candidate):
            return candidate
    raise PartFailed(f"{PORT_TRIES_MAX} ports of {PORT_RANGE} on {LOOPBACK} tried and all taken: free some")


def reserve_port(port: int) -> bool:
    """Whether the loopback port was free; nobody else is given it then, whichever process asks.

    Until this process ends, or has reserved PORTS_RESERVED_MAX more. A socket that is bound alone, and afterwards says
    that it shares its address, keeps off who binds alone too, but no server: those say so as well. That is so on Linux;
    elsewhere somebody may take the port before it is used.
    """
    with socket.socket() as holder:
        try:
            holder.bind((LOOPBACK, port))
        except OSError:
            return False
        if sys.platform == "linux":
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _reserved.append(holder.detach())
            if len(_reserved) > PORTS_RESERVED_MAX:
                os.close(_reserved.popleft())
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: what lingers of closed connections is no listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def exchange(port: int, request: bytes, timeout_s: float = 1.0) -> bytes:
    """Send bytes to a loopback port and return the first bytes of the answer, empty if there is none."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s) as connection:
            connection.sendall(request)
            return connection.recv(65_536)
    except OSError:
        return b""
