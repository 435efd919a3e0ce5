"""Keeps child processes running: one that ends by itself is started again, later each time it fails soon."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from processors.embedded.child import ChildProcess, ChildSpec

BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 30.0
SETTLED_S = 60.0
"""A child that ran so long before it ended had not failed to start: its backoff begins anew."""


@dataclass(slots=True)
class _Kept:
    process: ChildProcess
    launched_s: float
    failures: int = 0
    retry_s: float | None = None


class Supervisor:
    """A fixed set of children, from `start` to `stop`; `tend` is called again and again in between.

    `tell` gets a sentence for people whenever a child ended or was started again. Times are seconds of any clock
    that does not go back. Call `start` and `tend` from one thread that outlives the children (see ChildProcess).
    """

    def __init__(self, specs: Sequence[ChildSpec], tell: Callable[[str], None]) -> None:
        self._specs = tuple(specs)
        self._tell = tell
        self._kept: list[_Kept] = []

    def start(self, now_s: float) -> None:
        for spec in self._specs:
            process = ChildProcess(spec)
            self._kept.append(_Kept(process, now_s))
            process.launch()

    def tend(self, now_s: float) -> None:
        """Start again what has ended and waited long enough."""
        for kept in self._kept:
            if kept.retry_s is not None:
                if now_s >= kept.retry_s:
                    self._restart(kept, now_s)
            elif kept.process.returncode is not None:
                self._ended(kept, now_s)

    def ready(self) -> bool:
        """Whether every child runs and answers."""
        return all(kept.process.returncode is None and kept.process.spec.ready() for kept in self._kept)

    def pids(self) -> dict[str, int]:
        """By name, of the children that run."""
        return {k.process.spec.name: k.process.pid for k in self._kept if k.process.returncode is None}

    def stop(self) -> None:
        """Ask all children to end at the same time, insist after their deadlines, return when all are gone."""
        if self._kept:
            with ThreadPoolExecutor(len(self._kept)) as threads:
                for stopped in [threads.submit(kept.process.stop) for kept in self._kept]:
                    stopped.result()
        self._kept = []

    def _ended(self, kept: _Kept, now_s: float) -> None:
        settled = now_s - kept.launched_s >= SETTLED_S
        kept.failures = 1 if settled else kept.failures + 1
        wait_s = min(BACKOFF_FIRST_S * 2 ** (kept.failures - 1), BACKOFF_MAX_S)
        kept.retry_s = now_s + wait_s
        spec, status = kept.process.spec, kept.process.returncode
        self._tell(f"{spec.name} ended with status {status}; it starts again in {wait_s:g} s (its log: {spec.log})")

    def _restart(self, kept: _Kept, now_s: float) -> None:
        kept.retry_s = None
        kept.launched_s = now_s
        kept.process = ChildProcess(kept.process.spec)
        kept.process.launch()
        self._tell(f"{kept.process.spec.name} started again as process {kept.process.pid}")
