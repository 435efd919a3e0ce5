"""A real evaluator in a process of its own, on a free port, with what it is asked over HTTP."""

import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from processors.embedded.child import LOOPBACK, ChildProcess, ChildSpec, choose_port
from tests.architecture.source_tree import ROOT
from tests.evaluator.building import SHARDS

TOKEN = "phc_test"
SECRET = "mus_0123456789_the-key-of-the-evaluators-tests-000000000000"
"""The owner's key: every right for team 1."""
BEARER = {"Authorization": f"Bearer {SECRET}"}
DEADLINE_S = 30.0
NO_BROKER = f"{LOOPBACK}:1"
"""An address at which nothing listens: whoever wants Kafka names a broker."""
NONE_SET: Mapping[str, str] = {}
_POLL_S = 0.02
_PROGRAM = "from cohort_store.settings import Settings; from evaluator.wiring import run; run(Settings())"


class Evaluator:
    """One evaluator, from `start` to `stop`."""

    def __init__(
        self,
        folder: Path,
        redis_url: str,
        clock: str,
        port: int | None = None,
        *,
        settings: Mapping[str, str] = NONE_SET,
        trusting: Path | None = None,
        **variables: str,
    ) -> None:
        """`settings` and `variables` are further environment variables."""
        folder.mkdir(exist_ok=True)
        (folder / "secret-key").write_text(SECRET)
        self.port = port or choose_port(None)
        self.url = f"{'https' if trusting else 'http'}://{LOOPBACK}:{self.port}"
        self.log = folder / "evaluator.log"
        trust = ssl.create_default_context(cafile=trusting) if trusting else True
        self.client = httpx.Client(base_url=self.url, timeout=DEADLINE_S, verify=trust)
        self.process = ChildProcess(
            ChildSpec(
                name="evaluator",
                command=[sys.executable, "-c", _PROGRAM],
                log=self.log,
                ready=self._alive,
                environment={
                    "PYTHONPATH": str(ROOT),
                    "MUSTER_REDIS": redis_url,
                    "MUSTER_SHARDS": str(SHARDS),
                    "MUSTER_EVALUATOR_PORT": str(self.port),
                    "MUSTER_TOKENS": f'{{"{TOKEN}": 1, "phc_other": 2}}',
                    "MUSTER_CLOCK": clock,
                    "MUSTER_SECRET_KEY_FILE": str(folder / "secret-key"),
                    "MUSTER_KAFKA": NO_BROKER,
                    "MUSTER_DATA_DIR": str(folder),
                    **settings,
                    **variables,
                },
            )
        )

    def flags(self, distinct_id: str = "ada", *, params: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
        """The answer of POST /flags, which must be 200."""
        body = {"token": TOKEN, "distinct_id": distinct_id, **fields}
        return self._json(self.client.post("/flags", params={"v": "2", **(params or {})}, json=body))

    def get(self, path: str, **params: str) -> dict[str, Any]:
        """The answer of a management request, which must be 200."""
        return self._json(self.client.get(path, params=params, headers=BEARER))

    def metric(self, name: str) -> float:
        """A metric's value, 0 before it is first told."""
        lines = self.client.get("/metrics").text.splitlines()
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name} ")), 0.0)

    def until(self, holds: Callable[[], bool]) -> None:
        """Ask again until it holds; an AssertionError with the log after the deadline."""
        deadline = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(_POLL_S)

    def until_version(self, version: int) -> None:
        """Return when that registry version is in force."""
        self.until(lambda: self.client.get("/ready").json()["registry_version"] == version)

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def _alive(self) -> bool:
        try:
            return self.client.get("/health").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def serving(
    folder: Path,
    redis_url: str,
    clock: str = "system",
    *,
    settings: Mapping[str, str] = NONE_SET,
    trusting: Path | None = None,
) -> Iterator[Evaluator]:
    """A running evaluator, which must end by itself when it is asked to.

    `settings` are environment variables; `trusting` is the certificate by which it is asked, where it speaks TLS.
    """
    evaluator = Evaluator(folder, redis_url, clock, settings=settings, trusting=trusting)
    evaluator.process.start()
    try:
        yield evaluator
    finally:
        evaluator.process.stop()
        evaluator.client.close()
    assert evaluator.process.returncode == 0, evaluator.log.read_text()
