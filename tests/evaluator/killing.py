"""Everything that an evaluator stands on as real processes that can be killed and halted, and a load that goes on."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from cohort_store.kafka import clients
from cohort_store.kafka.registry_topic import KEY
from cohort_store.kafka.topics import REGISTRY, ensure_topics, muster_topics
from cohort_store.registry import Registry, encode_registry
from processors.embedded.broker import EmbeddedBroker
from processors.embedded.child import ChildProcess
from processors.embedded.history import EmbeddedHistory
from processors.embedded.view import EmbeddedView
from tests.evaluator.serving import TOKEN

CONNECTIONS = 4
PARTS = ("redis", "kafka", "clickhouse")


class Surroundings:
    """Redis, Kafka and ClickHouse, each in a process of its own, by these names."""

    def __init__(self, folder: Path) -> None:
        self._view = EmbeddedView(folder / "view")
        self._broker = EmbeddedBroker(folder / "broker")
        self._history = EmbeddedHistory(folder / "history")
        self.settings = {
            "MUSTER_KAFKA": self._broker.bootstrap,
            "MUSTER_CLICKHOUSE": f"http://{self._history.host}:{self._history.port}/default",
        }
        self._parts: dict[str, EmbeddedView | EmbeddedBroker | EmbeddedHistory] = {
            "redis": self._view,
            "kafka": self._broker,
            "clickhouse": self._history,
        }

    @property
    def redis(self) -> str:
        return self._view.url

    def launch(self, names: Sequence[str] = PARTS) -> None:
        for name in names:
            self._parts[name].launch()
        for name in names:
            self._parts[name].wait_ready()

    def kill(self, names: Sequence[str]) -> None:
        """End them at once; what Redis kept stays in its folder, what the broker kept is gone."""
        for name in names:
            self._process(name).kill()
            self._parts[name].stop()

    def halt(self, names: Sequence[str]) -> None:
        """Let them be silent, with their connections open."""
        for name in names:
            os.kill(self._process(name).pid, signal.SIGSTOP)

    def bring_back(self, names: Sequence[str]) -> None:
        """Let those go on that are halted, and start those that are killed, at their old addresses."""
        for name in names:
            if self._process(name).returncode is None:
                os.kill(self._process(name).pid, signal.SIGCONT)
            else:
                self._parts[name].launch()
        for name in names:
            self._parts[name].wait_ready()

    def stop(self) -> None:
        for part in self._parts.values():
            part.stop()

    async def write(self, registry: Registry) -> None:
        """Put the registry into the topic, which is created where it is not there."""
        await ensure_topics(self._broker.bootstrap, [each for each in muster_topics() if each.name == REGISTRY])
        producer = clients.producer(self._broker.bootstrap)
        await producer.start()
        try:
            await producer.send_and_wait(REGISTRY, encode_registry(registry), key=KEY, partition=0)
        finally:
            await producer.stop()

    def _process(self, name: str) -> ChildProcess:
        return self._parts[name].process


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: of whom, when it was sent, how long it took (seconds), its status (0: no answer), and its body."""

    person: str
    at: float
    seconds: float
    status: int
    body: dict[str, Any]

    def value(self, key: str) -> tuple[bool, str]:
        flag = self.body["flags"][key]
        return flag["enabled"], flag["reason"]["code"]


@dataclass
class Load:
    """What was asked so far, by a few connections that never pause."""

    asked: list[Asked] = field(default_factory=list)

    def since(self, at: float) -> list[Asked]:
        return [each for each in self.asked if each.at >= at]

    def until(self, holds: Callable[[Asked], bool], deadline_s: float = 30.0) -> float:
        """Seconds until answers to requests sent from now on are so, each of the newest ones; fails past it."""
        began = time.monotonic()
        while True:
            newest = self.since(began)[-2 * CONNECTIONS :]
            if len(newest) == 2 * CONNECTIONS and all(map(holds, newest)):
                return time.monotonic() - began
            assert time.monotonic() < began + deadline_s, newest[-1:]
            time.sleep(0.02)


@contextmanager
def load_on(url: str, persons: Sequence[str]) -> Iterator[Load]:
    """Ask for all flags of these persons, in turn, until the end."""
    load, ended = Load(), threading.Event()

    def run() -> None:
        asyncio.run(_ask_all(url, persons, load, ended))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield load
    finally:
        ended.set()
        thread.join()


async def _ask_all(url: str, persons: Sequence[str], load: Load, ended: threading.Event) -> None:
    async def ask(first: int) -> None:
        turn = first
        while not ended.is_set():
            person = persons[turn % len(persons)]
            body = {"token": TOKEN, "distinct_id": person}
            turn += CONNECTIONS
            at, status, said = time.monotonic(), 0, {}
            try:
                answer = await client.post("/flags", params={"v": "2"}, json=body)
                status, said = answer.status_code, answer.json()
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            load.asked.append(Asked(person, at, time.monotonic() - at, status, said))
            # A real client is no busy loop; and the machine has others.
            await asyncio.sleep(0.01)

    async with httpx.AsyncClient(base_url=url, timeout=30.0) as client:
        await asyncio.gather(*(ask(number) for number in range(CONNECTIONS)))
