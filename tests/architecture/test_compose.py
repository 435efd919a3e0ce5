"""The compose file starts every role on parts that are there, with settings that exist."""

import ast
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from cohort_store.settings import Settings
from processors.roles import WIRINGS
from tests.architecture.source_tree import ROOT, sources

PARTS = {"kafka", "view", "history"}
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ROLES = {name: service for name, service in SERVICES.items() if name not in PARTS}
VARIABLES = {f"MUSTER_{name.upper()}" for name in Settings.model_fields}


def _settings(service: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in service["environment"].items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_there_is_one_service_for_every_role_and_every_part() -> None:
    assert set(SERVICES) == PARTS | set(WIRINGS)
    assert {name: service["command"] for name, service in ROLES.items()} == {name: [name] for name in WIRINGS}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_says_when_it_is_healthy(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= set(check)


@pytest.mark.parametrize("name", ROLES)
def test_a_role_waits_for_healthy_parts_that_exist(name: str) -> None:
    needed = {part: how for part, how in ROLES[name]["depends_on"].items() if part not in ROLES}
    assert {"kafka", "view"} <= set(needed) <= PARTS
    assert all(condition == {"condition": "service_healthy"} for condition in needed.values())


def test_one_role_builds_the_image_and_the_others_wait_for_it_and_look_for_it_nowhere_else() -> None:
    (builder,) = [name for name, service in ROLES.items() if "build" in service]
    assert set(ROLES[builder]["depends_on"]) <= PARTS
    for name in ROLES.keys() - {builder}:
        assert ROLES[name]["depends_on"][builder] == {"condition": "service_started"}
        assert ROLES[name]["pull_policy"] == "never"


@pytest.mark.parametrize("name", ROLES)
def test_every_variable_of_a_role_is_a_setting_and_is_accepted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(ROLES[name]["environment"]) <= VARIABLES
    settings = _settings(ROLES[name], monkeypatch)
    addresses = {
        settings.kafka.partition(":")[0],
        urlsplit(settings.redis).hostname,
        urlsplit(settings.clickhouse).hostname,
    }
    assert addresses == PARTS


def test_every_variable_of_the_image_is_a_setting() -> None:
    assert set(re.findall(r"MUSTER_[A-Z_]+", (ROOT / "Dockerfile").read_text())) <= VARIABLES


def test_health_checks_ask_the_ports_that_the_settings_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {
        name: int(re.findall(r"127\.0\.0\.1:(\d+)", service["healthcheck"]["test"][-1])[0])
        for name, service in ROLES.items()
    }
    settings = _settings(ROLES["router"], monkeypatch)
    worker = dict.fromkeys(("router", "membership", "archive"), settings.metrics_port)
    assert asked == {**worker, "control": settings.control_port, "evaluator": settings.evaluator_port}


@pytest.mark.parametrize("role", ["router", "membership", "archive"])
def test_a_worker_serves_the_metrics_that_its_health_check_asks_for(role: str) -> None:
    wiring = next(source for source in sources() if source.module == WIRINGS[role])
    called = {
        node.func.id for node in ast.walk(wiring.tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "serve_metrics" in called


def test_published_ports_are_loopback_only_and_are_the_defaults_of_the_settings() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    settings = Settings()
    assert published["kafka"] == [f"{settings.kafka}:{settings.kafka.rpartition(':')[2]}"]
    assert published["view"] == [f"127.0.0.1:{urlsplit(settings.redis).port}:6379"]
    assert published["evaluator"] == [f"127.0.0.1:{settings.evaluator_port}:{settings.evaluator_port}"]
    assert published["control"] == [f"127.0.0.1:{settings.control_port}:{settings.control_port}"]


def test_what_is_published_listens_on_more_than_its_own_container(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(ROLES["control"], monkeypatch)
    assert (settings.control_host, settings.evaluator_host) == ("0.0.0.0", "0.0.0.0")


def test_the_view_never_evicts() -> None:
    command = SERVICES["view"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_every_volume_that_is_mounted_is_declared() -> None:
    mounted = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert mounted == set(COMPOSE["volumes"])


def test_the_image_bears_the_version_of_the_distribution() -> None:
    version = re.findall(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert {service["image"] for service in ROLES.values()} == {f"muster-cohorts:{version[0]}"}
