"""The page of guarantees claims nothing that no test proves, and names what is there."""

import re

import pytest

from cohort_store.settings import Settings
from evaluator.metrics import Metrics
from evaluator.reading.breaker import FAILURES_TO_OPEN, PROBE_AFTER_S
from evaluator.reading.coalescing import DEADLINE_S
from evaluator.wiring import SNAPSHOT_FILE
from tests.architecture.source_tree import ROOT

PAGE = (ROOT / "docs" / "guarantees.md").read_text()


def _rows(title: str) -> list[list[str]]:
    section = PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.split(" | ")] for line in lines[2:]]


def test_every_promise_names_a_test_that_exists() -> None:
    written = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    rows = _rows("The promises")
    assert len(rows) >= 15
    for row in rows:
        proofs = re.findall(r"`(test_\w+)`", row[-1])
        assert proofs, row[0]
        assert [proof for proof in proofs if f"def {proof}(" not in written] == []


def test_every_metric_and_setting_that_is_named_exists() -> None:
    named = {name.removesuffix("_total") for name in re.findall(r"`(muster_evaluator_\w+)", PAGE)}
    assert len(named) >= 5
    assert named <= set(Metrics().names())
    settings = {name.lower() for name in re.findall(r"`MUSTER_(\w+)`", PAGE)}
    assert settings <= set(Settings.model_fields)


def test_the_bounds_and_places_that_are_told_are_those_of_the_code() -> None:
    assert f"A read has {DEADLINE_S:g} s" in PAGE
    assert f"every {PROBE_AFTER_S:g} s a probe" in PAGE
    assert FAILURES_TO_OPEN == 3
    assert "After three calls" in PAGE
    assert f"`{SNAPSHOT_FILE}`" in PAGE
    default = Settings.model_fields["evaluator_cache_bytes"].default
    assert f"({default // 2**20} MiB" in PAGE


@pytest.mark.parametrize("policy", ["last_known", "fail_closed", "fail_open"])
def test_every_policy_is_described(policy: str) -> None:
    assert f"| `{policy}`" in PAGE


def test_the_readme_leads_to_the_page() -> None:
    assert "(docs/guarantees.md)" in (ROOT / "README.md").read_text()
