"""chDB in the tests' own process: one a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from processors.embedded.chdb_memory import Memory


@pytest.fixture(scope="session")
def memory() -> Iterator[Memory]:
    """One thread suffices for so few rows, and starts sooner."""
    with Memory() as engine:
        engine.command("SET max_threads = 1")
        yield engine
