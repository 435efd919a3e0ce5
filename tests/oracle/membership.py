"""Who is in a cohort, by reading her whole history anew for every question.

The oracle imports nothing of the product and keeps nothing of a person between questions: it takes a definition in its
plain, readable form, the raw events of one person, and an instant, and applies the meaning of each condition
word by word. It is slow, and meant to be.

**Identity of events.** An event is known by its time and its tag, the crc32 of its uuid as lower-case text. So

* the same event sent twice is one, whatever the case of its uuid;
* two events in one millisecond are two;
* the same uuid at another time is another event;
* two different uuids in the same millisecond with the same crc32 are one. That is the single point where tags tell
  less than uuids: among k events of one millisecond it happens once in 2³² / (k(k − 1) / 2) times. The oracle counts as
  the product promises to, by tag; `distinct_uuids` counts by uuid, for a test that wants to see the difference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple
from zlib import crc32

from tests.oracle.operators import instant, number, passes, text

Plain = Mapping[str, Any]
"""A definition, or a part of one, as plain JSON."""

UNIT_MS = {
    "ms": 1,
    "s": 1000,
    "m": 60 * 1000,
    "h": 60 * 60 * 1000,
    "d": 24 * 60 * 60 * 1000,
    "w": 7 * 24 * 60 * 60 * 1000,
    "mo": 30 * 24 * 60 * 60 * 1000,
    "y": 365 * 24 * 60 * 60 * 1000,
}


class Event(NamedTuple):
    """One raw event of the person in question."""

    uuid: str
    event: str
    time_ms: int
    properties: Plain = MappingProxyType({})

    @property
    def tag(self) -> int:
        return crc32(self.uuid.lower().encode())


def is_member(cohort: Plain, events: Iterable[Event], t: int, cohorts: Sequence[Plain] = ()) -> bool:
    """Whether the person with these events is in the cohort at the instant t. `cohorts` are those it may refer to."""
    return _holds(cohort["when"], list(events), t, {other["key"]: other for other in (*cohorts, cohort)})


def members_at(cohorts: Sequence[Plain], events: Iterable[Event], t: int) -> dict[str, bool]:
    """For each cohort, by key, whether the person is in it at t."""
    history = list(events)
    return {cohort["key"]: is_member(cohort, history, t, cohorts) for cohort in cohorts}


def turning_points(cohorts: Sequence[Plain], events: Sequence[Event]) -> list[int]:
    """Every instant at which any answer may differ from the millisecond before, sorted."""
    times = [event.time_ms for event in events]
    lengths = {0}
    absolute: set[int] = set()
    for cohort in cohorts:
        for leaf in _leaves(cohort["when"]):
            lengths.update(duration_ms(leaf[span]) for span in ("within", "recent") if leaf.get(span))
            if leaf["kind"] == "person_property":
                absolute.update(_flips(leaf, events))
            if "period" in leaf:
                lengths.update(duration_ms(leaf["period"]) * number for number in range(1, leaf["periods"] + 1))
            absolute.update(instant_ms(leaf[bound]) for bound in ("since", "until") if leaf.get(bound))
    return sorted({time + length for time in times for length in lengths} | absolute)


def _flips(leaf: Plain, events: Iterable[Event]) -> Iterator[int]:
    """The instants around which a date of the person lies as far back as the leaf says."""
    date = instant(_present_value(leaf["property"], events))
    wanted = leaf.get("value")
    if date is not None and isinstance(wanted, str) and wanted.startswith("-"):
        yield from (date + duration_ms(wanted[1:]), date + duration_ms(wanted[1:]) + 1)


def matching(leaf: Plain, events: Iterable[Event]) -> set[tuple[int, int]]:
    """(time, tag) of each event that the leaf's selector matches: a set, since equal ones are the same event."""
    return {(event.time_ms, event.tag) for event in events if _selects(leaf, event)}


def distinct_uuids(leaf: Plain, events: Iterable[Event]) -> set[tuple[int, str]]:
    """As `matching`, but known by uuid."""
    return {(event.time_ms, event.uuid.lower()) for event in events if _selects(leaf, event)}


