"""An evaluator whose broker is away, or says nothing: it answers, adds up its counts, and ends in time."""

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cohort_store.registry import Registry
from processors.embedded.child import choose_port
from tests.evaluator.conftest import fill
from tests.evaluator.serving import Evaluator

END_DEADLINE_S = 10.0


@pytest.fixture(params=["refusing", "silent"])
def broker(request: pytest.FixtureRequest) -> Iterator[str]:
    """An address where nobody listens, or where connections are taken and never answered."""
    if request.param == "refusing":
        yield f"127.0.0.1:{choose_port(None)}"
        return
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_flags_are_answered_and_counts_wait_while_the_broker_is_away(
    tmp_path: Path, view_url: str, registry: Registry, broker: str
) -> None:
    asyncio.run(fill(view_url, registry))
    evaluator = Evaluator(tmp_path, view_url, "system", MUSTER_KAFKA=broker, MUSTER_EVALUATIONS_INTERVAL_S="0.1")
    evaluator.process.start()
    try:
        evaluator.until_version(registry.version)
        name = 'muster_evaluator_flag_evaluations_total{flag="off",reason="flag_disabled",team="1",value="false"}'
        for _ in range(3):
            evaluator.flags()
        evaluator.until(lambda: evaluator.metric(name) == 3)
    finally:
        began = time.monotonic()
        evaluator.process.stop()
        evaluator.client.close()
    assert time.monotonic() - began < END_DEADLINE_S
    assert evaluator.process.returncode == 0, evaluator.log.read_text()
    assert evaluator.log.read_text().count("counts of evaluations wait") <= 1
