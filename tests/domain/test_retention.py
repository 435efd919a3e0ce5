"""Which conditions keep a record for ever of everybody whom they ever concerned."""

from typing import Any

import pytest

from cohort_store.definitions import parse_cohort, to_plain
from cohort_store.retention import kept_for_ever

BUY = {"event": "buy"}
LOGIN = {"event": "login"}
ENDS: dict[str, dict[str, Any]] = {
    "performed": {"kind": "performed", **BUY, "within": "730d"},
    "count": {"kind": "count", **BUY, "op": "lte", "n": 2, "within": "730d"},
    "stopped": {"kind": "stopped", **BUY, "within": "730d", "recent": "7d"},
    "regularly": {"kind": "regularly", **BUY, "period": "73d", "periods": 10, "min_periods": 3},
    "sequence": {"kind": "sequence", "first": BUY, "then": LOGIN, "then_within": "730d", "within": "730d"},
}
LASTS: dict[str, dict[str, Any]] = {
    "first_time": {"kind": "first_time", **BUY, "within": "1d"},
    "restarted": {"kind": "restarted", **BUY, "within": "2d", "recent": "1d"},
    "performed": {"kind": "performed", **BUY, "since": "2026-01-01T00:00:00Z"},
    "count": {"kind": "count", **BUY, "op": "gte", "n": 2, "since": "2026-01-01T00:00:00Z", "until": "2026-02-01"},
    "person_property": {"kind": "person_property", "property": "plan", "op": "exact", "value": "pro"},
}


def kept(when: dict[str, Any]) -> tuple[str, ...]:
    return kept_for_ever(to_plain(parse_cohort({"key": "a", "when": when}))["when"])


@pytest.mark.parametrize("name", ENDS)
def test_a_rolling_window_keeps_nothing_for_ever(name: str) -> None:
    assert kept(ENDS[name]) == ()


@pytest.mark.parametrize("name", LASTS)
def test_what_can_never_be_forgotten_is_named_by_its_kind(name: str) -> None:
    assert kept(LASTS[name]) == (name,)


def test_kinds_are_named_once_wherever_they_stand_in_the_tree() -> None:
    first, restarted = LASTS["first_time"], LASTS["restarted"]
    tree = {"any": [restarted, {"not": first}, {"all": [first, ENDS["performed"]]}]}
    assert kept(tree) == ("first_time", "restarted")