@lru_cache
def duration_ms(text: str) -> int:
    """`1d12h` in milliseconds."""
    return sum(UNIT_MS[unit] * int(number) for number, unit in re.findall(r"(\d+)([a-z]+)", text))


@lru_cache
def instant_ms(text: str) -> int:
    """ISO 8601 in milliseconds since 1970, UTC where it names no zone, floored."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    since_epoch = when - datetime(1970, 1, 1, tzinfo=UTC)
    return since_epoch.days * 86_400_000 + since_epoch.seconds * 1000 + since_epoch.microseconds // 1000


def _holds(node: Plain, events: list[Event], t: int, cohorts: Mapping[str, Plain]) -> bool:
    if "all" in node:
        return False not in [_holds(child, events, t, cohorts) for child in node["all"]]
    if "any" in node:
        return True in [_holds(child, events, t, cohorts) for child in node["any"]]
    if "not" in node:
        return _holds(node["not"], events, t, cohorts) is False
    if node["kind"] == "in_cohort":
        return _holds(cohorts[node["cohort"]]["when"], events, t, cohorts)
    return _MEANINGS[node["kind"]](node, events, t)


def _performed(leaf: Plain, events: list[Event], t: int) -> bool:
    return any(_is_inside(leaf, time, t) for time, _ in matching(leaf, events))


def _count(leaf: Plain, events: list[Event], t: int) -> bool:
    found = len([each for each in matching(leaf, events) if _is_inside(leaf, each[0], t)])
    return _compares(found, leaf.get("op", "gte"), leaf["n"])


def _first_time(leaf: Plain, events: list[Event], t: int) -> bool:
    named = [event.time_ms for event in events if event.time_ms <= t and _selects(_without_tests(leaf), event)]
    if not named or not _is_inside(leaf, min(named), t):
        return False
    return any(event.time_ms == min(named) and _selects(leaf, event) for event in events)


def _stopped(leaf: Plain, events: list[Event], t: int) -> bool:
    window, recent = duration_ms(leaf["within"]), duration_ms(leaf["recent"])
    times = [time for time, _ in matching(leaf, events)]
    before = [time for time in times if t - window < time <= t - recent]
    lately = [time for time in times if t - recent < time <= t]
    return bool(before) and not lately


def _restarted(leaf: Plain, events: list[Event], t: int) -> bool:
    window, recent = duration_ms(leaf["within"]), duration_ms(leaf["recent"])
    times = [time for time, _ in matching(leaf, events)]
    long_ago = [time for time in times if time <= t - window]
    pause = [time for time in times if t - window < time <= t - recent]
    lately = [time for time in times if t - recent < time <= t]
    return bool(long_ago) and not pause and bool(lately)


def _sequence(leaf: Plain, events: list[Event], t: int) -> bool:
    span = duration_ms(leaf["then_within"])
    thens = [time for time, _ in matching(leaf["then"], events)]
    for first, _ in matching(leaf["first"], events):
        if _is_inside(leaf, first, t) and [then for then in thens if first < then <= first + span and then <= t]:
            return True
    return False


def _regularly(leaf: Plain, events: list[Event], t: int) -> bool:
    period = duration_ms(leaf["period"])
    times = [time for time, _ in matching(leaf, events)]
    enough = 0
    for ago in range(leaf["periods"]):
        begin, end = t - (ago + 1) * period, t - ago * period
        if len([time for time in times if begin < time <= end]) >= leaf.get("times", 1):
            enough += 1
    return enough >= int(leaf["min_periods"])


def _person_property(leaf: Plain, events: list[Event], t: int) -> bool:
    """Asked of everything that is known of the person, what is dated later than t included."""
    return passes(leaf, {leaf["property"]: _present_value(leaf["property"], events)}, t)


def _present_value(name: str, events: Iterable[Event]) -> Any:
    """The latest `$set` or `$unset`, of two in one millisecond the greater JSON text; else the earliest `$set_once`."""
    said: list[tuple[int, str]] = []
    for event in events:
        if name in event.properties.get("$unset", ()):
            said.append((event.time_ms, "null"))
        elif name in event.properties.get("$set", {}):
            said.append((event.time_ms, json.dumps(event.properties["$set"][name], separators=(",", ":"))))
        if name in event.properties.get("$set_once", {}):
            said.append((-event.time_ms, json.dumps(event.properties["$set_once"][name], separators=(",", ":"))))
    return json.loads(max(said)[1]) if said else None


def _aggregate(leaf: Plain, events: list[Event], t: int) -> bool:
    """An event is known by its time, its tag and the value: of the same uuid at the same time there is one value."""
    inside = [event for event in events if _is_inside(leaf, event.time_ms, t) and _selects(leaf, event)]
    present = [event for event in inside if event.properties.get(leaf["property"]) is not None]
    if leaf["fn"] == "distinct":
        return _compares(
            len({text(event.properties[leaf["property"]]) for event in present}), leaf.get("op", "gte"), leaf["value"]
        )
    counted = {(event.time_ms, event.tag, millionths(event.properties[leaf["property"]])) for event in present}
    values = [value for _, _, value in counted if value is not None and not (leaf.get("non_negative") and value < 0)]
    threshold = millionths(leaf["value"]) or 0
    if leaf["fn"] == "sum":
        return _compares(sum(values), leaf.get("op", "gte"), threshold)
    if not values:
        return False
    made = {"min": Fraction(min(values)), "max": Fraction(max(values)), "avg": Fraction(sum(values), len(values))}
    return _compares(made[leaf["fn"]], leaf.get("op", "gte"), threshold)


def millionths(value: Any) -> int | None:
    """A number in millionths, rounded half to even; None for what is none."""
    found = number(value)
    return None if found is None or abs(found) > 9e12 else round(Fraction(found * 1_000_000))


_MEANINGS: dict[str, Callable[[Plain, list[Event], int], bool]] = {
    "performed": _performed,
    "count": _count,
    "first_time": _first_time,
    "stopped": _stopped,
    "restarted": _restarted,
    "regularly": _regularly,
    "sequence": _sequence,
    "person_property": _person_property,
    "aggregate": _aggregate,
}


def _without_tests(leaf: Plain) -> Plain:
    """The same events by name, whatever their properties."""
    if leaf.get("any_of"):
        return {"any_of": [{"event": alternative["event"]} for alternative in leaf["any_of"]]}
    return {"event": leaf["event"]}


def _is_inside(leaf: Plain, time_ms: int, t: int) -> bool:
    """Whether an event of that time lies in the leaf's interval, seen from t."""
    if leaf.get("within") is not None:
        return t - duration_ms(leaf["within"]) < time_ms <= t
    since = instant_ms(leaf["since"])
    if leaf.get("until") is None:
        return since <= time_ms <= t
    return since <= time_ms <= min(instant_ms(leaf["until"]), t)


def _compares(number: int | Fraction, op: str, n: int | Fraction) -> bool:
    if op == "gte":
        return number >= n
    if op == "gt":
        return number > n
    if op == "lte":
        return number <= n
    if op == "lt":
        return number < n
    if op == "eq":
        return number == n
    if op == "ne":
        return number != n
    raise NotImplementedError(f"the oracle knows no operator {op}")


def _selects(leaf: Plain, event: Event) -> bool:
    alternatives = leaf["any_of"] if leaf.get("any_of") else [leaf]
    for alternative in alternatives:
        if alternative["event"] not in ("any", event.event):
            continue
        if False not in [passes(test, event.properties) for test in alternative.get("where", ())]:
            return True
    return False


def _leaves(node: Plain) -> list[Plain]:
    if "not" in node:
        return _leaves(node["not"])
    if "all" in node or "any" in node:
        return [leaf for child in node.get("all") or node["any"] for leaf in _leaves(child)]
    return [node]
