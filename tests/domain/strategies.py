"""What Hypothesis draws for the domain: definitions, histories, arrivals and questions.

Times are few (0 to LAST milliseconds behind START) and windows short, so that boundaries are hit all the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.oracle.membership import Event

START = 1_700_000_000_000
LAST = 24
WINDOW_MAX = 12
HORIZON = START + LAST + WINDOW_MAX + 2
"""Nothing that is drawn can change an answer after it."""

Cohorts = list[dict[str, Any]]


class Arrival(NamedTuple):
    """An event, and the instant at which it reaches whoever folds it: earlier than its own time, or later."""

    at_ms: int
    event: Event


def iso(time_ms: int) -> str:
    """An instant of START and after, as a definition writes it."""
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


times = st.integers(START, START + LAST)
NAMES = ("a", "b")
UUIDS = ("u1", "u2", "U3")
OPERATORS = ("gte", "gt", "lte", "lt", "eq", "ne")

VALUES: tuple[Any, ...] = (
    None,
    "x",
    "X",
    "xy",
    "",
    1,
    2,
    1.5,
    "2",
    True,
    False,
    [],
    ["x"],
    {"k": 1},
    "1.0.0-rc.1",
    "1.1.0",
)
WANTED: tuple[Any, ...] = ("x", "X", "", 1, 2, "1", True, 1.5, ["x", 2], ["X", False, ""])

TESTS: tuple[dict[str, Any], ...] = (
    *({"property": "p", "value": value} for value in WANTED),
    *(
        {"property": name, "op": op, "value": value}
        for name in ("p", "q")
        for op in ("exact", "is_not", "icontains", "not_icontains")
        for value in WANTED
    ),
    *(
        {"property": "p", "op": op, "value": value}
        for op in ("gt", "gte", "lt", "lte")
        for value in (0, 1, 1.5, "2", -1)
    ),
    *({"property": name, "op": op} for name in ("p", "q") for op in ("is_set", "is_not_set")),
    *(
        {"property": name, "op": op, "value": value}
        for name in ("p", "q")
        for forms, value in (
            (("starts_with", "not_starts_with", "ends_with", "not_ends_with"), ["x", "2"]),
            (("regex", "not_regex"), "^[x1]"),
            (("between", "not_between"), [1, "1.5"]),
            (("is_date_before", "is_date_exact", "is_date_after"), "1970-01-01T00:00:01Z"),
            (("semver_neq", "semver_gt", "semver_lte"), "1.0.0-rc.1"),
            (("semver_tilde", "semver_caret"), "1.0.0"),
            (("semver_wildcard",), "1.*"),
        )
        for op in forms
    ),
)
OF_PERSONS: tuple[dict[str, Any], ...] = (
    *({"$set": {"plan": text}} for text in ("x", "X", None)),
    *({"$set": {"plan": number}} for number in (1, 2.5)),
    {"$set": {"plan": "x", "age": 2}},
    {"$set": {"plan": [], "age": 2}},
    *({"$set": {"age": iso(START + time)}} for time in (-3, 2, 9, LAST)),
    *({"$set_once": {"plan": text, "age": text}} for text in ("x", "y", None)),
    {"$unset": ["plan"]},
    {"$unset": {"plan": 1, "age": 1}},
    {"$set": {"plan": "x", "age": 1}, "$set_once": {"plan": "y"}, "$unset": ["age"]},
)
"""What events say of their person, beside their own properties."""
PROPERTIES: tuple[dict[str, Any], ...] = (
    {},
    *({"p": value} for value in VALUES),
    *({"p": p, "q": q} for p in VALUES for q in ("x", 1, None)),
    *({"p": "x", **said} for said in OF_PERSONS),
    *OF_PERSONS,
)
PERSONAL: tuple[dict[str, Any], ...] = tuple(
    {"kind": "person_property", "property": name, **test}
    for name in ("plan", "age")
    for test in (
        {"value": "x"},
        {"op": "is_not", "value": "x"},
        {"op": "icontains", "value": ["x"]},
        {"op": "gte", "value": 2},
        {"op": "is_set"},
        {"op": "is_not_set"},
        {"op": "is_date_before", "value": "-5ms"},
        {"op": "is_date_after", "value": "-2ms"},
        {"op": "is_date_exact", "value": "-7ms"},
        {"op": "is_date_before", "value": iso(START + 5)},
    )
)
WINDOWED: tuple[dict[str, Any], ...] = (
    {"kind": "performed"},
    {"kind": "first_time"},
    *({"kind": "count", "op": op, "n": n} for n in range(5) for op in OPERATORS),
)
INTERVALS: tuple[dict[str, Any], ...] = (
    *({"within": f"{window}ms"} for window in range(1, WINDOW_MAX + 1)),
    *({"since": iso(START + since)} for since in range(0, LAST, 3)),
    *(
        {"since": iso(START + since), "until": iso(START + until)}
        for since in range(0, LAST, 4)
        for until in range(since, LAST, 4)
    ),
)
LAPSING: tuple[dict[str, Any], ...] = tuple(
    {"kind": kind, "within": f"{window}ms", "recent": f"{recent}ms"}
    for kind in ("stopped", "restarted")
    for window in range(2, WINDOW_MAX + 1)
    for recent in range(1, window)
)
REGULAR: tuple[dict[str, Any], ...] = tuple(
    {"kind": "regularly", "period": f"{period}ms", "periods": periods, "min_periods": enough, "times": times}
    for period in range(1, WINDOW_MAX + 1)
    for periods in range(1, WINDOW_MAX // period + 1)
    for enough in range(1, periods + 1)
    for times in (1, 2, 3)
)
SEQUENCES: tuple[dict[str, Any], ...] = tuple(
    {"kind": "sequence", "then_within": f"{span}ms", **interval} for span in (1, 2, 3, 5, 8) for interval in INTERVALS
)
AGGREGATES: tuple[dict[str, Any], ...] = (
    *(
        {"kind": "aggregate", "property": "p", "fn": fn, "op": op, "value": value}
        for fn in ("sum", "avg", "min", "max")
        for op in OPERATORS
        for value in (-1, 0, 0.5, 1, 1.5, 2, 3)
    ),
    *(
        {"kind": "aggregate", "property": "p", "fn": "sum", "op": op, "value": value, "non_negative": True}
        for op in OPERATORS
        for value in (-1, 0, 0.5, 1, 1.5, 2, 3, 5)
    ),
    *(
        {"kind": "aggregate", "property": "p", "fn": "distinct", "op": op, "value": value}
        for op in OPERATORS
        for value in range(5)
    ),
)

# Few draws of plain choices: a tree made of nested strategies takes Hypothesis longer than all that is tested with it.
_tests = st.sampled_from([(event, test) for event in (*NAMES, "any") for test in TESTS])
_windowed = st.sampled_from([{**kind, **interval} for kind in WINDOWED for interval in INTERVALS])
_first_time = st.sampled_from([{"kind": "first_time", **interval} for interval in INTERVALS])
_aggregates = st.sampled_from([{**kind, **interval} for kind in AGGREGATES for interval in INTERVALS])
_parts = st.one_of(
    _windowed, st.sampled_from((*LAPSING, *REGULAR)), _first_time, st.sampled_from(SEQUENCES), _aggregates
)
_shapes = st.sampled_from(("a", "a", "a", "b", "b", "any", "one", "two", "any_of"))
_small = st.integers(1, 3)
_branches = st.sampled_from(("leaf", "leaf", "all", "any", "not"))
_personal = st.sampled_from(PERSONAL)
_personal_or_not = st.sampled_from((False, False, False, True))

_PER_UUID = (LAST + 1) * len(NAMES) * len(PROPERTIES)
_events = st.integers(0, len(UUIDS) * _PER_UUID - 1)
_moments = st.sampled_from((*(None,) * LAST, *range(LAST + 1)))


def _event(number: int) -> Event:
    """The event of that number: the uuid's place first, then time, name and properties."""
    rest, properties = divmod(number, len(PROPERTIES))
    rest, name = divmod(rest, len(NAMES))
    uuid, time = divmod(rest, LAST + 1)
    return Event(UUIDS[uuid], NAMES[name], START + time, PROPERTIES[properties])


