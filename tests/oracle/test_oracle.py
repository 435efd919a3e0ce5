"""The oracle itself: that it stands alone, counts as it says, and names every instant at which it may differ."""

from __future__ import annotations

import ast
from pathlib import Path

from hypothesis import given

from cohort_store.timelines import tag_of
from tests.domain.roll import Roll, plan_of
from tests.domain.strategies import HORIZON, START, Cohorts, cohort_sets, histories
from tests.examples import aside
from tests.oracle.membership import Event, distinct_uuids, is_member, matching, members_at, turning_points

PRODUCT = ("cohort_store", "processors", "evaluator")


def test_the_oracle_imports_nothing_of_the_product() -> None:
    for module in ("membership.py", "operators.py"):
        tree = ast.parse((Path(__file__).parent / module).read_text(encoding="utf-8"))
        named = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        named += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert [name for name in named if name.split(".")[0] in PRODUCT] == []


@aside()
@given(cohort_sets(), histories())
def test_no_answer_changes_between_two_turning_points(cohorts: Cohorts, events: list[Event]) -> None:
    turning = set(turning_points(cohorts, events))
    before = members_at(cohorts, events, START - 1)
    for t in range(START, HORIZON):
        now = members_at(cohorts, events, t)
        assert now == before or t in turning, f"at {t}"
        before = now


def test_two_uuids_of_one_tag_in_one_millisecond_are_one_event_to_product_and_oracle_alike() -> None:
    """The one point where tags tell less than uuids. In two milliseconds they are two again."""
    assert tag_of("plumless") == tag_of("buckeroo")
    leaf = {"kind": "count", "event": "a", "op": "eq", "n": 2, "within": "10ms"}
    cohort = {"key": "c", "when": leaf}
    for later, counted in ((0, 1), (1, 2)):
        events = [Event("plumless", "a", START), Event("buckeroo", "a", START + later)]
        roll = Roll(plan_of([cohort]))
        roll.receive(events, START + later)
        assert len(matching(leaf, events)) == counted
        assert len(distinct_uuids(leaf, events)) == 2
        assert roll.members()["c"] is is_member(cohort, events, START + later) is (counted == 2)
