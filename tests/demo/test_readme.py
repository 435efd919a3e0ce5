"""The README claims nothing that is not there."""

import re
from pathlib import Path

import pytest

from processors.roles import WIRINGS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text()
LINES = TEXT.splitlines()


def section(title: str) -> str:
    return TEXT.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_it_stays_short_and_its_first_command_stands_near_the_top() -> None:
    assert len(LINES) <= 150
    assert next(number for number, line in enumerate(LINES, 1) if line.startswith("$ ")) <= 40


@pytest.mark.parametrize("path", re.findall(r"^\| `([^`]+)` \|", section("Where things are"), re.MULTILINE))
def test_a_place_in_the_code_map_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_package_that_runs_as_a_role_is_in_the_code_map() -> None:
    for wiring in WIRINGS.values():
        assert f"`{wiring.rsplit('.', 1)[0].replace('.', '/')}/`" in section("Where things are")


def test_every_test_that_proves_a_guarantee_exists() -> None:
    proofs = re.findall(r"`(test_\w+)`", section("Guarantees"))
    written = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(proofs) >= 10
    assert [proof for proof in proofs if f"def {proof}(" not in written] == []


def test_every_guarantee_names_when_it_does_not_hold_or_holds_always() -> None:
    rows = [line.split("|")[1:-1] for line in section("Guarantees").splitlines() if line.startswith("| ")][2:]
    for claim, holds, fails, proof in rows:
        assert claim.strip()
        assert "`test_" in proof
        assert fails.strip() or holds.strip() == "always"


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", TEXT))
def test_a_link_leads_to_a_file_of_the_project(target: str) -> None:
    assert (ROOT / target).exists()


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`muster (\w+)`", TEXT))))
def test_a_command_that_is_named_exists(command: str) -> None:
    assert f"\n## {command}\n" in (ROOT / "docs" / "cli.md").read_text()


@pytest.mark.parametrize("setting", sorted(set(re.findall(r"`MUSTER_(\w+)`", TEXT))))
def test_a_setting_that_is_named_exists(setting: str) -> None:
    assert f"\n    {setting.lower()}: " in (ROOT / "cohort_store" / "settings.py").read_text()