def _alternative(draw: st.DrawFn, count: int) -> dict[str, Any]:
    drawn = [draw(_tests) for _ in range(max(count, 1))]
    where = [test for _, test in drawn][:count]
    return {"event": drawn[0][0], **({"where": where} if where else {})}


def _selection(draw: st.DrawFn) -> dict[str, Any]:
    shape = draw(_shapes)
    if shape in ("one", "two"):
        return _alternative(draw, 1 if shape == "one" else 2)
    if shape == "any_of":
        return {"any_of": [_alternative(draw, index) for index in range(draw(_small))]}
    return {"event": shape}


def _leaf(draw: st.DrawFn) -> dict[str, Any]:
    part = draw(_parts)
    if part["kind"] == "sequence":
        first = _selection(draw)
        return {**part, "first": first, "then": first if draw(_small) == 1 else _selection(draw)}
    return {**part, **_selection(draw)}


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    """Every kind that reads events, with every way to select them and to say when."""
    return _leaf(draw)


CAPPED_MAX = 3
"""Conditions that a draw may have of those that keep hundreds of entries: a record holds so many."""


def _is_capped(part: dict[str, Any]) -> bool:
    return part["kind"] == "sequence" or part.get("fn") in ("sum", "avg")


def _tree(
    draw: st.DrawFn, known: tuple[str, ...], depth: int, personal: bool, capped: list[dict[str, Any]]
) -> dict[str, Any]:
    branch = draw(_branches) if depth else "leaf"
    if branch == "not":
        return {"not": _tree(draw, known, depth - 1, personal, capped)}
    if branch != "leaf":
        return {branch: [_tree(draw, known, depth - 1, personal, capped) for _ in range(draw(_small))]}
    named = draw(st.integers(0, 2 * len(known)))
    if named > len(known):
        return {"kind": "in_cohort", "cohort": known[named - len(known) - 1]}
    leaf = draw(_personal) if personal and draw(_personal_or_not) else _leaf(draw)
    if _is_capped(leaf):
        if len(capped) == CAPPED_MAX:
            return {"kind": "performed", "event": "any", "within": "3ms"}
        capped.append(leaf)
    return leaf


