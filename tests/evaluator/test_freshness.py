"""How good an answer is: the statuses, each at its boundary, and why nothing can be said."""

import re
from typing import Any

import pytest

from cohort_store.durations import parse_instant_ms
from cohort_store.freshness import CohortView, Status, data_age_ms, member_of, status_of, trouble_with, view_of
from cohort_store.ports import Membership
from cohort_store.warming import WarmUp, warm_up_of
from tests.evaluator.building import DAY_MS, NOW_MS, SLEEPERS, cohort_view, membership, registry_of

STALE_AFTER_MS = 3_600_000
Plain = dict[str, Any]
WARM_MS = NOW_MS + DAY_MS


def since(since_ms: int, span_ms: int = 0) -> CohortView:
    return cohort_view(warm_up=WarmUp(span_ms, since_ms))


def filled(span_ms: int = 0, since_ms: int | None = None, *, always: bool = False) -> CohortView:
    return cohort_view(warm_up=WarmUp(span_ms, since_ms, always), backfilled=True)


TABLE: list[tuple[str, CohortView, Membership | None, int, Status]] = [
    ("the store is away", cohort_view(), None, WARM_MS, Status.UNAVAILABLE),
    ("the shard has no position", cohort_view(), membership(ready=None), WARM_MS, Status.UNAVAILABLE),
    ("one version too old", cohort_view(), membership(ready=4), WARM_MS, Status.UNAVAILABLE),
    ("too little is kept", cohort_view(), membership(-cohort_view().handle), WARM_MS, Status.UNAVAILABLE),
    ("too little for another", cohort_view(), membership(-cohort_view().handle - 1), WARM_MS, Status.OK),
    ("just the version", cohort_view(), membership(ready=5), WARM_MS, Status.OK),
    ("a newer version", cohort_view(), membership(ready=6), WARM_MS, Status.OK),
    ("readers from this registry", cohort_view(known_in=7), membership(readers_from=7), WARM_MS, Status.OK),
    ("readers from a later registry", cohort_view(known_in=7), membership(readers_from=8), WARM_MS, Status.UNAVAILABLE),
    ("readers from an earlier registry", cohort_view(known_in=7), membership(readers_from=6), WARM_MS, Status.OK),
    ("no version is active", cohort_view(handle=0, registry_version=0), membership(), WARM_MS, Status.BUILDING),
    ("a window after activation, less 1 ms", cohort_view(), membership(now_ms=WARM_MS - 1), WARM_MS, Status.WARMING),
    ("a window after activation", cohort_view(), membership(now_ms=WARM_MS), WARM_MS, Status.OK),
    ("the shard began later, less 1 ms", cohort_view(), membership(warm_from_ms=NOW_MS + 1), WARM_MS, Status.WARMING),
    (
        "the shard began later",
        cohort_view(),
        membership(warm_from_ms=NOW_MS + 1, now_ms=WARM_MS + 1),
        WARM_MS,
        Status.OK,
    ),
    ("never warm", cohort_view(warm_up=WarmUp(always=True)), membership(now_ms=WARM_MS), WARM_MS, Status.WARMING),
    ("all that there is was filled in", filled(always=True), membership(now_ms=NOW_MS), NOW_MS, Status.OK),
    ("so was what is since before", filled(since_ms=NOW_MS - 1), membership(now_ms=NOW_MS), NOW_MS, Status.OK),
    ("a window beyond all that there is", filled(DAY_MS), membership(now_ms=WARM_MS - 1), WARM_MS, Status.WARMING),
    (
        "filled in, and the shard began anew",
        filled(always=True),
        membership(warm_from_ms=NOW_MS + 1),
        WARM_MS,
        Status.UNAVAILABLE,
    ),
    ("nothing to warm up", cohort_view(warm_up=WarmUp()), membership(now_ms=NOW_MS), NOW_MS, Status.OK),
    ("since before activation", since(NOW_MS - 1), membership(now_ms=WARM_MS), WARM_MS, Status.WARMING),
    ("since activation", since(NOW_MS), membership(now_ms=NOW_MS), NOW_MS, Status.OK),
    ("since later", since(NOW_MS + 1), membership(now_ms=NOW_MS), NOW_MS, Status.OK),
    (
        "since activation, and the shard began later",
        since(NOW_MS),
        membership(warm_from_ms=NOW_MS + 1, now_ms=WARM_MS),
        WARM_MS,
        Status.WARMING,
    ),
    (
        "since activation, beside a window",
        since(NOW_MS, DAY_MS),
        membership(now_ms=WARM_MS - 1),
        WARM_MS,
        Status.WARMING,
    ),
    ("a source was left out", cohort_view(), membership(stale=True), WARM_MS, Status.STALE),
    ("as old as may be", cohort_view(), membership(), WARM_MS + STALE_AFTER_MS, Status.OK),
    ("older than may be", cohort_view(), membership(), WARM_MS + STALE_AFTER_MS + 1, Status.STALE),
    ("stale says more than warming", cohort_view(), membership(now_ms=NOW_MS, stale=True), WARM_MS, Status.STALE),
    (
        "never warm, and older than may be",
        cohort_view(warm_up=WarmUp(always=True)),
        membership(),
        WARM_MS + STALE_AFTER_MS + 1,
        Status.STALE,
    ),
]


