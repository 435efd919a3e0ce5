"""docs/access.md says what is so."""

import re
from pathlib import Path

import pytest

from cohort_store.access_keys import KEPT_MS, KEYS_MAX, Right
from cohort_store.settings import Settings
from evaluator.http.routes import ROUTES
from evaluator.limits import BUCKETS_MAX

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "access.md").read_text()
COMMANDS = (ROOT / "docs" / "cli.md").read_text()


@pytest.mark.parametrize("right", Right)
def test_every_route_stands_beside_the_right_that_it_needs(right: Right) -> None:
    (row,) = re.findall(rf"^\| `{right}` \| (.*) \|$", TEXT, re.MULTILINE)
    routes = [f"{route.method} {route.template}" for route in ROUTES if route.right is right]
    assert [route for route in routes if f"`{route}`" not in row] == []


def test_every_route_that_needs_no_right_is_named() -> None:
    (sentence,) = re.findall(r"^(.*) need none", TEXT, re.MULTILINE)
    assert [route.template for route in ROUTES if route.right is None and f"`{route.template}`" not in sentence] == []


@pytest.mark.parametrize("name", sorted(set(re.findall(r"MUSTER_([A-Z_]+)", TEXT))))
def test_a_setting_that_is_named_exists(name: str) -> None:
    assert name.lower() in Settings.model_fields


@pytest.mark.parametrize("command", sorted(set(re.findall(r"muster (keys \w+|audit)", TEXT))))
def test_a_command_that_is_named_exists(command: str) -> None:
    assert f"\n## {command}\n" in COMMANDS


def test_the_bounds_that_are_named_are_those_that_hold() -> None:
    assert f"A team has at most {KEYS_MAX}." in TEXT
    assert f"are kept for {KEPT_MS // 86_400_000} days" in TEXT
    assert f"at most {BUCKETS_MAX:,} addresses" in TEXT
