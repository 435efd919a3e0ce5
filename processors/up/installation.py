"""One installation on one data folder: parts, topics and roles, started in order and ended together."""

from __future__ import annotations

import asyncio
import secrets
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cohort_store.access_keys import ALL_RIGHTS, ID_BYTES, SECRET_BYTES, key_text
from cohort_store.kafka.topics import TopicSpec, ensure_topics, muster_topics
from cohort_store.secret_key_file import FILE_NAME, keep_secret_key, read_secret_key
from cohort_store.settings import Settings
from processors.embedded.child import LOOPBACK, ChildSpec, choose_port, exchange
from processors.embedded.errors import PartFailed
from processors.embedded.folder import FolderLock
from processors.own_certificate import context_trusting
from processors.roles import WIRINGS
from processors.up.column import EmbeddedColumn, PartPorts
from processors.up.configuration import CONFIGURATION_FILE, environment_of, write_configuration
from processors.up.supervisor import Supervisor

STOP_DEADLINE_S = 5.0
"""What a role gets to end by itself; everything that it did not commit is read again at the next start."""
BESIDE_LIVE_EVENTS: dict[str, Any] = {"backfill_rows_per_s": 1_000_000}
"""ClickHouse reads with pauses: live events share the processors with it. What is set counts instead."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where one process can be reached, and its log."""

    name: str
    address: str
    log: Path


class Installation:
    """From `start` to `stop`, all by one thread. `settings` are as its roles see them, once it has started.

    `chosen` are settings that stand above the environment and the configuration file.
    """

    def __init__(
        self, folder: Path, ports: PartPorts, chosen: Mapping[str, Any], tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self.folder = folder.resolve()
        self._ports = ports
        self._chosen = dict(chosen)
        self._tell = tell
        self._lock = FolderLock(self.folder)
        self._column: EmbeddedColumn | None = None
        self._supervisor: Supervisor | None = None
        self._metrics: dict[str, int] = {}
        self.settings = Settings(**self._chosen)

    def start(self) -> Self:
        """Start everything; on return the parts answer, and the roles are starting.

        Raises FolderInUse, with the holder's process number, where another one runs on the folder, and
        EmbeddedError where a part does not start; nothing is left running then.
        """
        self._lock.acquire()
        try:
            self._start_parts()
            self._supervisor = Supervisor([self._spec(role) for role in WIRINGS], self._tell)
            self._supervisor.start(time.monotonic())
        except BaseException:
            self.stop()
            raise
        return self

    def tend(self) -> None:
        """Start again what ended by itself. Raises PartFailed where that is one of the parts."""
        if self._column is not None and (dead := self._column.dead()):
            raise PartFailed(f"{' and '.join(dead)} ended by itself; its log is in {self.folder / dead[0]}")
        if self._supervisor is not None:
            self._supervisor.tend(time.monotonic())

    def answers(self) -> bool:
        """Whether every role runs, and those that serve requests answer."""
        return self._supervisor is not None and self._supervisor.ready()

    def stop(self) -> None:
        """End every role, then the parts. Doing it twice is harmless."""
        if self._supervisor is not None:
            self._supervisor.stop()
        if self._column is not None:
            self._column.stop()
            (self.folder / CONFIGURATION_FILE).unlink(missing_ok=True)
        self._lock.release()

    @property
    def secret_key(self) -> str:
        """The owner's key. Raises Crash where its file is gone."""
        return read_secret_key(Path(self.settings.secret_key_file))

    def addresses(self) -> list[Address]:
        """Every process, parts first."""
        logs = self.folder / "logs"
        parts = {"kafka": ("broker", "broker"), "redis": ("view", "view"), "clickhouse": ("history", "history")}
        found = [
            Address(name, getattr(self.settings, setting), self.folder / sub / f"{name}.log")
            for setting, (name, sub) in parts.items()
        ]
        found += (Address(role, self._role_url(role), logs / f"{role}.log") for role in WIRINGS)
        return found

    def _start_parts(self) -> None:
        self._column = EmbeddedColumn(self.folder, self._ports)
        self._column.start()
        self.settings = Settings(
            **{
                **{n: v for n, v in BESIDE_LIVE_EVENTS.items() if n not in self.settings.model_fields_set},
                **self._chosen,
                **self._column.addresses,
                **self._http_ports(),
                "data_dir": str(self.folder),
                "secret_key_file": self._secret_key_file(),
            }
        )
        write_configuration(self.folder, self.settings)
        # The broker of the column is one, whatever is configured for others; and nobody else makes its sources.
        topics = muster_topics(self.settings.partitions)
        sources = set(self.settings.sources) - {topic.name for topic in topics}
        specs = (*topics, *(TopicSpec(name, self.settings.partitions) for name in sorted(sources)))
        asyncio.run(ensure_topics(self.settings.kafka, specs))
        self._metrics = {role: choose_port(None) for role in ("router", "membership", "archive")}

    def _secret_key_file(self) -> str:
        """The file of the owner's key: the one that is set, else one in the folder, made where it has none."""
        if self.settings.secret_key_file:
            return self.settings.secret_key_file
        path = self.folder / FILE_NAME
        fresh = key_text(secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES), ALL_RIGHTS)
        keep_secret_key(path, fresh)
        return str(path)

    def _http_ports(self) -> dict[str, int]:
        """A port that somebody set is taken as it is, or refused; a default one gives way to a free one."""
        ports: dict[str, int] = {}
        for name in ("evaluator_port", "control_port"):
            wanted: int = getattr(self.settings, name)
            if name in self.settings.model_fields_set and wanted:
                ports[name] = choose_port(wanted)
                continue
            try:
                ports[name] = choose_port(wanted or None)
            except PartFailed:
                ports[name] = choose_port(None)
        return ports

    def _role_url(self, role: str) -> str:
        is_secure = role == "evaluator" and self.settings.tls_certificate
        url = f"{'https' if is_secure else 'http'}://{LOOPBACK}:{self._role_port(role)}"
        return f"{url}/metrics" if role in self._metrics else url

    def _role_port(self, role: str) -> int:
        served = {"evaluator": self.settings.evaluator_port, "control": self.settings.control_port}
        return served.get(role) or self._metrics[role]

    def _readiness(self, role: str) -> Callable[[], bool]:
        """Control and evaluator answer requests; what the workers do shows in the shards' positions."""
        if role not in ("control", "evaluator"):
            return _runs
        port, certificate = self._role_port(role), self.settings.tls_certificate
        if role == "evaluator" and certificate:
            return lambda: _answers_tls(port, certificate)
        return lambda: _answers_http(port)

    def _spec(self, role: str) -> ChildSpec:
        environment = environment_of(self.settings) | {
            "MUSTER_CONFIG": str(self.folder / CONFIGURATION_FILE),
            "MUSTER_METRICS_PORT": str(self._metrics.get(role, 0)),
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        }
        return ChildSpec(
            name=role,
            command=[sys.executable, "-m", "processors.cli", role],
            log=self.folder / "logs" / f"{role}.log",
            ready=self._readiness(role),
            environment=environment,
            inherit=[self._lock.fileno()],
            stop_deadline_s=STOP_DEADLINE_S,
        )


def _runs() -> bool:
    return True


def _answers_tls(port: int, certificate: str) -> bool:
    try:
        with (
            socket.create_connection((LOOPBACK, port), timeout=1.0) as connection,
            context_trusting(certificate).wrap_socket(connection),
        ):
            return True
    except OSError:
        return False


def _answers_http(port: int) -> bool:
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    return exchange(port, request).startswith(b"HTTP/1.")
