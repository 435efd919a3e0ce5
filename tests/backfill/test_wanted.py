"""What is to be filled in."""

from __future__ import annotations

from typing import Any

from cohort_store.compiling import assign
from cohort_store.definitions import parse_cohort
from cohort_store.registry import Registry
from processors.backfill.wanted import wanted

BUYERS: dict[str, Any] = {"key": "buyers", "when": {"kind": "performed", "event": "buy", "within": "1h"}}
PROS: dict[str, Any] = {"key": "plan", "type": "person", "operator": "exact", "value": ["pro"]}
FOR_PROS: dict[str, Any] = {
    "key": "for-pros",
    "active": True,
    "filters": {"groups": [{"properties": [PROS], "rollout_percentage": 100}]},
}


def test_shards_that_lost_everything_get_what_teams_of_flags_alone_keep_too() -> None:
    """Of them the history is never read else; the store lost it all the same, and whose each distinct id is."""
    registry = assign(Registry(), [parse_cohort(BUYERS)], {2: [FOR_PROS]}, applied="test", now=0)
    assert [each.team for each in wanted(registry)] == [1]
    one, two = wanted(registry, all_of_it=True)
    assert (one.team, two.team) == (1, 2)
    assert (two.handles, two.selectors, two.properties) == (frozenset(), {}, frozenset({"plan"}))
    assert not two.asks_nothing