@st.composite
def cohort_sets(draw: st.DrawFn, max_size: int = 3, personal: bool = True) -> Cohorts:
    """A few cohorts: trees of all, any and not, three levels deep; each may refer to those before it.

    `personal`: whether properties of persons are asked too.
    """
    made: Cohorts = []
    capped: list[dict[str, Any]] = []
    for index in range(draw(st.integers(1, max_size))):
        known = tuple(cohort["key"] for cohort in made)
        made.append({"key": f"c{index}", "when": _tree(draw, known, 3, personal, capped)})
    return made


@st.composite
def negative_cohorts(draw: st.DrawFn) -> Cohorts:
    """Cohorts that hold for somebody who never did anything."""
    absent: list[dict[str, Any]] = []
    for _ in range(draw(_small)):
        leaf = {**_selection(draw), **draw(st.sampled_from(INTERVALS))}
        op, n = draw(st.sampled_from((("not", 0), ("lte", 2), ("lt", 1), ("eq", 0), ("ne", 1))))
        absent.append(
            {"not": {"kind": "performed", **leaf}} if op == "not" else {"kind": "count", **leaf, "op": op, "n": n}
        )
    return [{"key": "c0", "when": {draw(st.sampled_from(("all", "any"))): absent}}]


def histories(max_size: int = 10) -> st.SearchStrategy[list[Event]]:
    """True events: distinct in time and uuid, in no particular order; uuids come back at other times."""
    return st.lists(_events, max_size=max_size).map(lambda numbers: _distinct(map(_event, numbers)))


def _distinct(events: Iterable[Event]) -> list[Event]:
    return list({(event.uuid, event.time_ms): event for event in events}.values())


@st.composite
def streams(draw: st.DrawFn, max_size: int = 8) -> list[Arrival]:
    """Events as they arrive: late, in time, dated in the future, and some of them twice."""
    arrivals: list[Arrival] = []
    for event in draw(histories(max_size=max_size)):
        for _ in range(1 + (event.time_ms % 3 == 0)):
            moment = draw(_moments)
            arrivals.append(Arrival(event.time_ms if moment is None else START + moment, event))
    return sorted(arrivals, key=lambda arrival: arrival.at_ms)
