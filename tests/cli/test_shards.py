"""Commands with another number of shards than the installation has."""

import asyncio
import json

import msgspec
import pytest

from cohort_store.registry import Registry
from processors.cli.application import run
from tests.domain.roll import registry_of
from tests.evaluator.conftest import publish

pytestmark = pytest.mark.services

SHARDS = 4


@pytest.fixture
def registry(view_url: str, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """One cohort, in the view of an installation of SHARDS shards."""
    cohort = {"key": "buyers", "when": {"kind": "performed", "event": "buy", "within": "7d"}}
    made = msgspec.structs.replace(registry_of([cohort]), shards=SHARDS)
    asyncio.run(publish(view_url, made))
    nowhere = {"MUSTER_KAFKA": "127.0.0.1:1", "MUSTER_CLICKHOUSE": "", "MUSTER_CONTROL_PORT": "1"}
    for name, value in (nowhere | {"MUSTER_EVALUATOR_PORT": "1", "MUSTER_REDIS": view_url}).items():
        monkeypatch.setenv(name, value)
    return made


@pytest.mark.parametrize("command", [["who", "buyers"], ["person", "ada"], ["status"]])
@pytest.mark.parametrize("configured", [SHARDS - 1, SHARDS, SHARDS + 1])
def test_a_command_with_another_number_of_shards_is_refused_with_both_figures_and_the_remedy(
    registry: Registry,
    command: list[str],
    configured: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert registry.shards == SHARDS
    monkeypatch.setenv("MUSTER_SHARDS", str(configured))
    status, said = run(command), capsys.readouterr()
    if configured == SHARDS:
        assert (status, said.err) == (0, "")
    else:
        assert (status, said.out) == (1, "")
        assert f"MUSTER_SHARDS is {configured}" in said.err
        assert f"set MUSTER_SHARDS={SHARDS}" in " ".join(said.err.split())


def test_doctor_finds_another_number_of_shards(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSTER_SHARDS", str(SHARDS + 1))
    assert run(["doctor", "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    (shards,) = [finding for finding in findings if finding["part"] == "shards"]
    assert (shards["verdict"], shards["remedy"]) == ("wrong", f"set MUSTER_SHARDS to what it has: {registry.shards}")
    assert shards["detail"] == f"the installation has {SHARDS}, and {SHARDS + 1} are configured"
