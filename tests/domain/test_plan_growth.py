"""A new version of whose events nothing was kept so far changes no record; everything else is looked at again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from cohort_store.compiling import activate, assign, drop_retired
from cohort_store.definitions import parse_cohort
from cohort_store.folding import advance
from cohort_store.plan_growth import leaves_records_alone
from cohort_store.plans import Plan, compile_plan
from cohort_store.registry import Registry
from tests.domain.roll import Roll, registry_of
from tests.domain.strategies import Cohorts, cohort_sets, histories, times
from tests.oracle.membership import Event

BUYERS = {"key": "buyers", "when": {"kind": "performed", "event": "buy", "within": "1h"}}
VIEWERS = {"key": "viewers", "when": {"kind": "count", "event": "view", "op": "gte", "n": 2, "within": "1h"}}
PAYERS = {"key": "payers", "when": {"kind": "performed", "event": "buy", "within": "2h"}}
NO_VIEWERS = {"key": "no-viewers", "when": {"not": VIEWERS["when"]}}
BUYING_VIEWERS = {"key": "buying-viewers", "when": {"all": [BUYERS["when"], VIEWERS["when"]]}}
PROS = {"key": "pros", "when": {"kind": "person_property", "property": "plan", "op": "exact", "value": "pro"}}
UNLISTED = {**BUYERS, "listed": False}


def _plans(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> tuple[Plan, Plan]:
    registry = registry_of(before)
    return compile_plan(registry), compile_plan(registry_of(after, registry))


@pytest.mark.parametrize(
    ("added", "alone"),
    [
        (VIEWERS, True),
        (PAYERS, False),
        (NO_VIEWERS, False),
        (BUYING_VIEWERS, False),
        (PROS, False),
    ],
    ids=lambda value: value["key"] if isinstance(value, dict) else str(value),
)
def test_a_new_cohort_leaves_records_alone_if_it_is_of_events_that_were_not_kept(
    added: dict[str, Any], alone: bool
) -> None:
    assert leaves_records_alone(*_plans([BUYERS], [BUYERS, added])) is alone


def test_nothing_new_leaves_records_alone() -> None:
    assert leaves_records_alone(*_plans([BUYERS], [BUYERS]))


def test_a_cohort_that_goes_is_no_longer_listed_or_is_edited_is_looked_at() -> None:
    assert not leaves_records_alone(*_plans([BUYERS, VIEWERS], [BUYERS]))
    assert not leaves_records_alone(*_plans([BUYERS], [UNLISTED]))
    assert not leaves_records_alone(*_plans([BUYERS], [{**BUYERS, "when": VIEWERS["when"]}]))


def test_a_version_that_takes_over_or_is_dropped_is_looked_at() -> None:
    edited = registry_of([{**BUYERS, "when": PAYERS["when"]}], registry_of([BUYERS]))
    active = activate(edited, edited.version)
    dropped = drop_retired(active, active.version)
    assert dropped.version > active.version > edited.version
    assert not leaves_records_alone(compile_plan(edited), compile_plan(active))
    assert not leaves_records_alone(compile_plan(active), compile_plan(dropped))


def test_another_teams_cohorts_are_its_own() -> None:
    theirs = {**BUYERS, "team": 2}
    before = assign(Registry(), [parse_cohort(BUYERS)], {}, applied="a", now=0)
    after = assign(before, [parse_cohort(each) for each in (BUYERS, theirs)], {}, applied="b", now=0)
    assert leaves_records_alone(compile_plan(before), compile_plan(after))


_added = st.lists(
    st.sampled_from([{"event": "a"}, {"event": "b"}, {"event": "new"}, {"event": "newer"}]).flatmap(
        lambda which: st.sampled_from(
            [
                {"kind": "performed", **which, "within": "5ms"},
                {"kind": "count", **which, "op": "gte", "n": 2, "within": "5ms"},
                {"kind": "count", **which, "op": "lt", "n": 2, "within": "5ms"},
                {"not": {"kind": "performed", **which, "within": "5ms"}},
                {"any": [{"kind": "performed", **which, "within": w} for w in ("5ms", "2ms")]},
            ]
        )
    ),
    min_size=1,
    max_size=2,
)


@given(cohort_sets(), _added, histories(), times)
def test_where_records_are_left_alone_they_are_as_the_new_plan_would_have_them(
    cohorts: Cohorts, added: list[dict[str, Any]], events: list[Event], now: int
) -> None:
    registry = registry_of(cohorts)
    more = [{"key": f"added-{number}", "when": when} for number, when in enumerate(added)]
    before, after = compile_plan(registry), compile_plan(registry_of([*cohorts, *more], registry))
    alone = leaves_records_alone(before, after)
    event(f"left alone: {alone}")
    roll = Roll(before.team(1))
    roll.receive(events, now)
    roll.advance(now)
    seen = advance(roll.record, after.team(1), now)
    if alone:
        assert (seen.record, seen.due_ms) == (roll.record, roll.due_ms)
        assert not seen.joined
        assert not seen.departed
