"""PostHog's behavioral leaves, and what each becomes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.posthog.building import PERFORMED, read, when_of

OF_BUY = {"kind": "performed", "event": "buy", "within": "30d"}
ACTIONS = [
    {
        "id": 5,
        "name": "Checkout",
        "steps": [
            {"event": "pay", "properties": [{"key": "amount", "type": "event", "operator": "gt", "value": "5"}]},
            {"event": None, "url": "/thanks?", "url_matching": "contains"},
            {"event": "$pageview", "url": "https://shop.test/", "url_matching": "exact"},
            {"event": "$pageview", "url": "^/a", "url_matching": "regex", "selector": None, "text": ""},
        ],
    },
    {"id": 6, "steps": [{"event": "call"}]},
]


def leaf(value: str, **more: Any) -> dict[str, Any]:
    return {**PERFORMED, "value": value, **more}


@pytest.mark.parametrize(
    ("unit", "count", "expected"),
    [
        ("minute", 15, "15m"),
        ("hour", "24", "24h"),
        ("day", 30, "30d"),
        ("week", "2", "2w"),
        ("month", 3, "3mo"),
        ("year", 1, "1y"),
    ],
)
def test_a_window_is_a_number_and_a_unit(unit: str, count: Any, expected: str) -> None:
    made = when_of({**PERFORMED, "time_value": count, "time_interval": unit})
    assert made == {**OF_BUY, "within": expected}


def test_event_filters_become_tests_on_the_events_properties() -> None:
    filters = [
        {"key": "price", "type": "event", "operator": "gte", "value": "5"},
        {"key": "plan", "value": ["pro"]},
        {"key": "note", "type": "event", "operator": "is_set", "value": "is_set"},
        {"key": "app", "type": "event", "operator": "semver_gt", "value": "v1.2"},
    ]
    assert when_of({**PERFORMED, "event_filters": filters})["where"] == [
        {"property": "price", "op": "gte", "value": "5"},
        {"property": "plan", "value": "pro"},
        {"property": "note", "op": "is_set"},
        {"property": "app", "op": "semver_gt", "value": "1.2.0"},
    ]


@pytest.mark.parametrize(("operator", "op"), [("gte", None), ("gt", "gt"), ("eq", "eq"), ("exact", "eq"), (None, "eq")])
def test_so_many_times_is_a_count(operator: str | None, op: str | None) -> None:
    made = when_of(leaf("performed_event_multiple", operator=operator, operator_value="3"))
    assert made == {"kind": "count", "event": "buy", "n": 3, "within": "30d", **({"op": op} if op else {})}


@pytest.mark.parametrize("operator", ["lte", "lt", "ne"])
def test_few_times_asks_for_one_event_too_since_none_never_matches_in_posthog(operator: str) -> None:
    made = when_of(leaf("performed_event_multiple", operator=operator, operator_value=3))
    count = {"kind": "count", "event": "buy", "op": operator, "n": 3, "within": "30d"}
    assert made == {"all": [count, OF_BUY]}


def test_the_first_time_regularly_stopped_and_restarted_have_kinds_of_their_own() -> None:
    lapsing = {"time_value": "90", "seq_time_value": "2", "seq_time_interval": "week"}
    assert when_of(leaf("performed_event_first_time")) == {**OF_BUY, "kind": "first_time"}
    assert when_of(leaf("stopped_performing_event", **lapsing)) == {
        "kind": "stopped", "event": "buy", "within": "90d", "recent": "2w",
    }  # fmt: skip
    assert when_of(leaf("restarted_performing_event", **lapsing))["kind"] == "restarted"
    regularly = leaf(
        "performed_event_regularly", operator="gte", operator_value="2", time_value="1", time_interval="week",
        min_periods="3", total_periods="4",
    )  # fmt: skip
    assert when_of(regularly) == {
        "kind": "regularly", "event": "buy", "period": "1w", "periods": 4, "min_periods": 3, "times": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("since", "until", "zone", "expected"),
    [
        ("-1w", None, None, {"within": "1w"}),
        ("-3m", None, None, {"within": "3mo"}),
        ("30d", None, None, {"within": "30d"}),
        ("2026-01-12T12:00:00Z", None, "Europe/Berlin", {"since": "2026-01-12T12:00:00.000Z"}),
        ("2026-01-12T12:00:00", None, None, {"since": "2026-01-12T12:00:00.000Z"}),
        ("2026-01-12T12:00:00", None, "Europe/Berlin", {"since": "2026-01-12T11:00:00.000Z"}),
        ("2026-07-12 12:00:00", None, "Europe/Berlin", {"since": "2026-07-12T10:00:00.000Z"}),
        (
            "2026-01-12", "2026-01-31", "America/New_York",
            {"since": "2026-01-12T05:00:00.000Z", "until": "2026-01-31T05:00:00.000Z"},
        ),
    ],
)  # fmt: skip
def test_an_explicit_time_comes_before_time_value_and_is_in_the_teams_zone(
    since: str, until: str | None, zone: str | None, expected: dict[str, str]
) -> None:
    explicit = {"explicit_datetime": since, "explicit_datetime_to": until}
    made = when_of({**PERFORMED, **explicit}, team={"timezone": zone})
    assert made == {"kind": "performed", "event": "buy", **expected}


def test_an_action_is_any_of_its_steps_and_a_filter_of_the_leaf_is_asked_of_each() -> None:
    filters = [{"key": "plan", "type": "event", "value": "pro"}]
    made = when_of({**PERFORMED, "event_type": "actions", "key": 5, "event_filters": filters}, actions=ACTIONS)
    of_plan = {"property": "plan", "value": "pro"}
    assert made["any_of"] == [
        {"event": "pay", "where": [{"property": "amount", "op": "gt", "value": "5"}, of_plan]},
        {"event": "any", "where": [{"property": "$current_url", "op": "regex", "value": r"/thanks\?"}, of_plan]},
        {"event": "$pageview", "where": [{"property": "$current_url", "value": "https://shop.test/"}, of_plan]},
        {"event": "$pageview", "where": [{"property": "$current_url", "op": "regex", "value": "^/a"}, of_plan]},
    ]


def test_an_action_of_one_step_is_that_event_and_may_come_in_a_file_of_its_own() -> None:
    asking = {**PERFORMED, "event_type": "actions", "key": "6"}
    assert when_of(asking, actions=ACTIONS) == {**OF_BUY, "event": "call"}
    made = read({"cohorts": [{"id": 7, "filters": {"properties": asking}}]}, ACTIONS)
    assert len(made.cohorts) == 1


def test_no_key_means_every_event() -> None:
    assert when_of({**PERFORMED, "key": None}) == {**OF_BUY, "event": "any"}


def test_filters_that_posthog_passes_over_are_left_out_with_a_warning() -> None:
    regularly = leaf(
        "performed_event_regularly", operator="gte", operator_value=1, min_periods=1, total_periods=2,
        event_filters=[{"key": "p", "value": 1}],
    )  # fmt: skip
    made = read({"id": 7, "filters": {"properties": {"type": "AND", "values": [regularly]}}})
    assert any("values[0].event_filters: left out" in warning for warning in made.warnings)
    (cohort,) = made.cohorts.values()
    assert not getattr(cohort.when, "where")  # noqa: B009 - the tree is of any kind


def sequence(**more: Any) -> dict[str, Any]:
    following = {"seq_event": "pay", "seq_event_type": "events", "seq_time_value": "2", "seq_time_interval": "day"}
    return leaf("performed_event_sequence", **{**following, **more})


def test_one_event_and_then_another_is_a_sequence_of_events_or_actions() -> None:
    expected = {
        "kind": "sequence", "first": {"event": "buy"}, "then": {"event": "pay"}, "then_within": "2d", "within": "30d",
    }  # fmt: skip
    assert when_of(sequence()) == expected
    made = when_of(sequence(seq_event=6, seq_event_type="actions", explicit_datetime="2026-01-12"), actions=ACTIONS)
    del expected["within"]
    assert made == {**expected, "then": {"event": "call"}, "since": "2026-01-12T00:00:00.000Z"}


def test_event_filters_of_a_sequence_are_left_out_with_a_warning_as_posthog_does() -> None:
    made = read({"id": 7, "filters": {"properties": sequence(event_filters=[{"key": "p", "value": 1}])}})
    assert next(warning.partition(": ")[2] for warning in made.warnings).startswith(
        "filters.properties.event_filters: left out"
    )
    (cohort,) = made.cohorts.values()
    assert "where" not in str(cohort.when.model_dump(exclude_defaults=True))
