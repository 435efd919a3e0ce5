"""What several measurements start: the embedded parts on the other core, and a registry as control would write it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from benchmarks.processes import OTHER_CORE, pin
from cohort_store.compiling import assign
from cohort_store.definitions import parse_cohort
from cohort_store.registry import Registry
from cohort_store.settings import Settings
from processors.embedded.broker import EmbeddedBroker
from processors.embedded.view import EmbeddedView

TOKEN = "phc_muster"


class Bench(NamedTuple):
    """Running parts, and the settings that reach them."""

    folder: Path
    settings: Settings
    environment: dict[str, str]


@contextmanager
def embedded(settings: Mapping[str, Any], *, broker: bool = True) -> Iterator[Bench]:
    """Broker (unless told otherwise) and view in a folder that goes with the block."""
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as name, EmbeddedView(Path(name)) as view:
        folder = Path(name)
        (folder / "none.toml").touch()
        log = EmbeddedBroker(folder) if broker else None
        try:
            if log is not None:
                log.launch()
                log.wait_ready()
                pin(log.process.pid, OTHER_CORE)
            pin(view.process.pid, OTHER_CORE)
            chosen = {"redis": view.url, **({"kafka": log.bootstrap} if log else {}), **settings}
            yield Bench(folder, Settings(**chosen), _environment(chosen, folder))
        finally:
            if log is not None:
                log.stop()


def registry_of(
    cohorts: Iterable[Mapping[str, Any]], flags: Iterable[Mapping[str, Any]] = (), **given: Any
) -> Registry:
    """The first registry with these cohorts and flags of team 1; `given` replaces its fields."""
    parsed = [parse_cohort(dict(cohort)) for cohort in cohorts]
    registry = assign(Registry(), parsed, {1: list(flags)}, applied="bench", now=given.pop("now", 0))
    return msgspec.structs.replace(registry, **given)


def _environment(settings: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """The settings as a child reads them."""
    texts = {
        f"MUSTER_{name.upper()}": value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in settings.items()
    }
    return {**texts, "MUSTER_CONFIG": str(folder / "none.toml")}
