"""Apache Kafka in KRaft mode as a child process, from jars that Maven fetched."""

import base64
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Self

from processors.embedded.broker import speaks_kafka
from processors.embedded.child import LOOPBACK, ChildProcess, ChildSpec, choose_port

VERSION = "4.3.1"
JARS = Path(
    os.environ.get("MUSTER_TEST_KAFKA_JARS")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "muster" / f"kafka-{VERSION}"
)
READY_DEADLINE_S = 90.0
FORMAT_DEADLINE_S = 60
_HEAP = "-Xmx512m"
_FOR_EVER = 9_223_372_036_854_775_807


def missing() -> str:
    """Why Apache Kafka cannot be started here, empty if it can."""
    if shutil.which("java") is None:
        return "no java on PATH"
    if not any(JARS.glob("kafka_2.13-*.jar")):
        return f"no Kafka jars in {JARS}: .ci/run fetches them"
    return ""


def _cluster_id() -> str:
    """A new one. Kafka's tool would take one that begins with a dash for an option."""
    while (made := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        continue
    return made


class ApacheKafka:
    """One broker that is its own controller; its log keeps whatever simulated time its messages bear.

    With `controller` it is a further broker of that one's cluster. `replication` is what a topic gets by default.
    """

    def __init__(self, folder: Path, *, controller: "ApacheKafka | None" = None, replication: int = 1) -> None:
        self.port = choose_port(None)
        self._controller_port: int = controller._controller_port if controller else choose_port(None)
        self.cluster: str = controller.cluster if controller else _cluster_id()
        self._further = controller is not None
        self._replication = replication
        self._folder = folder
        self._settings = folder / "server.properties"
        self.process = ChildProcess(
            ChildSpec(
                name="Apache Kafka",
                command=["java", _HEAP, "-cp", f"{JARS}/*", "kafka.Kafka", str(self._settings)],
                log=folder / "kafka.log",
                ready=lambda: speaks_kafka(self.port),
                ready_deadline_s=READY_DEADLINE_S,
                stop_deadline_s=30.0,
            )
        )

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._settings.write_text("\n".join(f"{name}={value}" for name, value in self._properties().items()) + "\n")
        self._format()
        self.process.start()

    def stop(self) -> None:
        self.process.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _format(self) -> None:
        tool = ["java", _HEAP, "-cp", f"{JARS}/*", "kafka.tools.StorageTool", "format"]
        subprocess.run(
            [*tool, "-t", self.cluster, "-c", str(self._settings)],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=FORMAT_DEADLINE_S,
        )

    def _properties(self) -> dict[str, object]:
        return {
            "process.roles": "broker" if self._further else "broker,controller",
            "node.id": 2 if self._further else 1,
            "controller.quorum.voters": f"1@{LOOPBACK}:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}"
            + ("" if self._further else f",CONTROLLER://{LOOPBACK}:{self._controller_port}"),
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self._folder / "data",
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1_000,
            "default.replication.factor": self._replication,
            "min.insync.replicas": 1,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            # Simulated time lies months away from the broker's clock, and is no reason to delete or refuse.
            "log.retention.ms": -1,
            "log.message.timestamp.before.max.ms": _FOR_EVER,
            "log.message.timestamp.after.max.ms": _FOR_EVER,
            "log.segment.delete.delay.ms": 1000,
        }
