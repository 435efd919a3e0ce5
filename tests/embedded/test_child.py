"""A child process is ready or says why not, and never outlives the process that started it."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from processors.embedded import child as children
from processors.embedded.child import LOOPBACK, ChildProcess, ChildSpec, choose_port, exchange, reserve_port
from processors.embedded.errors import PartFailed

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
DEADLINE_S = 15.0


def _spec(folder: Path, command: list[str], *, ready: bool = True, deadline_s: float = 5.0) -> ChildSpec:
    return ChildSpec(
        name="child",
        command=command,
        log=folder / "child.log",
        ready=lambda: ready and "up" in (folder / "child.log").read_text(),
        ready_deadline_s=deadline_s,
        stop_deadline_s=0.5,
    )


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while _is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


def test_a_child_that_ends_while_starting_is_reported_with_its_last_words(tmp_path: Path) -> None:
    child = ChildProcess(_spec(tmp_path, [sys.executable, "-c", "import sys; sys.exit('no such disk')"]))
    with pytest.raises(PartFailed, match=r"child ended with status 1 while starting(.|\n)*no such disk"):
        child.start()


def test_last_words_leave_out_what_an_earlier_run_wrote(tmp_path: Path) -> None:
    (tmp_path / "child.log").write_text("words of an earlier run\n")
    child = ChildProcess(_spec(tmp_path, [sys.executable, "-c", "raise SystemExit('now')"]))
    with pytest.raises(PartFailed) as failure:
        child.start()
    assert "now" in str(failure.value)
    assert "earlier" not in str(failure.value)


def test_a_child_that_is_not_ready_in_time_is_stopped(tmp_path: Path) -> None:
    child = ChildProcess(_spec(tmp_path, SLEEPER, ready=False, deadline_s=0.2))
    with pytest.raises(PartFailed, match=r"not ready within 0\.2 s"):
        child.start()
    assert child.returncode == -signal.SIGTERM


def test_a_child_that_ignores_the_stop_signal_is_killed_after_its_deadline(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    child = ChildProcess(_spec(tmp_path, [sys.executable, "-c", deaf])).start()
    child.stop()
    assert child.returncode == -signal.SIGKILL


def test_stopping_twice_or_before_the_launch_is_harmless(tmp_path: Path) -> None:
    child = ChildProcess(_spec(tmp_path, SLEEPER))
    child.stop()
    child.start()
    child.stop()
    child.stop()
    assert child.returncode == -signal.SIGTERM


def test_a_child_stands_back_as_far_as_it_is_told_to(tmp_path: Path) -> None:
    child = ChildProcess(replace(_spec(tmp_path, SLEEPER), niceness=7)).start()
    try:
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == min(own + 7, 19)
    finally:
        child.stop()


def test_a_child_writes_to_its_log_and_nothing_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ChildProcess(_spec(tmp_path, SLEEPER)).start().stop()
    assert (tmp_path / "child.log").read_text() == "up\n"
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_child_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(tmp_path / "log")], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert _is_alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _wait_until_gone(child)


_PARENT = """
import sys, time
from pathlib import Path
from processors.embedded.child import ChildProcess, ChildSpec
log = Path(sys.argv[1])
sleeper = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
child = ChildProcess(ChildSpec(name="child", command=sleeper, log=log, ready=lambda: "up" in log.read_text())).start()
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_taken_port_is_refused_with_its_number(tmp_path: Path) -> None:
    port = choose_port(None)
    listener = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    request = b"GET / HTTP/1.0\r\n\r\n"
    spec = ChildSpec(
        name="listener", command=listener, log=tmp_path / "log", ready=lambda: bool(exchange(port, request))
    )
    child = ChildProcess(spec).start()
    try:
        with pytest.raises(PartFailed, match=f"port {port} on 127.0.0.1 is taken"):
            choose_port(port)
    finally:
        child.stop()


_RESERVE = """
import sys
from processors.embedded import child
child.PORT_RANGE = range(*map(int, sys.argv[1:]))
print(child.choose_port(None), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reserved on Linux alone")
def test_nobody_is_given_a_port_that_another_process_was_given_though_none_listens_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = choose_port(None)
    others = range(first, first + 8)
    monkeypatch.setattr(children, "PORT_RANGE", others)
    asking = [sys.executable, "-c", _RESERVE, str(others.start), str(others.stop)]
    with subprocess.Popen(asking, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        given = int(other.stdout.readline())
        free = sum(map(reserve_port, [port for port in others if port not in (first, given)]))
        assert first != given
        assert free > 0
        with pytest.raises(PartFailed, match="all taken"):
            choose_port(None)
        with socket.create_server((LOOPBACK, given)), socket.create_connection((LOOPBACK, given)):
            pass  # a server listens there all the same


def test_ctrl_c_in_the_terminal_does_not_reach_a_child(tmp_path: Path) -> None:
    child = ChildProcess(_spec(tmp_path, SLEEPER)).start()
    try:
        assert os.getpgid(child.pid) != os.getpgrp()
    finally:
        child.stop()
