"""The embedded column: broker, view and history of one data folder, started and ended together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from processors.embedded.broker import EmbeddedBroker
from processors.embedded.history import EmbeddedHistory
from processors.embedded.view import EmbeddedView


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPorts:
    """The parts' loopback ports; None means any free one."""

    kafka: int | None = None
    redis: int | None = None
    clickhouse: int | None = None


class EmbeddedColumn:
    """Broker, view and history, from `start` to `stop`. The view and the history outlive it in `folder`."""

    def __init__(self, folder: Path, ports: PartPorts) -> None:
        self.broker = EmbeddedBroker(folder / "broker", ports.kafka)
        self.view = EmbeddedView(folder / "view", ports.redis)
        self.history = EmbeddedHistory(folder / "history", ports.clickhouse)
        self._parts = (self.broker, self.view, self.history)

    @property
    def addresses(self) -> dict[str, str]:
        """By the names of the settings that take them."""
        return {
            "kafka": self.broker.bootstrap,
            "redis": self.view.url,
            "clickhouse": f"http://{self.history.host}:{self.history.port}",
        }

    def start(self) -> None:
        """Launch all three, then wait for all three. Raises EmbeddedError; what was launched must still be stopped."""
        for part in self._parts:
            part.launch()
        for part in self._parts:
            part.wait_ready()

    def stop(self) -> None:
        """End all three at the same time."""
        with ThreadPoolExecutor(len(self._parts)) as threads:
            for stopped in [threads.submit(part.stop) for part in self._parts]:
                stopped.result()

    def dead(self) -> list[str]:
        """The names of the parts that ended by themselves."""
        return [part.process.spec.name for part in self._parts if part.process.returncode is not None]
