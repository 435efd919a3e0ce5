"""What several measurements start: broker and view on the other core, and a registry as control would write it."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import msgspec

from benchmarks.processes import OTHER_CORE, pin
from cohort_store.compiling import assign
from cohort_store.definitions import parse_cohort
from cohort_store.registry import Registry
from cohort_store.settings import Settings
from processors.embedded.broker import EmbeddedBroker
from processors.embedded.child import ChildProcess
from processors.embedded.view import EmbeddedView
from tests.services import apache_kafka

TOKEN = "phc_muster"
BROKERS = {"tansu": "Tansu (in memory)", "apache": f"Apache Kafka {apache_kafka.VERSION}"}
"""What a measurement may run on, and how its figures name it."""


class Broker(Protocol):
    """A log that runs from entering it to leaving it."""

    @property
    def process(self) -> ChildProcess: ...
    @property
    def bootstrap(self) -> str: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class Bench(NamedTuple):
    """Running parts, and the settings that reach them."""

    folder: Path
    settings: Settings
    environment: dict[str, str]


def broker_argument(parser: argparse.ArgumentParser, default: str = "tansu") -> None:
    """Let a command line name the broker."""
    parser.add_argument("--broker", choices=sorted(BROKERS), default=default, help=f"default: {default}")


def installed_broker() -> str:
    """Apache Kafka where it can be started here, else the embedded one."""
    return "tansu" if apache_kafka.missing() else "apache"


@contextmanager
def broker_of(kind: str, folder: Path) -> Iterator[Broker]:
    """A broker out of BROKERS on the other core, from ready to gone. Exits with the remedy where it cannot start."""
    if kind == "apache" and (why := apache_kafka.missing()):
        raise SystemExit(f"no Apache Kafka: {why}, or name their folder in MUSTER_TEST_KAFKA_JARS")
    broker: Broker = apache_kafka.ApacheKafka(folder / "kafka") if kind == "apache" else EmbeddedBroker(folder)
    with broker:
        pin(broker.process.pid, OTHER_CORE)
        yield broker


@contextmanager
def embedded(settings: Mapping[str, Any], *, broker: str | None = "tansu") -> Iterator[Bench]:
    """Broker (None: none) and view on the other core, in a folder that goes with the block."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="muster-bench-")))
        (folder / "none.toml").touch()
        log = stack.enter_context(broker_of(broker, folder)) if broker else None
        view = stack.enter_context(EmbeddedView(folder))
        pin(view.process.pid, OTHER_CORE)
        chosen = {"redis": view.url, **({"kafka": log.bootstrap} if log else {}), **settings}
        yield Bench(folder, Settings(**chosen), _environment(chosen, folder))


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
