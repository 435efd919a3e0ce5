"""Real processes, killed with real signals at seeded instants, on a real broker and a real view."""

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from processors.embedded.broker import EmbeddedBroker
from processors.embedded.child import ChildProcess, choose_port
from tests.membership.processes import SECOND, Installation, Life, Proxy
from tests.services import apache_kafka

KILLS = 100 if os.environ.get("MUSTER_TEST_PROFILE") == "long" else 5
MEMBERS = ("membership-a", "membership-b")


class Broker:
    """A broker of this test alone whose clients all come through a proxy."""

    def __init__(self, folder: Path) -> None:
        self.proxy_port = choose_port(None)
        self.process: EmbeddedBroker | apache_kafka.ApacheKafka
        if os.environ.get("MUSTER_TEST_KAFKA", "embedded") == "apache":
            self.process = _AdvertisedKafka(folder, self.proxy_port)
        else:
            self.process = EmbeddedBroker(folder)
            spec = self.process.process.spec
            own, named = f"//127.0.0.1:{self.process.port}", f"//127.0.0.1:{self.proxy_port}"
            command = [c.replace(own, named) if c.startswith("--advertised") else c for c in spec.command]
            self.process.process = ChildProcess(replace(spec, command=command))

    def start(self) -> None:
        self.process.process.start() if isinstance(self.process, EmbeddedBroker) else self.process.start()


class _AdvertisedKafka(apache_kafka.ApacheKafka):
    def __init__(self, folder: Path, named_port: int) -> None:
        super().__init__(folder)
        self._named_port = named_port

    def _properties(self) -> dict[str, object]:
        return super()._properties() | {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{self._named_port}"}


@pytest.fixture
def proxied_broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "broker")
    try:
        broker.start()
        yield broker
    finally:
        broker.process.stop()


class Faults:
    """What befalls the processes, by name. Every choice is the seed's; instants are the machine's too."""

    def __init__(self, installation: Installation, proxy: Proxy, random: Random) -> None:
        self.installation = installation
        self.proxy = proxy
        self.random = random

    async def strike(self, fault: str) -> None:
        random, installation = self.random, self.installation
        await asyncio.sleep(random.uniform(0.2, 1.6))
        if fault == "router":
            installation.kill("router")
            installation.start("router", "router")
        elif fault == "membership":
            name = random.choice(MEMBERS)
            installation.kill(name)
            installation.start(name, "membership")
        elif fault == "connection":
            self.proxy.is_down = True
            self.proxy.cut()
            await asyncio.sleep(random.uniform(0.0, 0.5))
            self.proxy.is_down = False
        else:
            name = random.choice(MEMBERS)
            installation.signal(name, signal.SIGSTOP)
            await asyncio.sleep(random.uniform(1.5, 3.0))
            installation.signal(name, signal.SIGCONT)


@pytest.mark.fault
@pytest.mark.services
@pytest.mark.timeout(300 + 30 * KILLS)
async def test_membership_and_the_change_stream_equal_the_oracle_after_kills_cuts_and_zombies(
    proxied_broker: Broker, view_url: str, tmp_path: Path, seed: int
) -> None:
    proxy = Proxy(proxied_broker.process.port)
    await proxy.start(proxied_broker.proxy_port)
    kafka = f"127.0.0.1:{proxied_broker.proxy_port}"
    async with Installation(tmp_path, kafka, view_url) as installation:
        installation.start("router", "router")
        for name in MEMBERS:
            installation.start(name, "membership")
        await installation.happen("person-000", "buy")
        await installation.settle()
        random = Random(seed)
        life, faults = Life(installation, random), Faults(installation, proxy, random)
        living = asyncio.create_task(life.live())
        names = ["router", "membership", "connection"] * KILLS + ["zombie"] * max(1, KILLS // 5)
        random.shuffle(names)
        for name in names:
            await faults.strike(name)
            assert not living.done()
        life.is_over = True
        await living
        for by_ms in (0, 13 * SECOND, 60 * SECOND):
            installation.clock.set(installation.clock.now_ms() + by_ms)
            await installation.settle()
            await installation.check()
    await proxy.stop()
