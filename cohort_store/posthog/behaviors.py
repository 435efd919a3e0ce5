"""PostHog's seven behavioral conditions, turned into the kinds of `conditions/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any

from cohort_store.conditions.condition import window_ms_of
from cohort_store.durations import format_instant, parse_duration_ms, parse_instant_ms
from cohort_store.posthog.dates import relative_date
from cohort_store.posthog.events import Action, selection
from cohort_store.posthog.places import Place
from cohort_store.posthog.properties import BOOKS, event_tests

UNITS = {"minute": "m", "hour": "h", "day": "d", "week": "w", "month": "mo", "year": "y"}
_KEYS = (
    *("key", "value", "type", "negation", "event_type", "event_filters", "operator", "operator_value"),
    *("time_value", "time_interval", "seq_event", "seq_event_type", "seq_time_value", "seq_time_interval"),
    *("explicit_datetime", "explicit_datetime_to", "min_periods", "total_periods", *BOOKS),
)
_COUNTS = {"gte": "gte", "gt": "gt", "lte": "lte", "lt": "lt", "eq": "eq", "exact": "eq", "ne": "ne"}
_FOR_NONE_TOO = ("lte", "lt", "ne")
"""Operators that hold for no event at all, which never matches in PostHog."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a leaf may refer to, and the team's zone for times that name none."""

    actions: Mapping[str, Action]
    zone: tzinfo = UTC


def behavior(place: Place, around: Surroundings) -> dict[str, Any]:
    """A leaf of type behavioral as a plain condition, without its `negation`. Raises BadDefinition."""
    place.leave_out(_KEYS)
    return _BEHAVIORS[place.one_of("value", _BEHAVIORS)](place, around)


def _performed(place: Place, around: Surroundings) -> dict[str, Any]:
    return {"kind": "performed", **_filtered(place, around), **_interval(place, around.zone)}


def _first_time(place: Place, around: Surroundings) -> dict[str, Any]:
    return {"kind": "first_time", **_filtered(place, around), **_interval(place, around.zone)}


def _multiple(place: Place, around: Surroundings) -> dict[str, Any]:
    op = _COUNTS[place.one_of("operator", _COUNTS, default="exact")]
    events, interval = _filtered(place, around), _interval(place, around.zone)
    count = {"kind": "count", **events, "op": op, "n": place.positive("operator_value"), **interval}
    if op not in _FOR_NONE_TOO:
        return count
    return {"all": [count, {"kind": "performed", **events, **interval}]}


def _sequence(place: Place, around: Surroundings) -> dict[str, Any]:
    _without_filters(place)
    return {
        "kind": "sequence",
        "first": selection(place, around.actions, ("key", "event_type")),
        "then": selection(place, around.actions, ("seq_event", "seq_event_type")),
        "then_within": _duration(place, "seq_time_value", "seq_time_interval"),
        **_interval(place, around.zone),
    }


def _regularly(place: Place, around: Surroundings) -> dict[str, Any]:
    _without_filters(place)
    if place.get("operator") != "gte":
        place.refuse("operator", f"{str(place.get('operator'))[:40]!r} does not go with regularly; use gte")
    enough, periods = place.positive("min_periods"), place.positive("total_periods")
    if enough > periods:
        place.refuse("min_periods", f"{enough} is more than the total_periods, {periods}; lower it")
    period = _duration(place, "time_value", "time_interval")
    _without_explicit(place)
    return {
        "kind": "regularly",
        **selection(place, around.actions, ("key", "event_type")),
        "period": period,
        "periods": periods,
        "min_periods": enough,
        "times": place.positive("operator_value"),
    }


def _stopped(place: Place, around: Surroundings) -> dict[str, Any]:
    return {"kind": "stopped", **_lapsing(place, around)}


def _restarted(place: Place, around: Surroundings) -> dict[str, Any]:
    if place.has("event_filters"):
        place.note("event_filters", "these filters count here; PostHog passes over them in restarted_performing_event")
    return {"kind": "restarted", **_lapsing(place, around)}


def _lapsing(place: Place, around: Surroundings) -> dict[str, Any]:
    window = _duration(place, "time_value", "time_interval")
    recent = _duration(place, "seq_time_value", "seq_time_interval")
    if parse_duration_ms(recent) >= parse_duration_ms(window):
        place.refuse("seq_time_value", f"{recent} is not shorter than the time_value, {window}; shorten it")
    _without_explicit(place)
    return {**_filtered(place, around), "within": window, "recent": recent}


_BEHAVIORS: dict[str, Callable[[Place, Surroundings], dict[str, Any]]] = {
    "performed_event": _performed,
    "performed_event_multiple": _multiple,
    "performed_event_first_time": _first_time,
    "performed_event_sequence": _sequence,
    "performed_event_regularly": _regularly,
    "stopped_performing_event": _stopped,
    "restarted_performing_event": _restarted,
}


def _filtered(place: Place, around: Surroundings) -> dict[str, Any]:
    tests = event_tests(place.children("event_filters"))
    return selection(place, around.actions, ("key", "event_type"), tests)


def _without_filters(place: Place) -> None:
    if place.has("event_filters"):
        place.note("event_filters", "left out: PostHog passes over these filters in this kind of condition")


def _without_explicit(place: Place) -> None:
    if place.has("explicit_datetime"):
        place.note("explicit_datetime", "left out: PostHog passes over it in this kind of condition")


def _duration(place: Place, value_key: str, unit_key: str) -> str:
    """`30d` from a value and a unit."""
    duration = f"{place.positive(value_key)}{UNITS[place.one_of(unit_key, UNITS)]}"
    try:
        window_ms_of(duration)
    except ValueError as error:
        place.refuse(value_key, str(error))
    return duration


def _interval(place: Place, zone: tzinfo) -> dict[str, Any]:
    """`within`, or `since` with an `until`. An explicit time comes before time_value, as in PostHog."""
    since, until = place.get("explicit_datetime"), place.get("explicit_datetime_to")
    if not since:
        if until:
            place.refuse(
                "explicit_datetime_to", "an end without a beginning; give explicit_datetime too, or leave it out"
            )
        return {"within": _duration(place, "time_value", "time_interval")}
    rolling = relative_date(since)
    if rolling is not None:
        return _rolling(place, rolling.removeprefix("-"), until)
    since_ms = _instant(place, "explicit_datetime", zone)
    if not until:
        return {"since": format_instant(since_ms)}
    until_ms = _instant(place, "explicit_datetime_to", zone)
    if until_ms < since_ms:
        place.refuse("explicit_datetime_to", f"{until} lies before explicit_datetime {since}; exchange them")
    return {"since": format_instant(since_ms), "until": format_instant(until_ms)}


def _rolling(place: Place, window: str, until: Any) -> dict[str, Any]:
    if until:
        place.refuse("explicit_datetime_to", "a rolling window ends now; leave the end out, or give fixed times")
    try:
        window_ms_of(window)
    except ValueError as error:
        place.refuse("explicit_datetime", str(error))
    return {"within": window}


def _instant(place: Place, key: str, zone: tzinfo) -> int:
    text = place.get(key)
    if relative_date(text) is not None:
        place.refuse(key, f"{text} rolls and explicit_datetime stands still; give two fixed times")
    try:
        return parse_instant_ms(str(text), zone)
    except ValueError as error:
        place.refuse(key, str(error))
