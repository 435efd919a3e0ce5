"""The roles that Muster's processes play, and where each begins.

A role is named by its wiring module, which offers `run(settings)`: it blocks, and ends cleanly on SIGTERM and
SIGINT. The module is imported only when the role is asked for; so nothing here depends on any of them, the
evaluator's package included.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from cohort_store.settings import Settings

WIRINGS = {
    "router": "processors.router.wiring",
    "membership": "processors.membership.wiring",
    "control": "processors.control.wiring",
    "archive": "processors.archive.wiring",
    "evaluator": "evaluator.wiring",
}


class _Wiring(Protocol):
    def run(self, settings: Settings) -> None: ...


def play(role: str, settings: Settings) -> None:
    """Play the role until the process is told to end."""
    cast("_Wiring", import_module(WIRINGS[role])).run(settings)
