"""Children that end by themselves are started again, and none is left when all is stopped."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from processors.embedded.child import ChildSpec
from processors.up.supervisor import BACKOFF_MAX_S, SETTLED_S, Supervisor

DEADLINE_S = 20.0


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def spec(folder: Path, name: str, program: str) -> ChildSpec:
    return ChildSpec(name=name, command=[sys.executable, "-c", program], log=folder / f"{name}.log", ready=lambda: True)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def told() -> list[str]:
    return []


def test_a_killed_child_is_started_again_after_its_backoff(tmp_path: Path, told: list[str]) -> None:
    supervisor = Supervisor([spec(tmp_path, "sleeper", "import time; time.sleep(600)")], told.append)
    supervisor.start(0.0)
    try:
        first = supervisor.pids()["sleeper"]
        os.kill(first, 9)
        until(lambda: not supervisor.pids())
        supervisor.tend(10.0)
        assert "ended with status -9" in told[0]
        supervisor.tend(10.4)
        assert not supervisor.pids()
        supervisor.tend(10.5)
        assert supervisor.pids()["sleeper"] != first
    finally:
        supervisor.stop()


def test_a_child_that_keeps_failing_waits_twice_as_long_each_time_up_to_a_bound(
    tmp_path: Path, told: list[str]
) -> None:
    supervisor = Supervisor([spec(tmp_path, "failing", "raise SystemExit(3)")], told.append)
    now_s = 0.0
    supervisor.start(now_s)
    waits = []
    try:
        for _ in range(8):
            until(lambda: not supervisor.pids())
            supervisor.tend(now_s)
            waits.append(float(told[-1].split(" starts again in ")[1].split(" s")[0]))
            now_s += waits[-1]
            supervisor.tend(now_s)
    finally:
        supervisor.stop()
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, BACKOFF_MAX_S, BACKOFF_MAX_S]


def test_a_child_that_ran_long_enough_begins_its_backoff_anew(tmp_path: Path, told: list[str]) -> None:
    supervisor = Supervisor([spec(tmp_path, "failing", "raise SystemExit(3)")], told.append)
    supervisor.start(0.0)
    try:
        until(lambda: not supervisor.pids())
        supervisor.tend(0.0)
        supervisor.tend(1.0)
        until(lambda: not supervisor.pids())
        supervisor.tend(1.0 + SETTLED_S)
        assert "starts again in 0.5 s" in told[-1]
    finally:
        supervisor.stop()


def test_stopping_ends_every_child_at_the_same_time(tmp_path: Path, told: list[str]) -> None:
    slow = "import signal, sys, time\nsignal.signal(15, lambda *_: (time.sleep(0.5), sys.exit()))\n"
    slow += "print('up', flush=True)\ntime.sleep(600)"
    supervisor = Supervisor([spec(tmp_path, f"slow-{number}", slow) for number in range(4)], told.append)
    supervisor.start(0.0)
    pids = list(supervisor.pids().values())
    until(lambda: all("up" in (tmp_path / f"slow-{number}.log").read_text() for number in range(4)))
    started_s = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - started_s < 4 * 0.5
    assert not any(map(is_alive, pids))