@pytest.mark.parametrize(
    ("cohort", "read", "now", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_a_status_says_how_good_the_answer_is(
    cohort: CohortView, read: Membership | None, now: int, expected: Status
) -> None:
    assert status_of(cohort, read, STALE_AFTER_MS, now) is expected
    assert (member_of(cohort, read) is None) is (expected in (Status.UNAVAILABLE, Status.BUILDING))


@pytest.mark.parametrize(
    ("complemented", "stored", "expected"),
    [(False, True, True), (False, False, False), (True, True, False), (True, False, True)],
)
def test_of_a_complemented_cohort_those_stored_are_the_exceptions(
    complemented: bool, stored: bool, expected: bool
) -> None:
    cohort = cohort_view(complemented=complemented)
    assert member_of(cohort, membership(*([cohort.handle] if stored else []))) is expected


@pytest.mark.parametrize(
    ("cohort", "read", "said"),
    [
        (cohort_view(), None, "could not be reached"),
        (cohort_view(), membership(ready=None), "no position"),
        (cohort_view(), membership(ready=4), "registry version 4 and cohort buyers needs 5"),
        (cohort_view(handle=0), membership(), "still being built"),
        (cohort_view(known_in=7), membership(readers_from=9), "registry version 7 is all .* before 9 name"),
        (cohort_view(), membership(-cohort_view().handle), "more events than are kept"),
        (
            cohort_view(backfilled=True),
            membership(warm_from_ms=NOW_MS + 1, now_ms=NOW_MS + 1),
            "is being filled in again",
        ),
    ],
)
def test_it_is_said_why_nothing_can_be_said(cohort: CohortView, read: Membership | None, said: str) -> None:
    assert re.search(said, trouble_with(cohort, read))


def test_data_from_the_future_has_no_age() -> None:
    ages = [data_age_ms(membership(now_ms=NOW_MS), NOW_MS + delta) for delta in (-1, 0, 1)]
    assert ages == [0, 0, 1]


def test_a_view_takes_everything_from_the_active_version() -> None:
    registry = registry_of()
    edited: dict[str, Any] = SLEEPERS | {"when": {"kind": "performed", "event": "open", "within": "2d"}}
    team = registry_of(cohorts=[edited], before=registry, now=NOW_MS + 1).team(1)
    view = view_of(team.cohorts[0], 7)
    active = registry.team(1).cohort("sleepers")
    assert active is not None
    assert active.active is not None
    assert (view.handle, view.number, view.complemented) == (active.active.handle, 1, True)
    assert view.known_in == 7
    assert (view.warm_up, view.activated_ms) == (WarmUp(30 * DAY_MS), NOW_MS)


WEEK: Plain = {"kind": "performed", "event": "a", "within": "7d"}
SINCE_12: Plain = {"kind": "performed", "event": "a", "since": "2026-01-12"}
SINCE_13: Plain = {"kind": "count", "event": "a", "n": 1, "since": "2026-01-13", "until": "2026-02-01"}
PAIR: Plain = {
    "kind": "sequence",
    "first": {"event": "a"},
    "then": {"event": "b"},
    "then_within": "2d",
    "since": "2026-01-12",
}
EVER: Plain = {"kind": "first_time", "event": "a", "since": "2026-01-12"}
MIDNIGHT_MS = parse_instant_ms("2026-01-12")


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (WEEK, WarmUp(7 * DAY_MS)),
        (SINCE_12, WarmUp(since_ms=MIDNIGHT_MS)),
        ({"not": {"any": [SINCE_13, SINCE_12, WEEK]}}, WarmUp(7 * DAY_MS, MIDNIGHT_MS)),
        (PAIR, WarmUp(since_ms=MIDNIGHT_MS)),
        ({"all": [SINCE_13]}, WarmUp(since_ms=MIDNIGHT_MS + DAY_MS)),
        ({"all": [EVER, WEEK]}, WarmUp(7 * DAY_MS, None, always=True)),
    ],
)
def test_a_cohort_warms_by_its_longest_window_and_its_earliest_since(when: Plain, expected: WarmUp) -> None:
    assert warm_up_of(when) == expected
